"""The tables of `docs/benchmark.md`, in Markdown, from the results of `detectors.py`.

python examples/benchmark/tables.py results.parquet
"""

from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING

import polars as pl
from probes import PROBES
from scipy.stats import wilcoxon

if TYPE_CHECKING:
    from collections.abc import Iterable

DATASETS = ["msl", "smap", "nab", "ucr"]
DEFAULT = "evidence"
TIE = 0.005
"""Differences of series means below this count as ties."""


def per_dataset(results: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Means over series, and of the dataset means; then mean and deviation over seeds."""
    by_seed = results.group_by("method", "dataset", "seed").agg(pl.col(metric).mean())
    overall = (
        by_seed.group_by("method", "seed")
        .agg(pl.col(metric).mean())
        .with_columns(dataset=pl.lit("mean"))
    )
    table = pl.concat([by_seed, overall.select(by_seed.columns)])
    return table.group_by("method", "dataset").agg(
        mean=pl.col(metric).mean(), spread=pl.col(metric).std().fill_null(0.0)
    )


def cell(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.3f}" + (f" ± {spread:.3f}" if spread else "")


def print_metric(results: pl.DataFrame, metric: str, title: str) -> None:
    table = per_dataset(results, metric)
    cells = {(row["method"], row["dataset"]): row for row in table.iter_rows(named=True)}
    columns = [d for d in DATASETS if d in table["dataset"]] + ["mean"]
    methods = sorted(table["method"].unique(), key=lambda m: -(cells[m, "mean"]["mean"] or 0.0))
    print(f"\n### {title}\n\n| method | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for method in methods:
        found = [cells.get((method, column), {}) for column in columns]
        row = " | ".join(cell(item.get("mean"), item.get("spread")) for item in found)
        print(f"| {'**' + method + '** (default)' if method == DEFAULT else method} | {row} |")


def print_pairs(results: pl.DataFrame, pairs: Iterable[tuple[str, str]], metric: str) -> None:
    """Wins, ties, losses and Wilcoxon's p over series, each the mean over its seeds."""
    series = results.group_by("dataset", "series", "method").agg(pl.col(metric).mean())
    wide = series.pivot(on="method", index=["dataset", "series"], values=metric)
    print(f"\n| {metric}: first against second | wins | ties | losses | mean difference | p |")
    print("|---|---:|---:|---:|---:|---:|")
    for first, second in pairs:
        if first not in wide.columns or second not in wide.columns:
            continue
        difference = wide.select(d=pl.col(first) - pl.col(second)).drop_nulls()["d"]
        wins, losses = (difference > TIE).sum(), (difference < -TIE).sum()
        p = wilcoxon(difference.to_numpy()).pvalue if (difference != 0).any() else 1.0
        ties = len(difference) - wins - losses
        mean = difference.mean()
        print(f"| {first} - {second} | {wins} | {ties} | {losses} | {mean:+.3f} | {p:.3f} |")


def print_thresholds(results: pl.DataFrame) -> None:
    """F1 at the automatic threshold beside the oracle's, means over series and seeds."""
    table = (
        results.drop_nulls("auto_f1")
        .group_by("method", "dataset")
        .agg(
            pl.col("auto_f1", "best_f1", "auto_affiliation_f1", "best_affiliation_f1").mean(),
            pl.col("auto_rate").mean(),
        )
        .sort("method", "dataset")
    )
    print(
        "\n| method | dataset | F1 auto | F1 oracle | share | rows flagged | affiliation F1 auto |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    for row in table.iter_rows(named=True):
        print(
            f"| {row['method']} | {row['dataset']} | {row['auto_f1']:.3f} | {row['best_f1']:.3f} | "
            f"{row['auto_f1'] / row['best_f1']:.0%} | {row['auto_rate']:.1%} | "
            f"{row['auto_affiliation_f1'] or 0:.3f} |"
        )


def print_probes(results: pl.DataFrame) -> None:
    """Share of windows that a detector flags at its automatic threshold, by what is in them."""
    columns = [f"probe_{name}" for name in PROBES]
    if columns[0] not in results.columns:
        return
    of_datasets = results.drop_nulls(columns[0]).group_by("method", "dataset")
    means = of_datasets.agg(pl.col(columns).mean()).group_by("method").agg(pl.col(columns).mean())
    print("\n| method | " + " | ".join(PROBES) + " |")
    print("|---|" + "---:|" * len(PROBES))
    for method, *shares in means.sort("method").iter_rows():
        print(f"| {method} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")


def main() -> None:
    results = pl.read_parquet(sys.argv[1])
    print(f"{results['series'].n_unique()} series, seeds {sorted(results['seed'].unique())}")
    assert not results["has_nan"].any(), "a score is NaN"
    for metric, title in {
        "auc_pr": "AUC-PR per row",
        "vus_pr": "VUS-PR",
        "best_f1": "Best F1 per row (oracle threshold)",
        "window_best_f1": "Best F1 per window of 200 rows (oracle threshold), as the paper counts",
        "best_affiliation_f1": "Best affiliation F1 (oracle threshold)",
    }.items():
        print_metric(results, metric, title)
    others = sorted(set(results["method"]) - {DEFAULT})
    for metric in ("auc_pr", "vus_pr"):
        print_pairs(results, [(DEFAULT, other) for other in others], metric)
    for family in ("classifier", "carla"):
        for metric in ("auc_pr", "vus_pr"):
            names = [
                f"{family} {source}"
                for source in ("genias", "deformed", "classical", "noise", "mixed")
            ]
            print_pairs(results, combinations(names, 2), metric)
    print_thresholds(results)
    print_probes(results)
    print_metric(results, "seconds", "Seconds of a fit, two at a time (VAE included where known)")
    print_metric(results, "score_seconds", "Seconds to score a series")


if __name__ == "__main__":
    main()
