"""How time grows with threads, rows and groups.

* Threads: fits of 16 groups, and of one, by 1 and by 2 threads, interleaved.
* Rows: generate and score with a given model, 1e5 to 1e7 rows.
* Groups: fit, generate and score of 10 to 1,000 groups, with few steps.

Each measurement is a process of its own, because Polars reads the number of its threads once.

``python benches/scaling.py [--runs 5] [--smoke]``; ``--smoke`` measures a hundredth of it, once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

VAE = {"detector": "reconstruction"}


def data(groups: int, rows: int, d: int):
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(3)
    n = groups * rows
    t = np.arange(n)
    columns = {
        f"x{i}": (np.sin(t / rng.uniform(5, 40)) + 0.2 * rng.normal(size=n)).astype(np.float32)
        for i in range(d)
    }
    return pl.DataFrame({"group": np.repeat(np.arange(groups, dtype=np.int32), rows), **columns})


def work(kind: str, groups: int, rows: int, steps: int) -> dict:
    """Seconds of one measurement."""
    import time

    import polars_genias as pg

    d = 5
    frame = data(groups, rows, d)
    features = [f"x{i}" for i in range(d)]
    if kind == "fit":
        # Compiled kernels, pool and memory are there.
        pg.fit(frame.head(2000), features=features, steps=2, **VAE)
        start = time.perf_counter()
        pg.fit(frame, features=features, by="group", steps=steps, **VAE)
        return {"seconds": time.perf_counter() - start}
    if kind == "rows":
        model = pg.fit(frame.head(5000), features=features, steps=20, **VAE)
        start = time.perf_counter()
        out = pg.generate(frame, models=model, features=features)
        middle = time.perf_counter()
        pg.score(frame, models=model, features=features)
        del out
        end = time.perf_counter()
        return {"generate": middle - start, "score": end - middle}
    start = time.perf_counter()
    models = pg.fit(frame, features=features, by="group", steps=steps, **VAE)
    at = {"models": models, "features": features, "by": "group"}
    pg.score(pg.generate(frame, **at), **at)
    return {"seconds": time.perf_counter() - start}


def run(threads: int, *arguments: object) -> dict:
    command = [sys.executable, __file__, "work", *map(str, arguments)]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of the threads (default 5)")
    parser.add_argument("--smoke", action="store_true", help="whether it runs, not how fast")
    given = parser.parse_args()
    part = 100 if given.smoke else 1
    runs = 1 if given.smoke else given.runs
    rows = 500 if given.smoke else 3000
    for groups, steps in ((2 if given.smoke else 16, 60), (1, 400)):
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(runs):
            for threads, measured in seconds.items():
                measured.append(run(threads, "fit", groups, rows, max(1, steps // part))["seconds"])
        one, two = (statistics.median(seconds[threads]) for threads in (1, 2))
        print(f"threads, {groups} groups: {one:.2f} s by 1, {two:.2f} s by 2, x {one / two:.2f}")
    for rows in (100_000 // part, 1_000_000 // part, 10_000_000 // part):
        took = run(2, "rows", 1, rows, 0)
        per = {verb: f"{1e6 * seconds / rows:.2f} us a row" for verb, seconds in took.items()}
        print(f"rows, {rows:.0e}: {took} {per}", flush=True)
    for groups in (10, 100, 1000):
        groups = max(1, groups // part)
        took = run(2, "groups", groups, 2000, max(1, 40 // part))["seconds"]
        print(f"groups, {groups}: {took:.2f} s, {1e3 * took / groups:.1f} ms a group", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        kind, *sizes = sys.argv[2:]
        print(json.dumps(work(kind, *map(int, sizes))))
    else:
        main()
