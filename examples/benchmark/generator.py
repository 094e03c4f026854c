"""What the generator's options do on labelled series: strength, patching, seams and cost.

Reads a folder of Parquet files in the benchmark layout (columns ``series, split, t, label`` and
features). A model is fitted on the train rows of a series with the defaults, and anomalies are put
into the same rows. Sizes and seams are measured on the rows that come out, not on what the events
say. One row per series goes to a Parquet file; the medians are printed.

    python examples/benchmark/generator.py DATA_FOLDER results.parquet
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

import polars_genias as pg

SERIES: dict[str, list[str]] = {
    "msl": ["C-1", "F-5", "P-10"],
    "smap": ["A-7", "E-3", "G-6"],
    "nab": [
        "artificialWithAnomaly/art_daily_jumpsup",
        "realKnownCause/ambient_temperature_system_failure",
        "realKnownCause/nyc_taxi",
    ],
    "ucr": ["014_DISTORTEDECG3", "119_ECG1", "161_WalkingAceleration1"],
}
STRENGTHS = [0.5 * 2 ** (i / 4) for i in range(17)]
SEEDS = 20
LENGTH = (10, 100)
LEAST_STEP = 0.01
"""Steps below a hundredth of a deviation are counted as that: a feature that hardly ever moves has
no step of its own."""


class Rows:
    """The rows of one series as they were and with anomalies in them, in standard deviations."""

    def __init__(self, out: pl.DataFrame, features: list[str]) -> None:
        self.id = out["anomaly_id"].fill_null(0).to_numpy()
        before = out.select(features).to_numpy().astype(np.float64)
        after = out.select(f"{name}_synthetic" for name in features).to_numpy().astype(np.float64)
        self.hit = out.select(f"{name}_mask" for name in features).to_numpy()
        std = before.std(axis=0)
        self.live = std > 1e-9 * np.maximum(1, np.abs(before).max(axis=0))
        std = np.where(self.live, std, 1.0)
        self.before, self.after = before / std, after / std

    def anomalies(self) -> list[slice]:
        """The rows of each anomaly."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self.id, [0]])))
        return [slice(a, b) for a, b in pairwise(edges) if self.id[a] > 0]

    def strength(self, rows: slice) -> float:
        """Root mean square of the change over the rows and features that an anomaly hits."""
        change = (self.after - self.before)[rows][self.hit[rows]]
        return float(np.sqrt(np.mean(change**2)))

    def seams(self) -> np.ndarray:
        """Steps at both ends of anomalies, per hit feature, over its own 99.5 % quantile.

        Or over the input's step there, if that is larger.
        """
        before = np.abs(np.diff(self.before, axis=0))
        usual = np.maximum(np.quantile(before, 0.995, axis=0), LEAST_STEP)
        steps = np.abs(np.diff(self.after, axis=0)) / np.maximum(usual, before)
        found = []
        for rows in self.anomalies():
            hit = self.hit[rows.start]
            ends = [row for row in (rows.start - 1, rows.stop - 1) if 0 <= row < len(steps)]
            found.extend(steps[row][hit] for row in ends)
        return np.concatenate(found)


def seconds(call) -> float:
    """The shortest of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def measure(train: pl.DataFrame, features: list[str], steps: int | None) -> dict[str, object]:
    """The figures of one series."""
    given = {"features": features, "order_by": "t"}
    # What the generator makes before the domains of features round and limit it.
    free = {**given, "domain": "none"}
    fit = {} if steps is None else {"steps": steps}
    models = train.genias.fit(**given, detector="reconstruction", **fit)

    def rows(**options) -> Rows:
        return Rows(train.genias.generate(models=models, **free, **options), features)

    asked, found = [], []
    for seed, strength in enumerate(STRENGTHS):
        made = rows(strength=strength, length=LENGTH, contamination=0.2, seed=seed)
        found += [made.strength(at) for at in made.anomalies()]
        asked += [strength] * (len(found) - len(asked))
    ladder = pl.DataFrame({"asked": asked, "found": found})
    psi = [
        train.genias.events(models=models, **free, strength=s, length=LENGTH)["psi"].median()
        for s in STRENGTHS[::4]
    ]
    whole = [rows(contamination=0.3, seed=seed) for seed in range(SEEDS)]
    events = pl.concat(
        train.genias.events(models=models, **free, contamination=0.3, seed=seed)
        for seed in range(SEEDS)
    )
    live = int(whole[0].live.sum())
    pairs = train.genias.pairs(models=models, **free, window_stride=50)
    same = (pairs["normal"].to_numpy() == pairs["anomalous"].to_numpy()).all(axis=(1, 2))
    inert = int(same.sum()) + sum(
        made.strength(at) == 0 for made in whole for at in made.anomalies()
    )
    passed = (events["features"].list.len() * ~events["fallback"]).sum()
    drawn = live * (events["redraws"] + 1).sum()
    segments = [rows(length=LENGTH, contamination=0.2, strength=s) for s in (None, 2.0)]
    seams = np.concatenate([made.seams() for made in segments])
    many = {**free, "models": models, "length": LENGTH, "window_stride": 4}
    plain = seconds(lambda: train.genias.pairs(**many))
    strong = seconds(lambda: train.genias.pairs(**many, strength=(0.5, 8.0)))
    return {
        "rows": train.height,
        "live": live,
        "rank_correlation": ladder.select(
            pl.corr(pl.col("asked"), pl.col("found"), method="spearman")
        ).item(),
        "median_ratio": ladder.select((pl.col("found") / pl.col("asked")).median()).item(),
        **{f"psi_{s}": value for s, value in zip(STRENGTHS[::4], psi, strict=True)},
        "patch_rate": passed / drawn,
        "patch_rate_held_out": models.select(
            pg.describe("model").struct.field("patch_rate")
        ).item(),
        "fallback": events["fallback"].mean(),
        "redraws": events["redraws"].mean(),
        "windows": pairs.height + events.height,
        "inert": inert,
        "seam_99": float(np.quantile(seams, 0.99)),
        "plain_seconds": plain,
        "cost": strong / plain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--datasets", nargs="+", default=list(SERIES))
    parser.add_argument("--steps", type=int, help="training steps; by default the package's")
    options = parser.parse_args()
    results = []
    for dataset in options.datasets:
        for series in SERIES[dataset]:
            train = (
                pl.scan_parquet(options.folder / f"{dataset}.parquet")
                .filter(pl.col("series") == series, pl.col("split") == "train")
                .sort("t")
                .collect()
            )
            features = pg.datasets.features(train)
            figures = measure(train, features, options.steps)
            results.append({"dataset": dataset, "series": series, **figures})
            print(results[-1], flush=True)
            pl.DataFrame(results).write_parquet(options.results)
    table = pl.DataFrame(results)
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200):
        print(table.select("dataset", "series", "live", "rank_correlation", "median_ratio"))
        print(table.select("series", pl.selectors.starts_with("psi")))
        print(table.select("series", "patch_rate", "patch_rate_held_out", "fallback", "redraws"))
        print(table.select("series", "windows", "inert", "seam_99", "plain_seconds", "cost"))
        print(table.select(pl.selectors.numeric().median()))


if __name__ == "__main__":
    main()
