"""The namespace ``.genias`` of expressions and frames: every verb with its first argument bound.

Polars keeps namespace objects, so they hold nothing but what they were made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import verbs

if TYPE_CHECKING:
    from collections.abc import Callable


def _bound(verb: Callable[..., Any]) -> Any:
    """A method that calls `verb` with what the namespace belongs to."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return verb(self._data, *args, **kwargs)

    method.__name__ = verb.__name__
    method.__qualname__ = f"genias.{verb.__name__}"
    method.__doc__ = verb.__doc__
    method.__wrapped__ = verb  # type: ignore[attr-defined]
    return method


class _Namespace:
    def __init__(self, data: Any) -> None:
        self._data = data


class _FrameNamespace(_Namespace):
    fit = _bound(verbs.fit)
    generate = _bound(verbs.generate)
    inject = _bound(verbs.inject)
    events = _bound(verbs.events)
    pairs = _bound(verbs.pairs)
    score = _bound(verbs.score)
    label = _bound(verbs.label)


@pl.api.register_expr_namespace("genias")
class GeniasExpr(_FrameNamespace):
    """Verbs of a numeric column, of a struct of them, or of a column of models."""

    windows = _bound(verbs.windows)
    reconstruct = _bound(verbs.reconstruct)
    embed = _bound(verbs.embed)
    describe = _bound(verbs.describe)


@pl.api.register_lazyframe_namespace("genias")
class GeniasLazyFrame(_FrameNamespace):
    """Verbs of a LazyFrame."""


@pl.api.register_dataframe_namespace("genias")
class GeniasDataFrame(_FrameNamespace):
    """Verbs of a DataFrame."""
