"""The main job on generated data: ``genias demo FOLDER``.

Twelve hosts report five metrics every five minutes. The job fits a model per host, adds anomalies
to the metrics, scores the result, and reports per host how well the anomalies are detected. It
reads and writes Parquet lazily.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

METRICS = ["cpu", "memory", "requests", "latency", "errors"]
UNITS = {"cpu": "%", "memory": "%", "requests": "1/s", "latency": "ms", "errors": "1/min"}
SYNTHETIC = {name: f"{name}_synthetic" for name in METRICS}
PER_DAY = 288
"""Rows per day: one every five minutes."""
INCIDENT_HOSTS = (3, 8)
"""Hosts with labelled incidents."""


@dataclass(frozen=True)
class Size:
    """Size of the data and length of the training."""

    hosts: int = 12
    rows: int = 20_000
    steps: int = 400


def host_metrics(number: int, rows: int) -> pl.DataFrame:
    """Correlated metrics of one host, with daily and weekly cycles, nulls and incidents."""
    rng = np.random.default_rng([20_250_211, number])
    t = np.arange(rows)
    load = _load(t, rng)
    incident = np.zeros(rows, dtype=bool)
    cpu = 12 + 60 * load + rng.normal(0, 1.5, rows)
    requests = 900 * load * (1 + 0.1 * number) + rng.normal(0, 12, rows)
    latency = 18 + 9 / (1.25 - load) + np.exp(rng.normal(0, 0.35, rows))
    # A slow leak, reset by a restart every few days.
    memory = 35 + 12 * load + 18 * ((t / (PER_DAY * 3.3) + rng.random()) % 1)
    memory += rng.normal(0, 0.4, rows)
    errors = rng.poisson(0.04 + 0.12 * load**4, rows).astype(float)
    if number in INCIDENT_HOSTS:
        for start in rng.integers(rows // 10, rows - 200, 4):
            hit = slice(start, start + int(rng.integers(30, 90)))
            incident[hit] = True
            cpu[hit] += 25
            latency[hit] *= 4
            errors[hit] += rng.poisson(6, len(t[hit]))
    columns = {
        "cpu": cpu.clip(0, 100),
        "memory": memory.clip(0, 100),
        "requests": requests.clip(0),
        "latency": latency,
        "errors": errors,
    }
    frame = pl.DataFrame({name: columns[name].astype(np.float32) for name in METRICS})
    lost = np.zeros(rows, dtype=bool)
    for start in rng.integers(0, rows - 8, max(1, rows // 2500)):
        lost[start : start + int(rng.integers(1, 8))] = True
    start = datetime(2026, 1, 1)
    return frame.with_columns(
        pl.datetime_range(start, start + timedelta(minutes=5 * (rows - 1)), "5m", eager=True).alias(
            "timestamp"
        ),
        memory=pl.when(pl.Series(lost)).then(None).otherwise("memory"),
        incident=pl.Series(incident),
    ).select("timestamp", *METRICS, "incident")


def _load(t: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Load between 0 and 1: two peaks per day, quieter weekends, and a slow random walk."""
    day = 2 * np.pi * (t / PER_DAY + 0.05 * rng.random())
    weekend = np.where(t // PER_DAY % 7 >= 5, 0.75, 1.0)
    wander = np.convolve(rng.normal(0, 1, len(t) + 299), np.ones(300) / 300, "valid")
    load = 0.45 - 0.26 * np.cos(day) - 0.1 * np.cos(2 * day + 0.7)
    return (load * weekend + 0.6 * wander).clip(0.02, 1.0)


def write_metrics(folder: Path, size: Size) -> Path:
    """Write the dataset, partitioned by host: ``host=NAME/part-0.parquet``."""
    for number in range(size.hosts):
        path = folder / f"host=web-{number:02}" / "part-0.parquet"
        pg.sink_parquet(host_metrics(number, size.rows).lazy(), path)
    return folder


@dataclass
class Log:
    """Log of the steps with times, on stderr and in ``demo.log``."""

    path: Path
    started: float = field(default_factory=time.perf_counter)

    def __call__(self, text: str) -> None:
        """Log the next step."""
        line = f"{time.perf_counter() - self.started:6.1f} s  {text}"
        print(line, file=sys.stderr, flush=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def run(folder: Path, size: Size, say: Log) -> pl.DataFrame:
    """Run the job: models, augmented rows and scores in `folder`; return a summary per host."""
    say(f"make {size.hosts} hosts of {size.rows:,} rows in {folder / 'metrics'}")
    metrics = pl.scan_parquet(write_metrics(folder / "metrics", size), hive_partitioning=True)

    say(f"fit a model per host: most of the time, {_estimate(size)}")
    models = pg.sink_parquet(
        metrics.genias.fit(
            features=METRICS,
            by="host",
            order_by="timestamp",
            label="incident",
            steps=size.steps,
        ),
        folder / "models.parquet",
    )
    say("add anomalies to the rows")
    augmented = pg.sink_parquet(
        pg.generate(
            metrics,
            models=models,
            features=METRICS,
            by="host",
            order_by="timestamp",
            label="incident",
            contamination=0.05,
            length=(24, 96),  # two to eight hours
            strength=(1.0, 3.0),
            seed=7,
        ),
        folder / "augmented.parquet",
    )
    say("score the rows with the anomalies")
    scored = pg.sink_parquet(
        pg.score(
            pl.scan_parquet(augmented),
            models=models,
            features=SYNTHETIC,
            by="host",
            order_by="timestamp",
        ),
        folder / "scored.parquet",
    )
    say("evaluate the scores with the labels")
    return summary(pl.scan_parquet(models), pl.scan_parquet(scored))


def _estimate(size: Size) -> str:
    """Approximate time of the fits: about 2 s of one core each."""
    seconds = size.hosts * 2 / (os.cpu_count() or 1)
    return (
        f"some {max(1, round(seconds / 60))} minutes" if seconds > 90 else f"some {seconds:.0f} s"
    )


def summary(models: pl.LazyFrame, scored: pl.LazyFrame) -> pl.DataFrame:
    """Per host: properties of its model, and detection of its added anomalies."""
    learned = models.select("host", pg.describe("model").alias("about")).select(
        "host",
        *(pl.col("about").struct.field(name) for name in ("psi", "r2", "patch_rate", "health")),
    )
    judged = pl.col("anomaly_score").is_not_null() & ~pl.col("incident")
    found = scored.group_by("host").agg(
        anomalies=pl.col("anomaly_id").max(),
        rows_hit=pl.col("is_anomaly").mean(),
        auc_pr=pg.auc_pr(
            pl.col("anomaly_score").filter(judged), pl.col("is_anomaly").filter(judged)
        ),
    )
    return learned.join(found, on="host").sort("host").collect()


def picture(scored: Path, host: str, path: Path) -> Path:
    """Draw a few days of one host around a clearly visible anomaly, and save a PNG."""
    from polars_genias import plots

    rows = pl.scan_parquet(scored).filter(pl.col("host") == host).sort("timestamp").collect()
    shown = [name for name in METRICS if name != "memory"]
    centre = _well_visible(rows, shown)
    chart = plots.plot_series(
        rows.slice(max(0, centre - 500), 1000),
        features=shown,
        order_by="timestamp",
        units=UNITS,
        title=host,
    )
    return plots.save(chart, path)


def _well_visible(rows: pl.DataFrame, metrics: Sequence[str]) -> int:
    """Middle row of an anomaly whose strength exceeds that of three in four.

    Prefers anomalies with usual values: a load that never occurs is easy to detect.
    """
    moved = pl.sum_horizontal(
        ((pl.col(f"{name}_synthetic") - pl.col(name)) / pl.col(name).std()).abs()
        for name in metrics
    )
    usual = pl.all_horizontal(
        pl.col(f"{name}_synthetic").is_between(pl.col(name).min(), pl.col(name).max())
        | pl.col(name).is_null()
        for name in metrics
    )
    anomalies = (
        rows.with_row_index("row")
        .with_columns(usual=usual)
        .filter(pl.col("is_anomaly"))
        .group_by("anomaly_id")
        .agg(
            middle=pl.col("row").mean().cast(pl.Int64),
            moved=moved.mean(),
            usual=pl.col("usual").all(),
        )
    )
    if anomalies["usual"].any():
        anomalies = anomalies.filter("usual")
    return int(anomalies.sort("moved", descending=True)["middle"][anomalies.height // 4])


def run_and_draw(folder: Path, size: Size) -> tuple[pl.DataFrame, dict[str, Path]]:
    """Run the job and draw its chart; return the summary per host, and the written files."""
    (folder / "demo.log").unlink(missing_ok=True)
    say = Log(folder / "demo.log")
    table = run(folder, size, say)
    written = {name: folder / f"{name}.parquet" for name in ("models", "augmented", "scored")}
    say("draw the host with the best scores")
    best = table.sort("auc_pr", descending=True, nulls_last=True)["host"][0]
    written["drawn"] = picture(written["scored"], best, folder / "demo.png")
    say("done")
    return table, {"read": folder / "metrics"} | written | {"log": say.path}


def report(table: pl.DataFrame, written: dict[str, Path], size: Size, seconds: float) -> None:
    """Print the summary, and the paths of all outputs."""
    with pl.Config(tbl_rows=-1, float_precision=3, fmt_str_lengths=40, tbl_width_chars=120):
        print(table)
    for name, path in written.items():
        print(f"{name if name in ('read', 'drawn', 'log') else 'written':<8}{path}")
    print(f"{size.hosts} hosts x {size.rows} rows in {seconds:.1f} s")


if __name__ == "__main__":
    from polars_genias.cli import main

    sys.exit(main(["demo", *sys.argv[1:]]))
