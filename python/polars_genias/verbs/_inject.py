"""Injection of classical anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import expression, is_frame, synthetic_columns

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import InjectOptions
    from polars_genias._types import Features, Frame, IntoColumn, Keys, Where
    from polars_genias.verbs._call import Order


@overload
def inject(
    data: Frame,
    *,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    where: Where | None = None,
    suffix: str = "_synthetic",
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> Frame: ...
@overload
def inject(
    data: IntoColumn,
    *,
    order_by: Order = None,
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.Expr: ...
@with_options("inject")
def inject(
    data: Any,
    *,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    where: Any = None,
    suffix: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Add classical anomalies to the rows, with labels, without a model.

    Anomalies do not overlap, and none is placed on a null or a known anomaly. Values have the dtype
    of their column, and lie in its domain as learned from clean rows (`domain`). All other values
    equal the input, bit by bit. Fewer anomalies than requested are an error.

    Parameters
    ----------
    data, features, by, order_by, label, where, suffix
        As in `generate`.
    strict
        Whether a series without a clean row is an error instead of null labels.
    **options
        See `InjectOptions`. ``kind``: one name or several, by default CARLA's five.
        ``contamination`` (0.1) or ``count``: how many, per series; ``total``: over all series of a
        frame. ``length``: rows of an anomaly; ``duration``: rows, or a time such as ``"2h"``.
        ``strength``: in standard deviations of the feature; ``size``: in its unit. ``direction``:
        ``"up"``, ``"down"`` or ``"both"``. ``hit``: the features that are hit. ``factor``: of
        tempo, amplitude or distortion. ``shift``: rows of phase. Numbers or (min, max).
        ``feature_share``: largest share of the features that one anomaly hits. The kinds are
        described in ``docs/inject.md``.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        As `generate`; ``anomaly_kind`` is one of the names of `kind`, as it was given.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.inject(kind=["trend", "mean"], count=2, length=20)
    >>> out.columns[1:]
    ['cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
    >>> sorted(out["anomaly_kind"].drop_nulls().unique())
    ['mean', 'trend']
    >>> out["is_anomaly"].sum()
    40

    Thirty level shifts of two deviations over a fleet, on mornings of weekdays:

    >>> rows = pg.datasets.demo()
    >>> time = pl.col("timestamp").dt
    >>> mornings = (time.weekday() < 6) & time.hour().is_between(6, 11)
    >>> at = {"by": "host", "order_by": "timestamp", "label": "incident", "where": mornings}
    >>> table = rows.genias.events(
    ...     of="inject", kind="level-shift", total=30, strength=2.0, duration=("30m", "1h"), **at
    ... )
    >>> table.height, table["timestamp_start"].dt.hour().min(), table["kind"].unique().to_list()
    (30, 6, ['level-shift'])
    """
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, where=where)
        suffix = "_synthetic" if suffix is None else suffix
        adds = synthetic_columns(at, suffix)
        result = frames.beside("inject", at, options, adds=adds, suffix=suffix, strict=strict)
        return like(data, result, keeps_rows=True)
    return expression(
        "inject",
        data,
        options,
        order_by=order_by,
        label=label,
        where=where,
        suffix=suffix or "",
        strict=strict,
    )
