"""Label the partitions of a dataset that have no labels yet, with a table of models.

The dataset is hive-partitioned by day (``metrics/day=2026-01-05/*.parquet``) and so is the output
(``labelled/day=2026-01-05/labels.parquet``): a day without output is new. Models are read from one
Parquet table. A series is fitted, on its last days up to the new one, when it

* is new: the table has no model of it;
* is ill: its model has a warning in `health`, and newer data may do better;
* has drifted: more than half of the new rows score above the 90 % quantile of the normal scores
  that the model was calibrated on, so the median of the day lies above that quantile. Anomalies are
  rare; if every second row is one, normal has changed.

Models are written before the labels that they make, each file in one step. Run again, or run after
a night that was cut off, it writes the same bytes.

    python examples/nightly.py                                  # on a dataset that it makes
    python examples/nightly.py metrics labelled models.parquet --by host --order-by timestamp
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import polars_genias as pg

DRIFT_QUANTILE = 0.9
DRIFT_SHARE = 0.5
HIGH = "_above_drift_quantile"


@dataclass
class Job:
    """Paths of the job, and options of the fits."""

    metrics: Path
    labelled: Path
    models: Path
    by: str
    order_by: str
    train_days: int = 7
    options: dict[str, Any] = field(default_factory=dict)

    def night(self) -> list[pl.DataFrame]:
        """Labels all new days, oldest first; returns series and reasons of refits, or null."""
        done = {path.parent.name for path in self.labelled.glob("*=*/labels.parquet")}
        days = self.days()
        return [self.label_day(days, day) for day in days if day not in done]

    def days(self) -> list[str]:
        """The folders of all days, oldest first."""
        return sorted(path.name for path in self.metrics.glob("*=*"))

    def label_day(self, days: list[str], day: str) -> pl.DataFrame:
        """Labels one day, after refitting models if necessary."""
        rows, at = self.read([day]), self.roles()
        why = self.reasons(rows, at).with_columns(day=pl.lit(day))
        due = why.drop_nulls("reason").lazy()
        if why["reason"].count():
            last = days[: days.index(day) + 1][-self.train_days :]
            of_due = self.read(last).join(due, on=self.by, how="semi", nulls_equal=True)
            fitted = of_due.genias.fit(**at, **self.options).with_columns(fitted=pl.lit(day))
            kept = self.table().join(due, on=self.by, how="anti", nulls_equal=True)
            self.write(pl.concat([kept.collect(), fitted.collect()]).sort(self.by), self.models)
        at["models"] = self.models
        labelled = rows.genias.score(**at).genias.label(**at)
        self.write(labelled, self.labelled / day / "labels.parquet")
        return why

    def reasons(self, rows: pl.LazyFrame, at: dict[str, Any]) -> pl.DataFrame:
        """Reason to refit each series of the new rows, or null."""
        table = self.table()
        needed = rows.select(self.by, self.order_by, *at["features"])
        high = needed.genias.label(models=table, quantile=DRIFT_QUANTILE, name=HIGH, **at)
        ill = pl.col("model").genias.describe().struct.field("health").list.len() > 0
        return (
            high.group_by(self.by)
            .agg(pl.col(HIGH).mean())
            .join(table, on=self.by, how="left", nulls_equal=True)
            .select(
                self.by,
                reason=pl.when(pl.col("model").is_null())
                .then(pl.lit("new"))
                .when(ill)
                .then(pl.lit("health"))
                .when(pl.col(HIGH) > DRIFT_SHARE)
                .then(pl.lit("drift")),
            )
            .sort(self.by)
            .collect()
        )

    def roles(self) -> dict[str, Any]:
        """Columns by role, listed so that new columns do not become features."""
        schema = self.read(self.days()).collect_schema()
        rest = {n: d for n, d in schema.items() if n not in (self.by, self.order_by)}
        features = [name for name, dtype in rest.items() if dtype.is_numeric()]
        return {"features": features, "by": self.by, "order_by": self.order_by}

    def read(self, days: list[str]) -> pl.LazyFrame:
        """The rows of some days; the day is only in the folder name."""
        files = [path for day in days for path in sorted((self.metrics / day).glob("*.parquet"))]
        if not files:
            msg = f"{self.metrics}: no Parquet file in {', '.join(days) or 'any folder'}"
            raise ValueError(msg)
        return pl.scan_parquet(files, glob=False, hive_partitioning=False)

    def table(self) -> pl.LazyFrame:
        """The models with their days; empty before the first night."""
        if self.models.exists():
            return pl.scan_parquet(self.models)
        key = self.read(self.days()).collect_schema()[self.by]
        return pl.LazyFrame(schema={self.by: key, "model": pl.Binary, "fitted": pl.String})

    @staticmethod
    def write(frame: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
        """Writes a file atomically."""
        pg.sink_parquet(frame.lazy(), path)


def make_day(folder: Path, number: int, *, drifted: bool = False) -> None:
    """A day of two hosts, with a row every five minutes; `drifted`: web-1 has another load."""
    day = date(2026, 1, 1) + timedelta(days=number)
    rng = np.random.default_rng(number)
    t = np.arange(288)
    frames = []
    for host in range(2):
        busy = 4.0 if drifted and host == 1 else 0.0
        wave = np.sin(2 * np.pi * t / 48 + host)
        columns = {
            "timestamp": [
                datetime(day.year, day.month, day.day) + timedelta(minutes=5 * i)
                for i in range(288)
            ],
            "cpu": wave + busy + rng.normal(0, 0.1, 288),
            "memory": 0.5 * wave**2 + busy + rng.normal(0, 0.1, 288),
        }
        frames.append(pl.DataFrame({"host": [f"web-{host}"] * 288, **columns}))
    path = folder / f"day={day}"
    path.mkdir(parents=True)
    pl.concat(frames).write_parquet(path / "0.parquet")


def demo(folder: Path) -> None:
    """Three nights: three days at once, no new day, and a day on which one host has changed."""
    small = {"window": 32, "steps": 40, "channels": 8}
    at = (folder / "metrics", folder / "labelled", folder / "models.parquet")
    job = Job(*at, by="host", order_by="timestamp", train_days=3, options=small)
    for number in range(3):
        make_day(job.metrics, number)
    show(job.night())
    show(job.night())
    make_day(job.metrics, 3, drifted=True)
    show(job.night())


def show(nights: list[pl.DataFrame]) -> None:
    """Print the result."""
    print(pl.concat(nights) if nights else "nothing new")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="METRICS LABELLED MODELS")
    parser.add_argument("--by", default="host")
    parser.add_argument("--order-by", default="timestamp")
    parser.add_argument("--train-days", type=int, default=7)
    parser.add_argument("--window", type=int)
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    if not given.paths:
        with tempfile.TemporaryDirectory() as folder:
            demo(Path(folder))
        return
    if len(given.paths) != 3:
        parser.error("three paths are needed: METRICS LABELLED MODELS")
    options = {"window": given.window, "steps": given.steps}
    show(Job(*given.paths, given.by, given.order_by, given.train_days, options).night())


if __name__ == "__main__":
    main()
