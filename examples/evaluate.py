"""Evaluate a detector per series, in one lazy query over a Parquet file.

The file is made here: four series with a score that follows the labels more or less closely.

    python examples/evaluate.py [folder]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import polars_genias as pg


def write_scores(path: Path) -> None:
    """Four series of 2,000 rows: a time, a score, and the true labels."""
    rng = np.random.default_rng(0)
    frames = []
    for number, signal in enumerate((0.0, 1.0, 2.0, 4.0)):
        label = np.zeros(2000, dtype=bool)
        for start in rng.choice(np.arange(100, 1900, 60), 4, replace=False):
            label[start : start + rng.integers(5, 40)] = True
        score = rng.normal(size=2000) + signal * label
        rows = {"t": np.arange(2000), "score": score, "label": label}
        frames.append(pl.DataFrame({"series": [f"s{number}"] * 2000, **rows}))
    pl.concat(frames).write_parquet(path)


def evaluate(path: Path) -> pl.DataFrame:
    """Metrics per series."""
    return (
        pl.scan_parquet(path)
        .sort("series", "t")
        .group_by("series", maintain_order=True)
        .agg(
            pg.vus_pr("score", "label"),
            pg.auc_pr("score", "label"),
            pg.affiliation_f1("score", "label"),
            pg.f1(pl.col("score") > 2, "label"),
            pg.best_f1("score", "label"),
        )
        .collect()
    )


def main(folder: Path) -> pl.DataFrame:
    path = folder / "scores.parquet"
    write_scores(path)
    return evaluate(path)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(main(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(main(Path(folder)))
