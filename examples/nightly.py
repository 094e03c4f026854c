"""`genias nightly` on a dataset that this script makes: what is new, what drifts, what is found.

The dataset is hive-partitioned by day (``metrics/day=2026-01-05/*.parquet``) and so is the output
(``labelled/day=2026-01-05/labels.parquet``). On the first night there are six days; on the second
nothing is new; then one host has an incident, and another one a load that stays.

    python examples/nightly.py
    genias nightly metrics labelled models.parquet --by host --order-by timestamp  # on yours
"""

from __future__ import annotations

import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from polars_genias.cli import main as genias

FIRST = 6


def make_day(folder: Path, number: int, *, incident: bool = False, drifted: bool = False) -> None:
    """A day of two hosts, a row every five minutes."""
    day = date(2026, 1, 1) + timedelta(days=number)
    rng = np.random.default_rng(number)
    t = np.arange(288)
    frames = []
    for host in range(2):
        wave = np.sin(2 * np.pi * t / 48 + host) + (4.0 if drifted and host == 1 else 0.0)
        wave[100:120] += 3.0 if incident and host == 0 else 0.0
        columns = {
            "timestamp": [
                datetime(day.year, day.month, day.day) + timedelta(minutes=5 * i)
                for i in range(288)
            ],
            "cpu": wave + rng.normal(0, 0.1, 288),
            "memory": 0.5 * wave**2 + rng.normal(0, 0.1, 288),
        }
        frames.append(pl.DataFrame({"host": [f"web-{host}"] * 288, **columns}))
    path = folder / f"day={day}"
    path.mkdir(parents=True)
    pl.concat(frames).write_parquet(path / "0.parquet")


def night(folder: Path, *more: str) -> int:
    """One night; its exit code."""
    paths = [str(folder / name) for name in ("metrics", "labelled", "models.parquet")]
    roles = ["--by", "host", "--order-by", "timestamp"]
    return genias(["nightly", *paths, *roles, "--window", "48", *more])


def main(folder: Path) -> list[int]:
    """All nights; their exit codes."""
    for number in range(FIRST):
        make_day(folder / "metrics", number)
    codes = [night(folder), night(folder)]
    make_day(folder / "metrics", FIRST, incident=True)
    codes.append(night(folder, "--fail-if-alarms", "1"))
    for number in (FIRST + 1, FIRST + 2):
        make_day(folder / "metrics", number, drifted=True)
    codes.append(night(folder))
    return codes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print("exit codes:", main(Path(made)))
