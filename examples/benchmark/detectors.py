"""Every detector with every source of negatives, and trivial baselines, on labelled series.

Reads a folder of Parquet files in the benchmark layout (columns ``series, split, t, label`` and
features; ``polars_genias.datasets`` writes it from the public archives). Detectors are fitted on
the train rows of a series with their defaults and score its test rows; labels of test rows are
read by the metrics only, and to find the normal windows of `probes.py`. One row per dataset,
series, method and seed goes to a Parquet file, which is written after every dataset and seed;
methods that are there already are not run again.

    python examples/benchmark/detectors.py DATA_FOLDER results.parquet
    python examples/benchmark/tables.py results.parquet
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl
from baselines import BASELINES
from probes import Probes

import polars_genias as pg

WINDOW = 200
SERIES: dict[str, list[str] | None] = {
    "msl": None,
    "nab": None,
    "smap": ["A-1", "A-7", "D-1", "D-2", "D-8", "E-3", "E-7", "F-2", "G-6", "S-1"],
    "ucr": [
        "004_DISTORTEDBIDMC1",
        "014_DISTORTEDECG3",
        "026_DISTORTEDInternalBleeding15",
        "036_DISTORTEDInternalBleeding9",
        "046_DISTORTEDPowerDemand3",
        "056_DISTORTEDapneaecg3",
        "098_NOISEInternalBleeding16",
        "103_NOISETkeepThirdMARS",
        "119_ECG1",
        "130_GP711MarkerLFM5z4",
        "146_Lab2Cmac011215EPG2",
        "151_MesoplodonDensirostris",
        "161_WalkingAceleration1",
        "182_qtdbSel1005V",
        "250_weallwalk",
    ],
}
"""Evaluated series of a file; `None`: all. The others of smap and ucr served for development, and
these were spread evenly by name over what development had not looked at."""

SOURCES = ("genias", "classical", "mixed", "noise")
METHODS: dict[str, dict[str, str]] = {
    "evidence": {"detector": "evidence"},
    "ensemble": {"detector": "ensemble"},
    "reconstruction": {"detector": "reconstruction"},
    "amplitude": {"detector": "amplitude"},
    **{
        f"classifier {s}": {"detector": "classifier", "negatives": s}
        for s in (*SOURCES, "deformed", "all")
    },
    **{f"carla {s}": {"detector": "carla", "negatives": s} for s in SOURCES},
}
KEYS = ["dataset", "series", "method", "seed"]


def read(folder: Path, dataset: str) -> pl.DataFrame:
    """The evaluated series of one file."""
    frame = pl.scan_parquet(folder / f"{dataset}.parquet")
    names = SERIES.get(dataset)
    if names is not None:
        frame = frame.filter(pl.col("series").is_in(names))
    return frame.sort("series", "split", "t").collect()


def evaluate(scored: pl.LazyFrame) -> pl.LazyFrame:
    """Metrics of every series, by one query over rows `series, t, label, score, predicted`."""
    by_time = {"partition_by": "series", "order_by": "t"}
    window = scored.with_columns(
        pl.col("score").rolling_mean(WINDOW).over(**by_time),
        pl.col("label").cast(pl.Int8).rolling_max(WINDOW).over(**by_time).cast(pl.Boolean),
    ).drop_nulls(["score", "label"])
    per_row = scored.group_by("series").agg(
        pg.auc_pr("score", "label"),
        pg.auc_roc("score", "label"),
        pg.vus_pr("score", "label"),
        pg.vus_roc("score", "label"),
        pg.best_f1("score", "label"),
        pg.affiliation_f1("score", "label").alias("best_affiliation_f1"),
        pg.f1("predicted", "label").alias("auto_f1"),
        pg.affiliation_f1("predicted", "label").alias("auto_affiliation_f1"),
        pl.col("predicted").mean().alias("auto_rate"),
        pl.col("score").is_nan().any().alias("has_nan"),
    )
    per_window = window.group_by("series").agg(
        pg.best_f1("score", "label").alias("window_best_f1"),
        pg.auc_pr("score", "label").alias("window_auc_pr"),
    )
    return per_row.join(per_window, on="series", how="left")


def baseline(data: pl.DataFrame, features: list[str], name: str, seed: int) -> pl.DataFrame:
    """Scores of the test rows by a baseline of `baselines.py`."""
    parts = []
    for (series,), group in data.group_by("series", maintain_order=True):
        train, test = (group.filter(pl.col("split") == split) for split in ("train", "test"))
        matrices = (part.select(features).to_numpy().astype(np.float64) for part in (train, test))
        options = {"seed": seed} if name == "random" else {}
        score = BASELINES[name](*matrices, **options)
        rows = test.select("t", "label").with_columns(
            series=pl.lit(series),
            score=pl.Series(score, dtype=pl.Float64),
            predicted=pl.lit(None, dtype=pl.Boolean),
        )
        parts.append(rows)
    return pl.concat(parts)


def detector(
    train: pl.LazyFrame, test: pl.LazyFrame, models: pl.DataFrame, args: dict, options: dict
) -> tuple[pl.DataFrame, pl.DataFrame, float]:
    """Scores and labels of the test rows, the fitted models, and seconds of the scoring."""
    fitted = train.genias.fit(**args, models=models, label="label", **options).collect()
    started = time.perf_counter()
    scored = test.genias.score(**args, models=fitted, name="score")
    scored = scored.genias.label(**args, models=fitted, name="predicted")
    scored = scored.select("series", "t", "label", "score", "predicted").collect()
    seconds = time.perf_counter() - started
    return scored, fitted, seconds


def vaes(train: pl.LazyFrame, args: dict, seed: int, kept: Path | None) -> pl.DataFrame:
    """A model without a trained detector per series; read from `kept` where that exists."""
    if kept is not None and kept.exists():
        return pl.read_parquet(kept)
    # The windows of the probes lie between rows of nulls, which no window may hold.
    options = {"detector": "reconstruction", "max_null": 0.0, "seed": seed}
    models = train.genias.fit(**args, label="label", **options).collect()
    if kept is not None:
        pg.sink_parquet(models.lazy(), kept)
    return models


def run(
    options: argparse.Namespace, dataset: str, seed: int, methods: list[str], done: set
) -> pl.DataFrame:
    """The results of one dataset and seed for the methods that are not done."""
    folder = options.folder
    kept = options.models and options.models / f"{dataset}-{seed}.parquet"
    data = read(folder, dataset)
    features = pg.datasets.features(data)
    train, test = (data.lazy().filter(pl.col("split") == split) for split in ("train", "test"))
    args = {"features": features, "by": "series", "order_by": "t"}
    models = probes = None
    results = []
    for method in methods:
        if (dataset, method, seed) in done:
            continue
        fitted, scoring = None, 0.0
        if method in BASELINES:
            started = time.perf_counter()
            scored = baseline(data, features, method, seed)
            scoring = time.perf_counter() - started
        else:
            if models is None:
                models = vaes(train, args, seed, kept)
            how = METHODS[method] | {"seed": seed}
            scored, fitted, scoring = detector(train, test, models, args, how)
        table = evaluate(scored.lazy()).collect()
        if fitted is not None:
            probes = probes or Probes(test.collect(), features, models, WINDOW, seed)
            fits = fitted.select("series", pg.describe("model").struct.field("seconds"))
            table = table.join(fits, on="series", how="left")
            table = table.join(probes.flagged(fitted), on="series", how="left")
        table = table.with_columns(
            dataset=pl.lit(dataset),
            method=pl.lit(method),
            seed=pl.lit(seed, dtype=pl.Int64),
            score_seconds=pl.lit(scoring / table.height),
        )
        mean = table.select(pl.col("auc_pr", "vus_pr").mean()).row(0)
        print(
            f"{dataset} seed {seed} {method}: AUC-PR {mean[0]:.3f}, VUS-PR {mean[1]:.3f}",
            flush=True,
        )
        results.append(table)
    return pl.concat(results, how="diagonal") if results else pl.DataFrame()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--datasets", nargs="+", default=list(SERIES))
    parser.add_argument("--methods", nargs="+", default=[*BASELINES, *METHODS])
    parser.add_argument("--models", type=Path, help="folder that keeps the fitted VAEs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    for seed in options.seeds:
        for dataset in options.datasets:
            before = pl.read_parquet(options.results) if options.results.exists() else None
            done = set() if before is None else set(before.select(KEYS[0], *KEYS[2:]).iter_rows())
            new = run(options, dataset, seed, options.methods, done)
            if new.width:
                parts = [new] if before is None else [before, new]
                pg.sink_parquet(pl.concat(parts, how="diagonal_relaxed").lazy(), options.results)


if __name__ == "__main__":
    main()
