"""What rows should have been: how often the bounds hold, and whether anomalies move them.

    python examples/benchmark/expected.py                       # the demo
    python examples/benchmark/expected.py DATA_FOLDER nab msl   # files of the benchmark layout

Models are fitted to the train rows of a series (of the demo: to its first four days). Per dataset,
over the features that are measurements (they move in training, and not between 0 and 1 only):

``coverage``, the share of normal test rows between the 95 % bounds, of all rows and as the mean
over series; ``width``, that of the band in training deviations, median over series and features;
and, of rows that `inject` changed, how often the expected value is nearer to the original than to
the anomaly (``nearer, all``); ``nearer`` is that of rows that were changed by more than the band
is wide: no other can be told from noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("mean", "trend", "variance", "platform", "shapelet", "amplitude", "global")
FEWEST = 400
"""Fewest train rows of a series that is looked at."""


def demo() -> Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """Train and test rows of the demo's hosts."""
    rows = pg.datasets.demo().rename({"incident": "label"})
    for (host,), group in rows.group_by("host", maintain_order=True):
        numbered = group.drop("host", "timestamp").with_row_index("t")
        train = numbered.head(4 * 288).filter(~pl.col("label"))
        yield str(host), train, numbered.slice(4 * 288)


def series(path: Path) -> Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """Train and test rows of the series of a file."""
    rows = pl.read_parquet(path).sort("series", "split", "t")
    for (name,), group in rows.group_by("series", maintain_order=True):
        parts = [group.filter(pl.col("split") == split) for split in ("train", "test")]
        train, test = (part.drop("series", "split", "timestamp", strict=False) for part in parts)
        yield str(name), train.filter(~pl.col("label")), test


def measured(train: pl.DataFrame) -> list[str]:
    """The features that are measurements."""
    names = pg.datasets.features(train)
    binary = train.select(((pl.col(names) == 0) | (pl.col(names) == 1)).all()).row(0)
    moves = train.select(pl.col(names).drop_nulls().n_unique() > 1).row(0)
    return [name for name, b, m in zip(names, binary, moves, strict=True) if m and not b]


def coverage(test: pl.DataFrame, model: bytes, features: list[str]) -> tuple[Any, Any]:
    """Whether every normal value lies between its bounds, and the widths of the bands."""
    names = pg.datasets.features(test)
    out = pg.expect(test, features=names, order_by="t", models=model).filter(~pl.col("label"))
    inside = out.select(pl.col(f).is_between(f"{f}_lower", f"{f}_upper") for f in features)
    widths = out.select(
        (pl.col(f"{f}_upper") - pl.col(f"{f}_lower")).mean().alias(f) for f in features
    )
    return inside.to_numpy().astype(float), widths.to_numpy()[0]


def nearer(test: pl.DataFrame, model: bytes, features: list[str]) -> list[Any]:
    """Of every changed value: its change over the width of the band, and what is expected."""
    names = pg.datasets.features(test)
    at = {"features": names, "order_by": "t"}
    out = pg.inject(test, **at, label="label", kind=KINDS, feature_share=0.5, contamination=0.1)
    odd = out.select("t", *(pl.col(f"{f}_synthetic").alias(f) for f in names))
    expected = pg.expect(odd, **at, models=model)
    found = []
    for f in features:
        hit = out[f"{f}_mask"].fill_null(value=False).to_numpy()
        was, now = out[f].to_numpy()[hit], odd[f].to_numpy()[hit]
        should = expected[f"{f}_expected"].to_numpy()[hit]
        width = (expected[f"{f}_upper"] - expected[f"{f}_lower"]).median()
        size = np.abs(now - was) / max(float(width or 0), 1e-12)
        found.append(np.stack([size, np.abs(should - was) < np.abs(should - now)]))
    return found


def line(name: str, all_series: Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]) -> dict[str, Any]:
    """The figures of a dataset."""
    inside, means, widths, changes = [], [], [], []
    for _, train, test in all_series:
        features = measured(train)
        if train.height < FEWEST or not features:
            continue
        names = pg.datasets.features(train)
        model = pg.fit(train, features=names, order_by="t", only="score")["model"][0]
        hits, width = coverage(test, model, features)
        inside.append(np.nanmean(hits, axis=0) @ np.full(len(features), len(hits)))
        means.append((np.nanmean(hits), hits.size))
        deviations = np.array([float(train[f].std() or 0) for f in features])
        widths += list(width / np.maximum(deviations, 1e-12))
        changes += nearer(test, model, features)
    sizes, near = np.concatenate(changes, axis=1)
    big = sizes >= 1
    return {
        "dataset": name,
        "series": len(means),
        "coverage": sum(inside) / sum(n for _, n in means),
        "of series": np.mean([mean for mean, _ in means]),
        "width": np.median(widths),
        "nearer": near[big].mean(),
        "nearer, all": near.mean(),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("datasets", nargs="*")
    given = parser.parse_args()
    lines = [line(name, series(given.folder / f"{name}.parquet")) for name in given.datasets]
    lines = lines or [line("demo", demo())]
    with pl.Config(tbl_hide_dataframe_shape=True, float_precision=3, tbl_cols=-1):
        print(pl.DataFrame(lines))


if __name__ == "__main__":
    main()
