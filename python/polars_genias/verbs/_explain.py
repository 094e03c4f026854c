"""Why there are alarms, and what rows should have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame, of_frames

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import ExpectOptions, LabelOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def explain(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> Frame: ...
@overload
def explain(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.Expr: ...
@with_options("explain")
def explain(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Why there are alarms: one row for each alarm and feature to blame, the main one first.

    With the same rows, models and options these are the alarms of `alarms`.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `label`.
    **options
        As in `label`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the columns `by`, ``id``, ``start``, ``length``, ``peak`` and the values of
        `order_by`, as in `alarms`; ``feature``, ``share`` (what it has of what is unusual; those of
        an alarm add up to 1), ``expected`` and ``actual`` (at the peak, in its unit); and of the
        whole alarm ``evidence`` (what speaks most for it, as ``docs/explain.md`` names it),
        ``nearest_start`` and ``nearest_length`` (the nearest normal stretch: rows of the training
        series of the group, in time order, from 0). All but ``feature``, ``share`` and ``actual``
        of these are null for detectors other than ``"evidence"``. Columns: a struct of these, one
        row per alarm and feature.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> t = pl.int_range(900)
    >>> wave = pl.select(t=t).with_columns(cpu=(pl.col("t") / 3).sin(), mem=(pl.col("t") / 5).cos())
    >>> model = wave.head(600).genias.fit(order_by="t", window=32)
    >>> odd = wave.with_columns(
    ...     mem=pl.when(pl.col("t").is_between(700, 709)).then(pl.col("mem") + 4).otherwise("mem")
    ... )
    >>> table = odd.tail(300).genias.explain(order_by="t", models=model)
    >>> table.select("t_start", "t_end", "feature", pl.col("share").round(2)).row(0)
    (700, 709, 'mem', 0.99)
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        return like(data, frames.explain_frame(at, options, models=model, strict=strict))
    given = {"label": label, "strict": strict, "changes_length": True}
    return expression("explain", data, options, order_by=order_by, model=model, **given)


@overload
def expect(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    history: Frame | None = None,
    only_last: int | None = None,
    **options: Unpack[ExpectOptions],
) -> Frame: ...
@overload
def expect(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[ExpectOptions],
) -> pl.Expr: ...
@with_options("expect")
def expect(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    history: Any = None,
    only_last: int | None = None,
    **options: Any,
) -> Any:
    """What every row should have been, by what is around it, and between which bounds.

    The row and those next to it are hidden: what is expected does not follow an anomaly. The model
    must hold the detector ``"evidence"``.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `score`.
    history, only_last
        As in `score`.
    **options
        See `ExpectOptions`. ``bounds``: the share of normal rows between the bounds, by default
        0.95.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the input, and beside it ``{feature}_expected``, ``{feature}_lower`` and
        ``{feature}_upper`` per feature. Columns: a struct of these. Float32 for Float32, else
        Float64; null in stretches that are shorter than what is hidden. A row with a null has them,
        too.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.select(t=pl.int_range(900)).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.head(600).genias.fit(order_by="t", window=32)
    >>> odd = wave.with_columns(cpu=pl.when(pl.col("t") == 700).then(5).otherwise("cpu"))
    >>> out = odd.tail(300).genias.expect(order_by="t", models=model)
    >>> out.columns
    ['t', 'cpu', 'cpu_expected', 'cpu_lower', 'cpu_upper']
    >>> row = out.row(100, named=True)
    >>> row["cpu_upper"] < row["cpu"], abs(row["cpu_expected"] - wave["cpu"][700]) < 0.2
    (True, True)
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        context = frames.Context(history, only_last)
        given = {"adds": frames.bounds(at), "models": model, "strict": strict, "context": context}
        result = frames.beside("expect", at, options, **given)
        return like(data, result, keeps_rows=only_last is None)
    of_frames(history=history, only_last=only_last)
    given = {"label": label, "strict": strict}
    return expression("expect", data, options, order_by=order_by, model=model, **given)
