"""Fits beside busy processes: one fit, and eight, on one thread and on two.

``python benches/busy.py [--loops 2] [--runs 5] [--json FILE]`` starts processes that never rest,
and takes turns: each measurement is a process of its own, because Polars reads the number of its
threads once. Prints the medians in seconds, and how much faster two threads are. ``--smoke`` checks
that all of it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FEATURES = [f"x{i}" for i in range(5)]
GROUPS = {"one fit": 1, "eight fits": 8}


def fit(groups: int, rows: int, options: dict) -> float:
    """Wall time of fits of some groups."""
    import numpy as np
    import polars as pl

    import polars_genias as pg

    rng = np.random.default_rng(3)
    t = np.arange(groups * rows)
    waves = {name: np.sin(t / (7 + 5 * i)) for i, name in enumerate(FEATURES)}
    columns = {name: wave + rng.normal(0, 0.2, len(t)) for name, wave in waves.items()}
    frame = pl.DataFrame({"host": t // rows, "t": t, **columns})
    at = {"features": FEATURES, "by": "host", "order_by": "t", "detector": None}
    pg.fit(frame.head(rows), **at, **options | {"steps": 2})
    pg.clear_cache()
    start = time.perf_counter()
    pg.fit(frame, **at, **options)
    return time.perf_counter() - start


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that never rest."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measured(groups: int, threads: int, smoke: bool) -> float:
    """Wall time in a process of its own."""
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    command = [sys.executable, __file__, "work", str(groups), json.dumps(smoke)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def turns(loops: int, runs: int, smoke: bool) -> dict[str, dict[str, float]]:
    """Medians by what is fitted and by threads."""
    found: dict[tuple[str, int], list[float]] = {}
    with busy(loops):
        for run in range(runs):
            # Neither side is always the first.
            for threads in (1, 2) if run % 2 == 0 else (2, 1):
                for name, groups in GROUPS.items():
                    seconds = measured(groups, threads, smoke)
                    found.setdefault((name, threads), []).append(seconds)
    medians = {key: statistics.median(seconds) for key, seconds in found.items()}
    return {name: {str(n): medians[name, n] for n in (1, 2)} for name in GROUPS}


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loops", type=int, nargs="+", default=[2], help="busy processes")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="whether it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    runs = 1 if given.smoke else given.runs
    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}, medians of {runs}")
    print("loops  what        1 thread  2 threads  faster")
    found = {}
    for loops in given.loops:
        found[loops] = turns(loops, runs, given.smoke)
        for name, seconds in found[loops].items():
            one, two = seconds["1"], seconds["2"]
            print(f"{loops:5}  {name:10}  {one:8.2f}  {two:9.2f}  {one / two:6.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        smoke = json.loads(sys.argv[3])
        options = {"window": 16, "steps": 2} if smoke else {}
        print(fit(int(sys.argv[2]), 200 if smoke else 3000, options))
    else:
        main()
