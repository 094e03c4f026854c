"""The nightly job: labels of the partitions that have none yet, by models that are kept.

What a night writes, in this order: the labels of a partition under a hidden name, the models with
what they have seen, and the labels' own name. A night that is killed between two of these goes on
from there: no row is labelled twice, and none is left out.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

log = logging.getLogger("polars_genias.nightly")

DRIFT_QUANTILE = 0.995
"""Rows above this quantile of the scores that a model was calibrated on are high."""
DRIFT_SHARE = 0.5
"""A series has drifted where more of its rows are high, two nights in a row: one night may be an
incident, which is to be an alarm and not the new normal."""
TRAIN_WINDOWS = 15
"""A model is fitted on at least this many windows of rows, where there are as many."""
GROWTH = 2
"""A model that was fitted on less is fitted anew on this many times its rows."""
CONTEXT_WINDOWS = 4
"""Windows of rows before the new ones that these are scored with: so many that the scores of the
last night's end are final, and models follow those."""

LABELS = "labels.parquet"
STAGED = f".{LABELS}"
_NEW, _HIGH, _BEFORE = "genias: new", "genias: high", "genias: before"
_SCORES = {"anomaly_score": pl.Float32, "anomaly_label": pl.Boolean, "model": pl.Binary}


@dataclass
class Job:
    """Where things are, how models are fitted, and how many false alarms are acceptable."""

    metrics: Path
    labelled: Path
    models: Path
    by: list[str]
    order_by: str
    features: list[str] | None = None
    train_days: int = 7
    window: int = 200
    skip: bool = False
    """Whether a series that fails gets null labels, instead of ending the job."""
    fitting: dict[str, Any] = field(default_factory=dict)
    labelling: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[pl.DataFrame]:
        """Label every new partition, the oldest first; of each, the status of its series."""
        self.finish()
        every = self.partitions()
        new = [name for name in every if not (self.labelled / name / LABELS).exists()]
        return [Night(self, [other for other in every if other <= name]).run() for name in new]

    def partitions(self) -> list[str]:
        """The folders of all partitions, the oldest first."""
        return sorted(path.name for path in self.metrics.glob("*=*") if path.is_dir())

    def finish(self) -> None:
        """Gives their name to the labels of a night that was killed after it wrote its models."""
        seen = self.table().select(pl.col("seen").max()).collect().item()
        staged = self.labelled / str(seen) / STAGED
        if seen is not None and staged.exists():
            staged.rename(staged.with_name(LABELS))

    def read(self, partitions: Sequence[str]) -> pl.LazyFrame:
        """The rows of some partitions; their keys are in the folders' names only."""
        found = [path for name in partitions for path in (self.metrics / name).rglob("*.parquet")]
        files = sorted(path for path in found if not path.name.startswith("."))
        if not files:
            msg = f"{self.metrics}: no Parquet file in {', '.join(partitions) or 'any folder'}"
            raise ValueError(msg)
        return pl.scan_parquet(files, glob=False, hive_partitioning=False)

    def table(self) -> pl.LazyFrame:
        """The models: when and why each was fitted, on how many rows, and what it has seen."""
        if self.models.exists():
            return pl.scan_parquet(self.models)
        schema = self.read(self.partitions()).collect_schema()
        columns: dict[str, Any] = {name: schema[name] for name in self.by}
        columns |= {"model": pl.Binary, "fitted": pl.String, "reason": pl.String}
        columns |= {"trained_on": pl.UInt32, "seen": pl.String, "high": pl.Float64}
        return pl.LazyFrame(schema=columns)

    @cached_property
    def roles(self) -> dict[str, Any]:
        """Columns by their role; named, so that new columns beside them do not become features."""
        schema = self.read(self.partitions()[:1]).collect_schema()
        others = {*self.by, self.order_by}
        numeric = [n for n, dtype in schema.items() if dtype.is_numeric() and n not in others]
        features = numeric if self.features is None else self.features
        return {"features": features, "by": self.by, "order_by": self.order_by}

    def last_rows(self, partitions: Sequence[str], keys: pl.DataFrame, most: int) -> pl.DataFrame:
        """The last rows of some partitions, at most so many of each of some series."""
        keys = keys.select(self.by).unique()
        found = self.read(partitions).head(0).collect()
        for name in reversed(partitions):
            rows = self.of(self.read([name]).collect(), keys)
            found = pl.concat([rows, found], how="vertical_relaxed")
            counts = keys.join(found.group_by(self.by).len(), self.by, "left", nulls_equal=True)
            if min(counts["len"].fill_null(0), default=0) >= most:
                break
        found = self.finite(found.sort(self.order_by, maintain_order=True))
        return found.group_by(self.by, maintain_order=True).tail(most).select(found.columns)

    def finite(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of earlier nights: their infinite values, reported then, count as missing."""
        floats = [name for name in self.roles["features"] if rows.schema[name].is_float()]
        return rows.with_columns(
            pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in floats
        )

    def of(self, rows: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of some series."""
        return rows.join(keys, on=self.by, how="semi", nulls_equal=True)

    def without(self, rows: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of other series."""
        return rows.join(keys, on=self.by, how="anti", nulls_equal=True)

    def beside(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """Two tables of series, side by side; null where the right one has no row."""
        return left.join(right, on=self.by, how="left", nulls_equal=True)


class Night:
    """One partition to label."""

    def __init__(self, job: Job, partitions: Sequence[str]) -> None:
        self.job, self.before, self.name = job, partitions[:-1], partitions[-1]
        self.partitions = partitions
        self.rows = job.read([self.name]).collect()
        self.models = job.table().collect()
        keys, most = self.rows.select(job.by), CONTEXT_WINDOWS * job.window
        self.context = job.last_rows(self.before, keys, most) if self.before else None
        self.given = {**job.roles, "on_error": "null" if job.skip else "raise"}
        # What models have seen already is labelled again, and they stay as they are.
        self.late = str(self.models["seen"].max() or "") >= self.name

    def run(self) -> pl.DataFrame:
        """Label it, and write what changed."""
        log.info("%s: %d rows", self.name, self.rows.height)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the table of status says it
            series = self.series()
            models = self.fitted(series)
            labelled = self.labelled(models)
            status = self.status(series, models, labelled)
        self.write(labelled, self.after(models, series, labelled))
        self.say(status)
        return status

    def write(self, labelled: pl.DataFrame, models: pl.DataFrame) -> None:
        """Labels, then models, then the labels' name."""
        folder = self.job.labelled / self.name
        pg.sink_parquet(labelled.drop("model").lazy(), folder / STAGED)
        if not models.equals(self.models):
            pg.sink_parquet(models.lazy(), self.job.models)
        (folder / STAGED).rename(folder / LABELS)

    def series(self) -> pl.DataFrame:
        """The series of the new rows: how many of their rows are high, and why to fit them."""
        job = self.job
        given = {**self.given, "models": self.models.select(*job.by, "model"), "name": _HIGH}
        null = pl.lit(None, pl.Boolean).alias(_HIGH)
        high = (
            self.rows.genias.label(**given, history=self.context, quantile=DRIFT_QUANTILE)
            if self.models.height
            else self.rows.with_columns(null)
        )
        ill = pl.col("model").genias.describe().struct.field("health").list.len() > 0
        shares = high.group_by(job.by).agg(rows=pl.len(), high=pl.col(_HIGH).mean())
        models = self.models.rename({"high": "high before", "reason": "fitted because"})
        known = job.beside(shares, models.with_columns(ill=ill))
        drifted = (pl.col("high") > DRIFT_SHARE) & (pl.col("high before") > DRIFT_SHARE)
        enough = TRAIN_WINDOWS * job.window // GROWTH
        reason = (
            pl.when(pl.col("model").is_null())
            .then(pl.lit("new"))
            .when("ill")
            .then(pl.lit("health"))
            .when(drifted)
            .then(pl.lit("drift"))
            .when(pl.col("trained_on") < enough)
            .then(pl.lit("little"))
        )
        columns = [pl.col(*job.by, "rows", "high"), pl.col("trained_on").alias(_BEFORE)]
        return known.select(*columns, reason=reason).sort(job.by)

    def fitted(self, series: pl.DataFrame) -> pl.DataFrame:
        """The models, after those that are due have been fitted on the rows up to now."""
        job, due = self.job, series.drop_nulls("reason")
        if self.late or not due.height:
            return self.models
        rows = self.history(due)
        counts = rows.group_by(job.by).agg(trained_on=pl.len().cast(pl.UInt32))
        grown = pl.col("trained_on") >= GROWTH * pl.col(_BEFORE)
        due = job.beside(due, counts).filter(
            (pl.col("reason") != "little") | grown, pl.col("trained_on") >= job.window
        )
        if not due.height:
            return self.models
        log.info("%s: fits %d series", self.name, due.height)
        made = (
            job.of(rows, due)
            .genias.fit(**self.given, only="score", **job.fitting)
            .drop_nulls("model")
        )
        made = job.beside(made.select(*job.by, "model"), due).with_columns(
            fitted=pl.lit(self.name),
            seen=pl.lit(None, pl.String),
            high=pl.lit(None, pl.Float64),
        )
        kept = job.without(self.models, made)
        return pl.concat([kept, made.select(kept.columns)], how="vertical_relaxed").sort(job.by)

    def history(self, due: pl.DataFrame) -> pl.DataFrame:
        """What series are fitted on: the last days, and rows before them where these are few."""
        job, days = self.job, self.job.train_days
        last = job.finite(job.of(job.read(self.partitions[-days:]).collect(), due))
        fewest = min(last.group_by(job.by).len()["len"], default=0)
        missing = TRAIN_WINDOWS * job.window - fewest
        if missing <= 0 or not self.partitions[:-days]:
            return last
        more = job.last_rows(self.partitions[:-days], due, missing)
        return pl.concat([more, last], how="vertical_relaxed")

    def labelled(self, models: pl.DataFrame) -> pl.DataFrame:
        """The new rows with scores and labels; at the last row of a series, its model after it."""
        job = self.job
        given = {**self.given, "models": models.select(*job.by, "model")}

        if not models.height:
            nulls = (pl.lit(None, dtype).alias(name) for name, dtype in _SCORES.items())
            return self.rows.with_columns(nulls)
        given["history"] = self.context
        scored = self.rows.genias.score(**given)
        labelled = scored.genias.label(**given, **job.labelling, update=not self.late)
        none = pl.lit(None, pl.Binary).alias("model")
        return labelled.with_columns(none) if self.late else labelled

    def after(
        self, models: pl.DataFrame, series: pl.DataFrame, labelled: pl.DataFrame
    ) -> pl.DataFrame:
        """The models after they have seen the new rows."""
        job = self.job
        if self.late:
            return models
        high = series.select(*job.by, pl.col("high").alias(_HIGH))
        models = job.beside(models, high).with_columns(
            high=pl.when(pl.col("fitted") == self.name).then(None).otherwise(_HIGH)
        )
        models = models.drop(_HIGH)
        seen = labelled.drop_nulls("model").select(*job.by, pl.col("model").alias(_NEW))
        joined = job.beside(models, seen.unique(job.by, keep="last"))
        newer = pl.col(_NEW).is_not_null()
        return joined.with_columns(
            model=pl.coalesce(_NEW, "model"),
            seen=pl.when(newer).then(pl.lit(self.name)).otherwise("seen"),
        ).drop(_NEW)

    def status(
        self, series: pl.DataFrame, models: pl.DataFrame, labelled: pl.DataFrame
    ) -> pl.DataFrame:
        """A row per series: its status, its alarms, and how far it has drifted."""
        job = self.job
        label, features = pl.col("anomaly_label"), self.given["features"]
        starts = label & ~label.shift(1, fill_value=False)
        infinite = pl.any_horizontal(pl.col(features).cast(pl.Float64).is_infinite())
        counts = (
            labelled.sort(job.order_by, maintain_order=True)
            .group_by(job.by)
            .agg(
                alarms=starts.sum().cast(pl.UInt32),
                anomalous_rows=label.sum().cast(pl.UInt32),
                labelled=label.count().cast(pl.UInt32),
                infinite=infinite.any(),
            )
        )
        fitted = pl.col("fitted") == self.name
        table = job.beside(job.beside(series.drop(_BEFORE), counts), models.drop("reason", "high"))
        status = (
            pl.when("infinite")
            .then(pl.lit("infinite"))
            .when(pl.col("labelled") > 0)
            .then(pl.when(fitted).then(pl.lit("refitted")).otherwise(pl.lit("ok")))
            .when(pl.col("model").is_null() & (pl.col("rows") < job.window))
            .then(pl.lit("short"))
            .otherwise(pl.lit("no_window"))
        )
        columns = [*job.by, "rows", "labelled", "anomalous_rows", "alarms", "high", "reason"]
        table = table.select(pl.lit(self.name).alias("partition"), *columns, status=status)
        return table.with_columns(
            pl.when(pl.col("status") == "refitted").then("reason").alias("reason")
        )

    def say(self, status: pl.DataFrame) -> None:
        """A line of the log for each series."""
        for row in status.iter_rows(named=True):
            series = ", ".join(f"{key} = {row[key]}" for key in self.job.by)
            why = f" ({row['reason']})" if row["reason"] else ""
            level = logging.INFO if row["labelled"] else logging.WARNING
            line = "%s: %s: %s%s, %d alarms in %d rows"
            log.log(level, line, self.name, series, row["status"], why, row["alarms"], row["rows"])
