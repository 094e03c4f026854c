"""Detectors on the same anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import CompareOptions
    from polars_genias._types import Features, Frame, IntoColumn, Keys
    from polars_genias.verbs._call import Order


@overload
def compare(
    data: Frame,
    *,
    scores: Features,
    label: str,
    by: Keys | None = None,
    order_by: Keys | None = None,
    **options: Unpack[CompareOptions],
) -> Frame: ...
@overload
def compare(
    data: IntoColumn,
    *,
    label: IntoColumn,
    order_by: Order = None,
    **options: Unpack[CompareOptions],
) -> pl.Expr: ...
@with_options("compare")
def compare(
    data: Any,
    *,
    scores: Any = None,
    label: Any,
    by: Any = None,
    order_by: Any = None,
    **options: Any,
) -> Any:
    """Compare columns of scores on the same anomalies, at the same rate of false alarms.

    In every series each column has its own line: the score that at most a share
    `false_alarm_rate` of the rows without an anomaly passes. An event, a run of anomalous rows, is
    caught where one of its rows passes the line. Scores may come from `score`, or from elsewhere.

    Parameters
    ----------
    data
        A frame, or a struct of columns of scores: higher is more anomalous. Null scores pass no
        line.
    scores
        Frames: the columns of scores. The first is what the others are compared with.
    label
        Boolean column of anomalies, such as ``is_anomaly`` of `inject`, or of real ones.
    by, order_by
        As in `fit`.
    **options
        See `CompareOptions`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        A row per column of scores: ``detector`` (its name), ``events``, ``caught``, ``recall``
        (share of the events that is caught) with its 95 % interval ``recall_low`` and
        ``recall_high``, ``difference`` (of the recall to that of the first) with
        ``difference_low`` and ``difference_high``, ``p`` (McNemar's exact test of it), ``delay``
        (median rows from the beginning of an event to the first row above the line) and
        ``false_alarm_rate`` (share of the normal rows above the line). Intervals are of events
        drawn with replacement, the same ones for all columns. Columns: a struct of these, one row
        each.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(900)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> hit = wave.genias.inject(order_by="t", kind="level-shift", strength=4, count=8, length=9)
    >>> hit = hit.select("t", "is_anomaly", cpu="cpu_synthetic")
    >>> scored = hit.with_columns(size=pl.col("cpu").abs(), step=pl.col("cpu").diff().abs())
    >>> table = scored.genias.compare(scores=["size", "step"], label="is_anomaly", order_by="t")
    >>> table.select("detector", "events", "caught").rows()
    [('size', 8, 8), ('step', 8, 3)]
    """
    if is_frame(data):
        if scores is None:
            msg = "parameter `scores`: name the columns of scores"
            raise ValueError(msg)
        at = frames.inputs(data, scores, by, order_by, label)
        return like(data, frames.compare_frame(at, options))
    if scores is not None or by is not None:
        msg = "parameters `scores` and `by` are of frames: pass a struct of columns of scores"
        raise ValueError(msg)
    return expression("compare", data, options, order_by=order_by, label=label, changes_length=True)
