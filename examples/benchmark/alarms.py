"""What labels promise, measured: on normal data, on data that changes, and on real series.

    python examples/benchmark/alarms.py --data DATA_FOLDER      # 20 seeds, 3,000 + 10,000 rows
    python examples/benchmark/alarms.py --smoke                 # everything, small

The first table has, per process and asked false-alarm rate, the share of rows of fresh data from
the same process that lie in alarms, over that rate: 1 is the promise kept. The second has, per
change after 2,000 of 10,000 rows, the alarms from there on, those of them that the change causes
(the same series without the change has no alarm within a window of them), and the share of the rows
flagged after the stated 600.

The third has, per dataset of a folder in the benchmark layout (see `detectors.py`), what `label`
with its defaults does on the test rows of the evaluated series, beside other lines through the same
scores: share of the normal rows that are flagged (mean over series), share of the events found, F1
of rows (mean over series) and the best that any line through the scores reaches, false alarms per
10,000 rows. KMeansAD has scores of its own, and the same promise: its line is the score that the
default rate of held-out train rows exceeds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from baselines import standardised
from detectors import SERIES, read
from numpy.lib.stride_tricks import sliding_window_view

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Callable

TRAIN, NEW = 3000, 10_000
CHANGE, STATED = 2000, 600
WINDOW = 200
"""Rows of a window of the default model."""
KMEANS_WINDOW, CLUSTERS = 40, 10
"""Settings of KMeansAD that TSB-AD publishes for series with several features."""
RATES = (0.01, 0.001)
DEFAULT_RATE = 0.01
FIT = {"detector": "evidence", "steps": 1}
"""Labels need no VAE: the one that `fit` adds is not trained."""

Rng = np.random.Generator


def sine(t: np.ndarray, rng: Rng) -> np.ndarray:
    """One period per 100 rows, with noise."""
    return np.sin(2 * np.pi * t / 100) + 0.1 * rng.standard_normal(len(t))


def autoregressive(t: np.ndarray, rng: Rng) -> np.ndarray:
    """AR(1) with a coefficient of 0.9."""
    noise, values = rng.standard_normal(len(t)), np.zeros(len(t))
    for i in range(1, len(t)):
        values[i] = 0.9 * values[i - 1] + noise[i]
    return values


def walk(t: np.ndarray, rng: Rng) -> np.ndarray:
    """A random walk that drifts by 0.02 a row."""
    return np.cumsum(0.02 + rng.standard_normal(len(t)))


def counts(t: np.ndarray, rng: Rng) -> np.ndarray:
    """Poisson counts with a daily season."""
    return rng.poisson(3 + 2 * np.sin(2 * np.pi * t / 288)).astype(float)


def flags(t: np.ndarray, rng: Rng) -> np.ndarray:
    """On for 20 rows and off for 100, in the mean."""
    draws, values, state = rng.random(len(t)), np.zeros(len(t)), 0
    for i, draw in enumerate(draws):
        state = 1 - state if draw < (0.05 if state else 0.01) else state
        values[i] = state
    return values


def seasons(t: np.ndarray, rng: Rng) -> np.ndarray:
    """A daily season, larger on five days of seven."""
    weekday = (t // 96) % 7 < 5
    return np.sin(2 * np.pi * t / 96) * (1 + 0.5 * weekday) + 0.2 * rng.standard_normal(len(t))


PROCESSES = (sine, autoregressive, walk, counts, flags, seasons)


def changed(kind: str, rng: Rng) -> np.ndarray:
    """Sine with noise, changed from row `TRAIN + CHANGE` on."""
    t = np.arange(TRAIN + NEW)
    values, since = sine(t, rng), t - (TRAIN + CHANGE)
    slowly, deviation = np.clip(since / (0.2 * NEW), 0, 1), np.sqrt(0.5 + 0.01)
    added = {
        "level, slowly": 2 * deviation * slowly,
        "level, at once": 2 * deviation * (since >= 0),
        "variance doubled": (np.sqrt(2) - 1) * values * (since >= 0),
        "season grows": slowly * np.sin(2 * np.pi * t / 100),
    }
    return values + added[kind]


CHANGES = ("level, slowly", "level, at once", "variance doubled", "season grows")


def labelled(values: np.ndarray, *rates: float) -> list[tuple[np.ndarray, pl.DataFrame]]:
    """For each rate: whether each new row is in an alarm, and the table of alarms."""
    frame = pl.DataFrame({"t": np.arange(len(values)), "x": values})
    at = {"features": "x", "order_by": "t"}
    model = pg.fit(frame.head(TRAIN), **at, **FIT)
    new, found = frame.slice(TRAIN), []
    for rate in rates:
        given = {"models": model, "false_alarm_rate": rate}
        labels = pg.label(new, **at, **given)["anomaly_label"].fill_null(value=False)
        found.append((labels.to_numpy(), pg.alarms(new, **at, **given)))
    return found


def quiet(process: Callable[[np.ndarray, Rng], np.ndarray], seeds: int, new: int) -> dict:
    """Realised over asked false-alarm rates of a process, and alarms per 10,000 rows."""
    t, shares, counts = np.arange(TRAIN + new), [], []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, len(process.__name__)])
        found = labelled(process(t, rng), *RATES)
        shares.append([labels.mean() for labels, _ in found])
        counts.append([table.height for _, table in found])
    realised, alarms = np.mean(shares, axis=0), np.mean(counts, axis=0) / new * 10_000
    row: dict[str, object] = {"process": process.__name__}
    for i, rate in enumerate(RATES):
        row |= {f"realised / {rate}": realised[i] / rate, f"alarms at {rate}": alarms[i]}
    return row


def drift(kind: str, seeds: int) -> dict[str, object]:
    """Alarms of a change, and rows flagged after the stated time, at the default rate."""
    alarms, causes, later = [], [], []
    for seed in range(seeds):
        values = changed(kind, np.random.default_rng([seed, 77]))
        as_it_was = sine(np.arange(TRAIN + NEW), np.random.default_rng([seed, 77]))
        ((labels, table),) = labelled(values, DEFAULT_RATE)
        ((_, without),) = labelled(as_it_was, DEFAULT_RATE)
        alarms.append(table.filter(pl.col("start") + pl.col("length") > CHANGE).height)
        causes.append(caused(table, without))
        later.append(labels[CHANGE + STATED :].mean())
    return {
        "change": kind,
        "alarms": float(np.mean(alarms)),
        "most alarms": max(alarms),
        "caused": float(np.mean(causes)),
        "most caused": max(causes),
        "flagged later": float(np.mean(later)),
    }


def caused(alarms: pl.DataFrame, without: pl.DataFrame) -> int:
    """Number of alarms after the change that are not there without it, within a window."""
    there = without.select("start", "length").rows()
    return sum(
        all(start + rows <= at - WINDOW or start >= at + n + WINDOW for at, n in there)
        for start, rows in alarms.select("start", "length").iter_rows()
        if start + rows > CHANGE
    )


def windows(rows: np.ndarray) -> np.ndarray:
    """The windows of rows [T, D], each standardised: [T - KMEANS_WINDOW + 1, KMEANS_WINDOW * D]."""
    found = sliding_window_view(rows, KMEANS_WINDOW, axis=0).reshape(
        -1, KMEANS_WINDOW * rows.shape[1]
    )
    deviation = found.std(axis=1, keepdims=True)
    return (found - found.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)


def kmeans(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, float]:
    """Scores of the test rows by KMeansAD, as in TSB-AD, and the line of the default rate.

    The score of a row is the mean distance of the windows that cover it from the nearest of the
    centres, which are those of the first three quarters of the train rows; the rest sets the line.
    """
    from sklearn.cluster import KMeans

    train, test = standardised(train, test)
    known = 3 * len(train) // 4
    centres = KMeans(CLUSTERS, n_init=10, random_state=0).fit(windows(train[:known]))

    def scores(rows: np.ndarray) -> np.ndarray:
        far = centres.transform(windows(rows)).min(axis=1)
        ones = np.ones(KMEANS_WINDOW)
        return np.convolve(far, ones) / np.convolve(np.ones_like(far), ones)

    return scores(test), float(np.quantile(scores(train[known:]), 1 - DEFAULT_RATE))


def with_kmeans(series: pl.DataFrame, train: pl.DataFrame, features: list[str]) -> pl.DataFrame:
    """The test rows of one series with the scores of KMeansAD and the rows above its line."""
    of_series = train.filter(pl.col("series") == series["series"][0]).sort("t").select(features)
    scores, line = kmeans(of_series.to_numpy(), series.sort("t").select(features).to_numpy())
    return series.sort("t").with_columns(
        pl.Series("score of KMeansAD", scores), pl.Series("KMeansAD", scores > line)
    )


def flagged(data: pl.DataFrame) -> pl.DataFrame:
    """Scores of the test rows of every series, and which rows each rule flags."""
    features = pg.datasets.features(data)
    at = {"features": features, "by": "series", "order_by": "t"}
    train, test = (data.filter(pl.col("split") == split) for split in ("train", "test"))
    at["models"] = train.genias.fit(**at, label="label", **FIT)
    score = pl.col("score")
    return (
        test.genias.score(**at, name="score")
        .genias.label(**at, name="label of rows")
        .genias.label(**at, name="pot", threshold="pot")
        .with_columns((score > score.mean() + 3 * score.std()).over("series").alias("mean + 3 sd"))
        .group_by("series", maintain_order=True)
        .map_groups(lambda series: with_kmeans(series, train, features))
        .select("series", "t", "label", "^score.*$", pl.col(RULES).fill_null(value=False))
    )


RULES = ["label of rows", "pot", "mean + 3 sd", "KMeansAD"]


def real(folder: Path, dataset: str) -> pl.DataFrame:
    """What each rule does on the evaluated series of a file."""
    label = pl.col("label")
    starts = (label & ~label.shift(1, fill_value=False)).sum()
    of_rule = [
        column.alias(f"{rule}: {name}")
        for rule in RULES
        for name, column in {
            "flagged": pl.col(rule).filter(~label).mean(),
            "found": pg.event_recall(rule, "label") * starts,
            "false": pg.false_alarms(rule, "label"),
            "f1": pg.f1(rule, "label"),
            "best": pg.best_f1("score of KMeansAD" if rule == "KMeansAD" else "score", "label"),
        }.items()
    ]
    rows = flagged(read(folder, dataset)).sort("series", "t")
    series = rows.group_by("series").agg(*of_rule, rows=pl.len(), events=starts)
    columns = ("flagged", "found", "false", "f1", "best")
    of = {rule: {name: pl.col(f"{rule}: {name}") for name in columns} for rule in RULES}
    tables = [
        series.select(
            pl.lit(dataset).alias("dataset"),
            pl.lit(rule).alias("rule"),
            (100 * column["flagged"].mean()).alias("normal flagged, %"),
            (column["found"].sum() / pl.col("events").sum()).alias("found"),
            column["f1"].fill_null(0).mean().alias("F1"),
            column["best"].mean().alias("best F1"),
            (column["false"].sum() / pl.col("rows").sum() * 10_000).alias("false per 10,000"),
        )
        for rule, column in of.items()
    ]
    return pl.concat(tables)


def tiny(folder: Path) -> None:
    """A file in the benchmark layout: two short series with one anomaly each."""
    t = np.arange(1500)
    parts = []
    for number in range(2):
        for split in ("test", "train"):
            rng = np.random.default_rng([number, len(split)])
            odd = (t >= 700) & (t < 740) & (split == "test")
            names = {"series": [f"s{number}"] * len(t), "split": [split] * len(t)}
            parts.append(
                pl.DataFrame(names | {"t": t, "value": sine(t, rng) + 3 * odd, "label": odd})
            )
    pl.concat(parts).write_parquet(folder / "tiny.parquet")


def show(title: str, rows: list[dict] | pl.DataFrame) -> None:
    """Print one table."""
    print(f"\n{title}")
    with pl.Config(tbl_hide_dataframe_shape=True, float_precision=3, tbl_rows=-1, tbl_cols=-1):
        print(pl.DataFrame(rows))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--drift-seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder of labelled series")
    parser.add_argument("--datasets", nargs="+", default=list(SERIES))
    parser.add_argument("--smoke", action="store_true", help="one seed, one process, two series")
    given = parser.parse_args()
    if given.smoke:
        smoke()
        return
    if given.seeds:
        show("quiet on nothing", [quiet(process, given.seeds, NEW) for process in PROCESSES])
    if given.drift_seeds:
        show("quiet under drift", [drift(kind, given.drift_seeds) for kind in CHANGES])
    if given.data is not None:
        tables = [real(given.data, dataset) for dataset in given.datasets]
        show("real series", pl.concat(tables))


def smoke() -> None:
    """Everything, small."""
    show("quiet on nothing", [quiet(sine, 1, 2000)])
    show("quiet under drift", [drift("level, at once", 1)])
    with tempfile.TemporaryDirectory() as folder:
        tiny(Path(folder))
        show("real series", real(Path(folder), "tiny"))


if __name__ == "__main__":
    main()
