"""The namespace ``.genias`` of expressions and frames: every verb with its first argument bound.

One line per class adds a verb. Type checkers select the overload of a verb by its first argument,
so signatures are only written once, in ``verbs/``.

Polars caches namespace objects, so they only hold the object that they belong to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import polars as pl

from polars_genias import verbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from polars_genias.plots import Chart, Kind

Data = TypeVar("Data")
Options = ParamSpec("Options")
Result = TypeVar("Result")


class _Namespace(Generic[Data]):
    def __init__(self, data: Data) -> None:
        self._data = data


class _Of(Generic[Data]):
    """Turns functions whose first argument is a `Data` into methods."""

    def __call__(
        self, verb: Callable[Concatenate[Data, Options], Result]
    ) -> Callable[Concatenate[_Namespace[Data], Options], Result]:
        def method(
            self: _Namespace[Data], /, *args: Options.args, **kwargs: Options.kwargs
        ) -> Result:
            return verb(self._data, *args, **kwargs)

        method.__name__ = verb.__name__
        method.__qualname__ = f"genias.{verb.__name__}"
        method.__doc__ = verb.__doc__
        method.__wrapped__ = verb  # type: ignore[attr-defined]
        return method


_column = _Of[pl.Expr]()
_lazy = _Of[pl.LazyFrame]()
_eager = _Of[pl.DataFrame]()


def plot(data: pl.DataFrame | pl.LazyFrame, /, kind: Kind = "series", **options: Any) -> Chart:
    """Draw the frame: see `polars_genias.plots.plot`. Needs the extra ``plot``."""
    from polars_genias import plots

    return plots.plot(data, kind, **options)


@pl.api.register_expr_namespace("genias")
class GeniasExpr(_Namespace[pl.Expr]):
    """Verbs on a numeric column, a struct of numeric columns, or a column of models."""

    alarms = _column(verbs.alarms)
    compare = _column(verbs.compare)
    describe = _column(verbs.describe)
    embed = _column(verbs.embed)
    events = _column(verbs.events)
    expect = _column(verbs.expect)
    explain = _column(verbs.explain)
    fit = _column(verbs.fit)
    generate = _column(verbs.generate)
    health = _column(verbs.health)
    inject = _column(verbs.inject)
    label = _column(verbs.label)
    pairs = _column(verbs.pairs)
    reconstruct = _column(verbs.reconstruct)
    score = _column(verbs.score)
    sensitivity = _column(verbs.sensitivity)
    windows = _column(verbs.windows)


@pl.api.register_lazyframe_namespace("genias")
class GeniasLazyFrame(_Namespace[pl.LazyFrame]):
    """Verbs on a LazyFrame."""

    alarms = _lazy(verbs.alarms)
    compare = _lazy(verbs.compare)
    describe = _lazy(verbs.describe)
    events = _lazy(verbs.events)
    expect = _lazy(verbs.expect)
    explain = _lazy(verbs.explain)
    fit = _lazy(verbs.fit)
    generate = _lazy(verbs.generate)
    health = _lazy(verbs.health)
    inject = _lazy(verbs.inject)
    label = _lazy(verbs.label)
    pairs = _lazy(verbs.pairs)
    plot = _lazy(plot)
    reconstruct = _lazy(verbs.reconstruct)
    score = _lazy(verbs.score)
    sensitivity = _lazy(verbs.sensitivity)


@pl.api.register_dataframe_namespace("genias")
class GeniasDataFrame(_Namespace[pl.DataFrame]):
    """Verbs on a DataFrame."""

    alarms = _eager(verbs.alarms)
    compare = _eager(verbs.compare)
    describe = _eager(verbs.describe)
    events = _eager(verbs.events)
    expect = _eager(verbs.expect)
    explain = _eager(verbs.explain)
    fit = _eager(verbs.fit)
    generate = _eager(verbs.generate)
    health = _eager(verbs.health)
    inject = _eager(verbs.inject)
    label = _eager(verbs.label)
    pairs = _eager(verbs.pairs)
    plot = _eager(plot)
    reconstruct = _eager(verbs.reconstruct)
    score = _eager(verbs.score)
    sensitivity = _eager(verbs.sensitivity)
