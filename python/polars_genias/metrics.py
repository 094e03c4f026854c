"""Metrics as expressions: each aggregates its rows to one Float64, null if it is undefined.

All of them work in ``group_by().agg()``, in ``select`` and with ``over``, and the result is named
after the metric. Rows where an argument is null or NaN are filtered out; an infinite score is an
error. Labels are Boolean, or 0 and 1. All metrics except ``auc_roc``, ``auc_pr``, ``best_f1``,
``f1``, ``precision``, ``recall``, ``arp`` and ``edi`` depend on the order of the rows: sort by time
first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias._genias import check_metric
from polars_genias._plugin import aggregate

if TYPE_CHECKING:
    from polars_genias._types import IntoColumn

_DAY = 24 * 3600 * 10**6
"""Microseconds."""


def _metric(name: str, score: IntoColumn, label: IntoColumn, **options: Any) -> pl.Expr:
    call = {"metric": name, "options": options}
    check_metric(json.dumps(call))
    return aggregate("metric", [score, label], call).alias(name)


def auc_roc(score: IntoColumn, label: IntoColumn) -> pl.Expr:
    """Area under the ROC curve; null unless there are rows of both kinds.

    Parameters
    ----------
    score
        Higher = more anomalous. Ties count one half.
    label
        Which rows are anomalous.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})
    >>> df.select(pg.auc_roc("score", "label")).item()
    0.75
    """
    return _metric("auc_roc", score, label)


def auc_pr(score: IntoColumn, label: IntoColumn) -> pl.Expr:
    """Average precision: area under the precision-recall curve, without interpolation.

    Null without an anomalous row, 1 when all are.

    Parameters
    ----------
    score
        Higher = more anomalous.
    label
        Which rows are anomalous.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})
    >>> df.select(pg.auc_pr("score", "label").round(4)).item()
    0.8333
    """
    return _metric("auc_pr", score, label)


def best_f1(score: IntoColumn, label: IntoColumn) -> pl.Expr:
    """Largest F1 over all thresholds: an oracle, chosen with the labels that evaluate it.

    Null without an anomalous row.

    Parameters
    ----------
    score
        Higher = more anomalous.
    label
        Which rows are anomalous.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})
    >>> df.select(pg.best_f1("score", "label")).item()
    0.8
    """
    return _metric("best_f1", score, label)


def f1(predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None) -> pl.Expr:
    """F1 of predicted rows; null if no row is anomalous or predicted.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.4, 0.35, 0.8], "label": [0, 0, 1, 1]})
    >>> df.select(pg.f1(pl.col("score") > 0.3, "label")).item()
    0.8
    >>> df.select(pg.f1("score", "label", threshold=0.3)).item()
    0.8
    """
    return _metric("f1", predicted, label, threshold=threshold)


def precision(
    predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None
) -> pl.Expr:
    """Share of the predicted rows that are anomalous; null without predictions.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [True, True, False], "label": [True, False, True]})
    >>> df.select(pg.precision("predicted", "label")).item()
    0.5
    """
    return _metric("precision", predicted, label, threshold=threshold)


def recall(predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None) -> pl.Expr:
    """Share of the anomalous rows that were predicted; null without an anomalous row.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [True, True, False], "label": [True, False, True]})
    >>> df.select(pg.recall("predicted", "label")).item()
    0.5
    """
    return _metric("recall", predicted, label, threshold=threshold)


def point_adjusted_f1(
    score: IntoColumn,
    label: IntoColumn,
    *,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """F1 after point adjustment: one predicted row makes its whole event predicted.

    Inflated: random scores often exceed every detector. It is included for comparison with
    published figures. Null without an anomalous row.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the best of
        `thresholds` evenly spaced ones: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 1, 0, 0, 0], "label": [1, 1, 1, 0, 0]})
    >>> df.select(pg.point_adjusted_f1(pl.col("predicted") == 1, "label")).item()
    1.0
    """
    return _metric("point_adjusted_f1", score, label, threshold=threshold, thresholds=thresholds)


def event_f1(
    score: IntoColumn,
    label: IntoColumn,
    *,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """Harmonic mean of the share of events found and of the precision per row.

    Null without an anomalous row.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the best of
        `thresholds` evenly spaced ones: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 1, 0, 1, 0], "label": [1, 1, 1, 0, 0]})
    >>> df.select(pg.event_f1(pl.col("predicted") == 1, "label").round(4)).item()
    0.6667
    """
    return _metric("event_f1", score, label, threshold=threshold, thresholds=thresholds)


def event_recall(
    score: IntoColumn,
    label: IntoColumn,
    *,
    false_alarm_rate: float = 0.01,
    threshold: float | None = None,
) -> pl.Expr:
    """Share of the events that hold a predicted row; null without an anomalous row.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    false_alarm_rate
        Of scores without a threshold: those above the lowest line are predicted above which at most
        this share of the normal rows is, in [0, 1].
    threshold
        Rows that score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [1, 5, 2, 3, 1, 4, 0], "label": [0, 1, 1, 0, 0, 0, 1]})
    >>> df.select(pg.event_recall("score", "label", false_alarm_rate=0.25)).item()
    0.5
    """
    options = {"false_alarm_rate": false_alarm_rate, "threshold": threshold}
    return _metric("event_recall", score, label, **options)


def false_alarms(
    predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None
) -> pl.Expr:
    """Number of alarms, runs of predicted rows, that hold no anomalous row.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows that score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [1, 0, 1, 1, 0, 1], "label": [0, 0, 0, 1, 0, 0]})
    >>> df.select(pg.false_alarms("predicted", "label")).item()
    2.0
    """
    return _metric("false_alarms", predicted, label, threshold=threshold)


def false_alarms_per_day(
    predicted: IntoColumn,
    label: IntoColumn,
    time: IntoColumn,
    *,
    threshold: float | None = None,
) -> pl.Expr:
    """`false_alarms` over the days from the first row to the end of the last one.

    A row lasts as long as rows do in the mean. Null of fewer than two times.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    time
        Date or Datetime of every row.
    threshold
        Rows that score above it are predicted.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> hours = pl.datetime_range(datetime(2026, 1, 1), datetime(2026, 1, 2, 23), "1h", eager=True)
    >>> df = pl.DataFrame({"time": hours, "label": False}).with_columns(
    ...     predicted=pl.col("time").dt.hour() == 3
    ... )
    >>> df.select(pg.false_alarms_per_day("predicted", "label", "time")).item()
    1.0
    """
    at = (pl.col(time) if isinstance(time, str) else time).cast(pl.Datetime("us")).drop_nulls()
    between = (at.max() - at.min()).dt.total_microseconds() / _DAY
    days = between * at.len() / (at.len() - 1)
    count = false_alarms(predicted, label, threshold=threshold)
    return pl.when(between > 0).then(count / days).alias("false_alarms_per_day")


def detection_delay(
    predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None
) -> pl.Expr:
    """Rows from the beginning of an event to its first predicted row.

    The mean over the events that hold one; null where none does.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows that score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 0, 1, 1, 0, 0], "label": [1, 1, 1, 0, 0, 1]})
    >>> df.select(pg.detection_delay("predicted", "label")).item()
    2.0
    """
    return _metric("detection_delay", predicted, label, threshold=threshold)


def event_iou(
    predicted: IntoColumn, label: IntoColumn, *, threshold: float | None = None
) -> pl.Expr:
    """Intersection over union of an event and the alarms that touch it, mean over events.

    0 for an event without an alarm; null without an event.

    Parameters
    ----------
    predicted
        Predicted labels; scores, if a threshold is given.
    label
        Which rows are anomalous.
    threshold
        Rows that score above it are predicted.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 1, 1, 1, 0], "label": [0, 0, 1, 1, 1]})
    >>> df.select(pg.event_iou("predicted", "label")).item()
    0.5
    """
    return _metric("event_iou", predicted, label, threshold=threshold)


def range_f1(
    score: IntoColumn,
    label: IntoColumn,
    *,
    alpha: float = 0.2,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """Range-based F1 of Tatbul et al. (2018), with flat bias; null without an anomalous row.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    alpha
        Weight of detection (any predicted row) in the recall of an event.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the best of
        `thresholds` evenly spaced ones: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 1, 1, 0, 0], "label": [1, 1, 1, 1, 0]})
    >>> df.select(pg.range_f1(pl.col("predicted") == 1, "label").round(4)).item()
    0.75
    """
    return _metric(
        "range_f1", score, label, alpha=alpha, threshold=threshold, thresholds=thresholds
    )


def affiliation_precision(
    score: IntoColumn,
    label: IntoColumn,
    *,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """Affiliation precision of Huet et al. (2022): closeness of predictions to their events.

    Null without an anomalous row or without predictions.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the one of
        `thresholds` evenly spaced ones with the best ``affiliation_f1``: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 0, 0, 1], "label": [0, 1, 0, 0]})
    >>> df.select(pg.affiliation_precision(pl.col("predicted") == 1, "label")).item()
    0.125
    """
    return _metric(
        "affiliation_precision", score, label, threshold=threshold, thresholds=thresholds
    )


def affiliation_recall(
    score: IntoColumn,
    label: IntoColumn,
    *,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """Affiliation recall of Huet et al. (2022): closeness of events to their predictions.

    Null without an anomalous row, 0 without predictions.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the one of
        `thresholds` evenly spaced ones with the best ``affiliation_f1``: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"predicted": [0, 1, 0, 0], "label": [0, 1, 0, 0]})
    >>> df.select(pg.affiliation_recall(pl.col("predicted") == 1, "label")).item()
    1.0
    """
    return _metric("affiliation_recall", score, label, threshold=threshold, thresholds=thresholds)


def affiliation_f1(
    score: IntoColumn,
    label: IntoColumn,
    *,
    threshold: float | None = None,
    thresholds: int = 100,
) -> pl.Expr:
    """Harmonic mean of affiliation precision and recall (Huet et al., 2022).

    Null without an anomalous row, 0 without predictions.

    Parameters
    ----------
    score
        Boolean predictions, or scores.
    label
        Which rows are anomalous.
    threshold
        Rows with a score above it are predicted. Without it, scores are evaluated at the best of
        `thresholds` evenly spaced ones: an oracle.
    thresholds
        Number of thresholds of the oracle, from the smallest to the largest score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.9, 0.2, 0.1], "label": [0, 1, 0, 0]})
    >>> df.select(pg.affiliation_f1("score", "label")).item()
    1.0
    """
    return _metric("affiliation_f1", score, label, threshold=threshold, thresholds=thresholds)


def vus_roc(
    score: IntoColumn, label: IntoColumn, *, buffer: int = 100, thresholds: int = 250
) -> pl.Expr:
    """Volume under the ROC surface (Paparrizos et al., 2022), as TSB-AD computes it.

    Null unless there are rows of both kinds.

    Parameters
    ----------
    score
        Higher = more anomalous.
    label
        Which rows are anomalous.
    buffer
        Soft labels surround every event; the area is averaged over buffers of 0 to `buffer` rows.
    thresholds
        Thresholds of each curve, as evenly spaced ranks of the scores.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame({"score": [0.1, 0.2, 0.9, 0.8, 0.1], "label": [0, 0, 1, 1, 0]})
    >>> df.select(pg.vus_roc("score", "label", buffer=0)).item()
    1.0
    """
    return _metric("vus_roc", score, label, buffer=buffer, thresholds=thresholds)


def vus_pr(
    score: IntoColumn, label: IntoColumn, *, buffer: int = 100, thresholds: int = 250
) -> pl.Expr:
    """Volume under the precision-recall surface (Paparrizos et al., 2022), as in TSB-AD.

    Null without an anomalous row.

    Parameters
    ----------
    score
        Higher = more anomalous.
    label
        Which rows are anomalous.
    buffer
        Soft labels surround every event; the area is averaged over buffers of 0 to `buffer` rows.
    thresholds
        Thresholds of each curve, as evenly spaced ranks of the scores.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame(
    ...     {
    ...         "series": ["a"] * 4 + ["b"] * 4,
    ...         "score": [0.1, 0.2, 0.9, 0.1, 0.9, 0.1, 0.2, 0.3],
    ...         "label": [False, False, True, False, False, False, False, True],
    ...     }
    ... )
    >>> by_series = df.group_by("series", maintain_order=True)
    >>> by_series.agg(pg.vus_pr("score", "label", buffer=0))["vus_pr"].to_list()
    [1.0, 0.5]
    """
    return _metric("vus_pr", score, label, buffer=buffer, thresholds=thresholds)


def arp(embedding: IntoColumn, real: IntoColumn, generated: IntoColumn) -> pl.Expr:
    """Anomaly representation proximity of GenIAS: closeness of generated to real anomalies.

    1 / (1 + mean Euclidean distance from each real anomaly to the nearest generated one), in
    (0, 1]; null if a set is empty.

    Parameters
    ----------
    embedding
        An Array of numbers per row, as returned by ``embed``.
    real
        Which rows are real anomalies.
    generated
        Which rows are generated ones.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame(
    ...     {"z": [[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]], "real": [True, False, False]},
    ...     schema_overrides={"z": pl.Array(pl.Float32, 2)},
    ... )
    >>> df.select(pg.arp("z", "real", ~pl.col("real")).round(4)).item()
    0.1667
    """
    return aggregate("arp", [embedding, real, generated]).alias("arp")


def edi(
    embedding: IntoColumn, generated: IntoColumn, *, regions: int = 10, seed: int = 0
) -> pl.Expr:
    """Entropy-based diversity index of GenIAS: spread of generated anomalies.

    Shannon entropy, in nats (0 to ln `regions`), of the distribution of the generated rows over the
    regions that k-means finds among all rows. Values are only comparable between sets of the same
    rows: stack all sets, and compute the index of each. Null if none is generated.

    Parameters
    ----------
    embedding
        An Array of numbers per row, as returned by ``embed``.
    generated
        Which rows belong to the set.
    regions
        Number of regions.
    seed
        Seed of the initial centres.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> df = pl.DataFrame(
    ...     {"z": [[0.0], [0.1], [9.0], [9.1]], "generated": [True, False, True, False]},
    ...     schema_overrides={"z": pl.Array(pl.Float32, 1)},
    ... )
    >>> df.select(pg.edi("z", "generated", regions=2).round(4)).item()
    0.6931
    """
    for name, value, least in (("regions", regions, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            msg = f"parameter `{name}` = {value!r}: must be an integer >= {least}"
            raise ValueError(msg)
    options = {"regions": regions, "seed": seed}
    return aggregate("edi", [embedding, generated], options).alias("edi")
