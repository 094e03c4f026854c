"""Detectors on the same anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._features import listed
from polars_genias._foreign import like, to_polars
from polars_genias._table import with_options
from polars_genias.verbs._call import expression, is_frame
from polars_genias.verbs._fit import fit as fit_models
from polars_genias.verbs._score import score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import CompareOptions
    from polars_genias._types import Features, Frame, IntoColumn, Keys
    from polars_genias.verbs._call import Order


@overload
def compare(
    data: Frame,
    *,
    scores: Features | None = None,
    detectors: str | Sequence[str] | None = None,
    train: Frame | None = None,
    features: Features | None = None,
    fit: Mapping[str, Any] | None = None,
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
    detectors: Any = None,
    train: Any = None,
    features: Any = None,
    fit: Any = None,
    label: Any,
    by: Any = None,
    order_by: Any = None,
    **options: Any,
) -> Any:
    """Compare detectors on the same anomalies, at the same rate of false alarms.

    In every series each column has its own line: the score that at most a share
    `false_alarm_rate` of the rows without an anomaly passes. An event, a run of anomalous rows, is
    caught where one of its rows passes the line. Scores may come from `score`, or from elsewhere.
    Detectors that are given by name are fitted first.

    Parameters
    ----------
    data
        A frame, or a struct of columns of scores: higher is more anomalous. Null scores pass no
        line.
    scores
        Frames: the columns of scores. The first is what the others are compared with; detectors by
        name come after them.
    detectors
        Frames: names of detectors, as in `fit`. Each is fitted per group and scores all rows; its
        scores are called by its name.
    train
        Frames: the rows that `detectors` are fitted to, without the anomalies in the column
        `label`, if it has one. By default those of `data`.
    features
        Frames: the features of `detectors`; by default as in `fit`, without `scores`. With
        ``{"cpu": "cpu_synthetic"}``, detectors are fitted to ``cpu`` of `train` (if it lacks the
        column ``cpu_synthetic``) and score ``cpu_synthetic`` of `data`.
    fit
        Frames: options of `fit` for `detectors`, such as ``{"window": 100}``.
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
        if scores is None and not detectors:
            msg = "parameter `scores`: name the columns of scores, or name `detectors`"
            raise ValueError(msg)
        roles = {"by": by, "order_by": order_by}
        rows, names = to_polars(data), listed(detectors)
        columns = (
            {} if scores is None else frames.inputs(rows, scores, label=label, **roles).features
        )
        if names:
            at = frames.inputs(rows, features, label=label, **roles)
            used = [] if features is not None else columns.values()
            own = {name: column for name, column in at.features.items() if column not in used}
            by_name = _Detectors(own, label, train, roles, fit or {})
            for name in names:
                rows = by_name.score(rows, name)
        columns = {**columns, **{name: name for name in names}}
        at = frames.inputs(rows, columns, label=label, **roles)
        return like(data, frames.compare_frame(at, options))
    of_frames = {"scores": scores, "by": by, "detectors": detectors, "train": train}
    of_frames |= {"features": features, "fit": fit}
    if any(value is not None for value in of_frames.values()):
        given = ", ".join(f"`{name}`" for name in of_frames)
        msg = f"parameters {given} are of frames: pass a struct of columns of scores"
        raise ValueError(msg)
    return expression("compare", data, options, order_by=order_by, label=label, changes_length=True)


@dataclass
class _Detectors:
    """Detectors by name, and the rows that they are fitted to."""

    features: dict[str, str]
    label: str
    train: Any
    roles: dict[str, Any]
    fit: Mapping[str, Any]

    def score(self, rows: Any, name: str) -> Any:
        """The rows with the scores of a detector, named like it."""
        # Alarms follow the scores of rows by themselves.
        at: dict[str, Any] = {"features": self.features, **self.roles, "as_": "row"}
        if self.train is None:
            return score(rows, **at, label=self.label, name=name, **{**self.fit, "detector": name})
        train = to_polars(self.train, "train")
        schema = train.lazy().collect_schema()
        known = self.label if self.label in schema else None
        of_train = {**self.roles, "features": self._columns_of(schema), "label": known}
        models = fit_models(train, **of_train, **{**self.fit, "detector": name})
        chosen: dict[str, Any] = {"detector": name}
        return score(rows, **at, models=models, name=name, **chosen)

    def _columns_of(self, train: pl.Schema) -> dict[str, str]:
        """The columns of the features in `train`: as in the rows, or else named like the features.

        Synthetic columns are only in the rows.
        """
        if all(column in train for column in self.features.values()):
            return self.features
        return {name: name for name in self.features}
