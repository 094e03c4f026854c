"""Generation of anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame, synthetic_columns

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import GenerateOptions
    from polars_genias._types import (
        Features,
        Frame,
        IntoColumn,
        IntoModel,
        IntoModels,
        Keys,
        Where,
    )
    from polars_genias.verbs._call import Order


@overload
def generate(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    where: Where | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> Frame: ...
@overload
def generate(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.Expr: ...
@with_options("generate")
def generate(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    where: Any = None,
    suffix: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Add generated anomalies to the rows, with labels.

    Anomalies do not overlap, and none is placed on a null or a known anomaly. Values have the dtype
    of their column, and lie in its domain as learned from training rows (`domain`). All other
    values equal the input, bit by bit.

    Parameters
    ----------
    data
        A frame, or a column (a struct of columns for several features).
    model
        The model of a column: bytes, a ``Path``, or a column. By default a model is fitted.
    models
        The models of a frame: a table with the columns `by` and a Binary column, a file (a Parquet
        table, or one model), bytes, or an expression. By default one model is fitted per group.
    features, by, order_by
        As in `fit`.
    label
        Boolean column of known anomalies.
    where
        Rows that anomalies may be put on: a Boolean column, or an expression of one, such as
        ``pl.col("timestamp").dt.weekday() < 6``. An anomaly lies in such rows as a whole. By
        default all.
    suffix
        Appended to the names of the new value columns.
    strict
        Whether a series without a usable window is an error instead of null labels.
    **options
        See `GenerateOptions` and ``docs/parameters.md``.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the input with ``{feature}{suffix}`` (the values) per feature, ``is_anomaly``
        (Boolean), ``anomaly_id`` (UInt32, from 1 within each series, null without an anomaly),
        ``anomaly_kind`` (String: ``"residual"``, ``"decoded"``, ``"correlation"``, the name of the
        deformation, or ``"constant"`` if only constant features change; with ``kind``, the name
        that was given; see ``docs/generator.md``), ``anomaly_strength`` (Float32: root mean square
        of the change in standard deviations) and ``{feature}_mask`` (whether the value differs from
        the input) per feature. For columns: a struct of these.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.generate(window=16, steps=20, contamination=0.1)
    >>> out.columns[1:]
    ['cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
    >>> out["is_anomaly"].sum()  # windows of 16 rows, the last one shortened
    40
    """
    if is_frame(data):
        models = either(model, models)
        at = frames.inputs(data, features, by, order_by, label, models, where)
        suffix = "_synthetic" if suffix is None else suffix
        adds = synthetic_columns(at, suffix)
        given = {"models": models, "suffix": suffix, "strict": strict}
        result = frames.beside("generate", at, options, adds=adds, **given)
        return like(data, result, keeps_rows=True)
    return expression(
        "generate",
        data,
        options,
        order_by=order_by,
        model=either(model, models),
        label=label,
        where=where,
        suffix=suffix or "",
        strict=strict,
    )
