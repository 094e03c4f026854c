"""Cost of the default detector on one core: `fit`, `score`, and the size of a model.

* Fit: one series of 2,000 rows with 1, 25 and 55 features, defaults; ``only="score"``; with
  ``--baseline``, also the defaults of another installation of the package, in turns.
* Score: a million rows of 5 features by a model of 2,000 rows.
* Model: bytes, and those of the normal rows that it holds.

Every measurement is a process of its own with one thread. Seconds are CPU time of the verb.

    python benches/evidence.py [--runs 3] [--baseline FOLDER] [--smoke]

``--baseline``: a folder with an unpacked wheel, first on the path. ``--smoke``: fewer rows,
once, no baseline.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

ROWS, FEATURES, SCORED = 2000, (1, 25, 55), 1_000_000
SMALL = {"rows": 600, "features": (1, 5), "scored": 5000}


def data(rows: int, features: int):
    """Sines of several periods with noise."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(features)
    t = np.arange(rows)
    periods = rng.uniform(20, 200, features)
    columns = {
        f"x{i}": np.sin(2 * np.pi * t / period) + 0.2 * rng.standard_normal(rows)
        for i, period in enumerate(periods)
    }
    return pl.DataFrame({"t": t, **columns})


def work(kind: str, rows: int, features: int, scored: int) -> dict:
    """One measurement."""
    import time

    import polars_genias as pg

    frame = data(rows + scored, features)
    at = {"features": [f"x{i}" for i in range(features)], "order_by": "t"}
    start = time.process_time()
    if kind == "fit":
        models = pg.fit(frame.head(rows), **at)
    else:
        models = pg.fit(frame.head(rows), **at, only="score")
    if kind == "score":
        start = time.process_time()
        pg.score(frame.tail(scored), **at, models=models)
    seconds = time.process_time() - start
    return {"seconds": seconds, "bytes": len(models["model"][0]), "values": 4 * rows * features}


def run(path: str | None, *arguments: object) -> dict:
    """One measurement in a process with one thread."""
    threads = ("POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
    environment = os.environ | dict.fromkeys(threads, "1")
    if path is not None:
        environment["PYTHONPATH"] = path
    command = [sys.executable, __file__, "work", *map(str, arguments)]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if out.returncode:
        sys.exit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--baseline", help="folder of another installation of the package")
    parser.add_argument("--smoke", action="store_true", help="fewer rows, once")
    given = parser.parse_args()
    rows, features, scored, runs = ROWS, FEATURES, SCORED, given.runs
    sides: dict[str, tuple[str, str | None]] = {
        "defaults": ("fit", None),
        'only="score"': ("scorer", None),
    }
    if given.smoke:
        rows, features, scored, runs = *SMALL.values(), 1
    elif given.baseline:
        sides["baseline"] = ("fit", given.baseline)
    for count in features:
        found: dict[str, list[dict]] = {side: [] for side in sides}
        for _ in range(runs):
            for side, (kind, path) in sides.items():
                found[side].append(run(path, kind, rows, count, 0))
        for side, measured in found.items():
            seconds = statistics.median(one["seconds"] for one in measured)
            size, values = measured[0]["bytes"], measured[0]["values"]
            print(
                f"fit {rows} rows x {count} features, {side}: {seconds:.2f} s of CPU, "
                f"model {size / 1e6:.2f} MB, of which rows {values / 1e6:.2f} MB",
                flush=True,
            )
    seconds = statistics.median(run(None, "score", rows, 5, scored)["seconds"] for _ in range(runs))
    print(f"score {scored} rows x 5 features: {seconds:.2f} s of CPU")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        print(json.dumps(work(sys.argv[2], *map(int, sys.argv[3:]))))
    else:
        main()
