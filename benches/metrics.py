"""Seconds of the metrics: TSB-AD's nine on 100,000 rows, VUS-PR on 1 million.

TSB-AD's own seconds on the same data are measured too where its package can be imported:

    pip install --no-deps TSB-AD
    pip install scikit-learn scipy statsmodels arch pandas tqdm matplotlib
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import polars as pl

import polars_genias as pg

NINE = {
    "AUC-PR": pg.auc_pr,
    "AUC-ROC": pg.auc_roc,
    "VUS-PR": pg.vus_pr,
    "VUS-ROC": pg.vus_roc,
    "Standard-F1": pg.best_f1,
    "PA-F1": pg.point_adjusted_f1,
    "Event-based-F1": pg.event_f1,
    "R-based-F1": pg.range_f1,
    "Affiliation-F": pg.affiliation_f1,
}


def data(rows: int, seed: int = 0) -> pl.DataFrame:
    """A smoothed noisy score, and an event of 10 to 200 rows about every 4,000."""
    rng = np.random.default_rng(seed)
    label = np.zeros(rows, dtype=bool)
    for start in rng.integers(0, rows, max(1, rows // 4000)):
        label[start : start + rng.integers(10, 200)] = True
    score = np.convolve(rng.normal(size=rows) + label, np.ones(5) / 5, mode="same")
    return pl.DataFrame({"score": score, "label": label})


def seconds(frame: pl.DataFrame, *expressions: pl.Expr, runs: int = 5) -> float:
    """Median of several runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        frame.select(expressions)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    frame = data(100_000)
    for name, metric in NINE.items():
        print(f"{name:15} 100,000 rows: {seconds(frame, metric('score', 'label')):.4f} s")
    one_by_one = sum(seconds(frame, metric("score", "label")) for metric in NINE.values())
    together = seconds(frame, *(metric("score", "label") for metric in NINE.values()))
    print(f"all nine, 100,000 rows: {one_by_one:.3f} s in turn, {together:.3f} s in one query")
    million = data(1_000_000)
    print(f"VUS-PR, 1 million rows: {seconds(million, pg.vus_pr('score', 'label')):.3f} s")
    try:
        from TSB_AD.evaluation.metrics import get_metrics
    except ImportError as error:
        print(f"TSB-AD: not measured ({error})")
        return
    start = time.perf_counter()
    theirs = get_metrics(frame["score"].to_numpy(), frame["label"].to_numpy().astype(int))
    print(f"TSB-AD, all nine, 100,000 rows: {time.perf_counter() - start:.1f} s")
    for name, metric in NINE.items():
        ours = frame.select(metric("score", "label")).item()
        print(f"{name:15} {theirs[name]:.6f}, here {ours:.6f}")


if __name__ == "__main__":
    main()
