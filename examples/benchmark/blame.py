"""Which feature is to blame: how often the first one that `explain` names was changed.

    python examples/benchmark/blame.py                      # 5, 10 and 25 features, 3 seeds
    python examples/benchmark/blame.py --features 5 --seeds 1

Anomalies of known features go into new rows of made series, whose features follow three common
movements: classical ones, generated ones, and those that break a correlation. Of the alarms that
share rows with one, the table has the share whose first feature was changed in these rows, the mean
share of the blame that changed features get, and what naming one at random would give. The last
rows are the incidents of `datasets.demo()`, which changed three metrics of five.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import polars as pl

import polars_genias as pg

TRAIN, NEW, WINDOW = 2000, 3000, 128
RATE = 0.02
"""False-alarm rate that is asked for: weak anomalies count, too."""
CLASSICAL = ("mean", "variance", "shapelet", "seasonal", "trend", "contextual", "global")
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "classical": ("inject", {"kind": CLASSICAL, "feature_share": 0.3}),
    "generated": ("generate", {"length": (20, 100), "strength": (1, 3)}),
    "deformed": ("generate", {"length": (20, 100), "form": "deformed"}),
    "mode-correlation": ("inject", {"kind": "mode-correlation", "feature_share": 0.3}),
    "correlation": ("generate", {"length": (40, 100), "patch": "correlation"}),
}
"""Verbs and options that make anomalies."""


def made(features: int, seed: int, rows: int = TRAIN + NEW) -> pl.DataFrame:
    """Rows whose features are mixtures of three movements, each with noise of its own."""
    rng = np.random.default_rng([seed, features])
    t = np.arange(rows)
    noise = rng.standard_normal(rows)
    walk = np.zeros(rows)
    for i in range(1, rows):
        walk[i] = 0.95 * walk[i - 1] + noise[i]
    common = np.stack([np.sin(2 * np.pi * t / 96), np.sin(2 * np.pi * t / 37 + 1), 0.3 * walk])
    weights = rng.normal(size=(features, 3))
    values = weights @ common + 0.15 * rng.standard_normal((features, rows))
    names = [f"f{i:02}" for i in range(features)]
    return pl.DataFrame({"t": t, **dict(zip(names, values, strict=True))})


def changed(rows: pl.DataFrame, source: str, model: bytes, seed: int) -> tuple[pl.DataFrame, Any]:
    """New rows with anomalies, under the names of the features, and which values changed."""
    verb, options = SOURCES[source]
    features = pg.datasets.features(rows)
    at = {"features": features, "order_by": "t", "contamination": 0.05, "seed": seed}
    if verb == "inject":
        out = pg.inject(rows, **at, **options)
    else:
        at.pop("seed")
        out = pg.generate(rows, models=model, **at, **options)
    masks = out.select(f"{name}_mask" for name in features).to_numpy()
    new = out.select("t", *(pl.col(f"{name}_synthetic").alias(name) for name in features))
    return new, masks


def blamed(
    table: pl.DataFrame, masks: np.ndarray, names: list[str]
) -> list[tuple[bool, float, float]]:
    """Of every alarm on changed rows: whether its first feature was, their share, and by chance."""
    found = []
    alarms = table.group_by("id", maintain_order=True).agg("start", "length", "feature", "share")
    for row in alarms.iter_rows(named=True):
        start, length = row["start"][0], row["length"][0]
        hit = masks[start : start + length].any(axis=0)
        if hit.any() and row["feature"][0] is not None:
            right = [hit[names.index(name)] for name in row["feature"]]
            share = sum(s for s, is_hit in zip(row["share"], right, strict=True) if is_hit)
            found.append((bool(right[0]), share, float(hit.mean())))
    return found


def measured(features: int, source: str, seeds: int, detector: str) -> dict[str, Any]:
    """One line of the table."""
    found, at = [], {"order_by": "t"}
    for seed in range(seeds):
        rows = made(features, seed)
        names = pg.datasets.features(rows)
        options = {"window": WINDOW, "seed": seed, "detector": detector, "steps": 60}
        model = pg.fit(rows.head(TRAIN), features=names, **at, **options)["model"][0]
        new, masks = changed(rows.tail(NEW), source, model, seed)
        table = pg.explain(new, features=names, models=model, **at, false_alarm_rate=RATE)
        found += blamed(table, masks, names)
    first, share, chance = np.mean(found, axis=0) if found else (np.nan,) * 3
    line = {"source": source, "features": features, "alarms": len(found)}
    return line | {"first is right": first, "their share": share, "by chance": chance}


def demo(detector: str) -> pl.DataFrame:
    """The features to blame in the demo's incidents, in their order."""
    rows, at = pg.datasets.demo(), {"by": "host", "order_by": "timestamp"}
    models = pg.fit(rows, **at, label="incident", detector=detector)
    table = pg.explain(rows, **at, models=models)
    incidents = rows.filter("incident").select("host", timestamp_start="timestamp", hit="incident")
    spans = table.join(incidents, on=["host"], how="inner").filter(
        pl.col("timestamp_start_right").is_between("timestamp_start", "timestamp_end")
    )
    of_alarm = table.join(spans.select("host", "id").unique(), on=["host", "id"])
    return (
        of_alarm.group_by("host", "id", "timestamp_start", "timestamp_end")
        .agg("feature", pl.col("share").round(2))
        .sort("host", "id")
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, nargs="+", default=[5, 10, 25])
    parser.add_argument("--sources", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--detector", default="evidence")
    given = parser.parse_args()
    lines = [
        measured(features, source, given.seeds, given.detector)
        for features in given.features
        for source in given.sources
    ]
    with pl.Config(
        tbl_hide_dataframe_shape=True,
        float_precision=3,
        tbl_rows=-1,
        tbl_cols=-1,
        fmt_table_cell_list_len=5,
        tbl_width_chars=160,
    ):
        print(pl.DataFrame(lines))
        print(demo(given.detector))


if __name__ == "__main__":
    main()
