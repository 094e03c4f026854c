"""What labels promise, measured: how quiet they are on normal data and when data changes.

    python examples/benchmark/alarms.py                   # 20 seeds, 3,000 + 10,000 rows
    python examples/benchmark/alarms.py --seeds 3 --drift-seeds 1

The first table has, per process and asked false-alarm rate, the share of rows of fresh data from
the same process that lie in alarms, over that rate: 1 is the promise kept. The second has, per
change after 2,000 of 10,000 rows, the alarms from there on and the share of the rows flagged after
the stated 500.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Callable

TRAIN, NEW = 3000, 10_000
CHANGE, STATED = 2000, 500
RATES = (0.01, 0.001)

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
    model = pg.fit(frame.head(TRAIN), **at)
    found = []
    for rate in rates:
        given = {"models": model, "false_alarm_rate": rate}
        new = frame.slice(TRAIN)
        labels = pg.label(new, **at, **given)["anomaly_label"].fill_null(value=False)
        found.append((labels.to_numpy(), pg.alarms(new, **at, **given)))
    return found


def quiet(process: Callable[[np.ndarray, Rng], np.ndarray], seeds: int) -> dict[str, object]:
    """Realised over asked false-alarm rates of a process."""
    t, row = np.arange(TRAIN + NEW), {"process": process.__name__}
    shares = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, len(process.__name__)])
        found = labelled(process(t, rng), *RATES)
        shares.append([labels.mean() for labels, _ in found])
    means = np.mean(shares, axis=0)
    return row | {f"at {rate}": mean / rate for rate, mean in zip(RATES, means, strict=True)}


def drift(kind: str, seeds: int) -> dict[str, object]:
    """Alarms of a change, and rows flagged after the stated time, at the default rate."""
    alarms, later = [], []
    for seed in range(seeds):
        values = changed(kind, np.random.default_rng([seed, 77]))
        ((labels, table),) = labelled(values, 0.001)
        alarms.append(table.filter(pl.col("start") + pl.col("length") > CHANGE).height)
        later.append(labels[CHANGE + STATED :].mean())
    return {"change": kind, "most alarms": max(alarms), "flagged later": float(np.mean(later))}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--drift-seeds", type=int, default=3)
    given = parser.parse_args()
    with pl.Config(tbl_hide_dataframe_shape=True, float_precision=3):
        print(pl.DataFrame([quiet(process, given.seeds) for process in PROCESSES]))
        print(pl.DataFrame([drift(kind, given.drift_seeds) for kind in CHANGES]))


if __name__ == "__main__":
    main()
