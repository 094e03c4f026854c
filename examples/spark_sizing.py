"""Peak memory of one worker: of `fit`, `generate` and `score` for groups of several sizes.

Every figure is of a process of its own with one thread, which reads the rows of one group and
runs one verb on them, as a worker of Spark does. What the process takes with all modules
loaded and no rows is the first line, and is part of all others.

    python examples/spark_sizing.py [--rows 2000 20000] [--features 1 10] [--steps 20]

Memory does not depend on the number of steps; time does, so it is not shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

import polars_genias as pg

MEGABYTE = 2**20


def write_group(path: Path, rows: int, features: int) -> None:
    """Waves with noise, some of them moving together."""
    rng = np.random.default_rng(0)
    t = np.arange(rows)
    waves = {
        f"f{i}": np.sin(t / (20 + i % 7) + i) + rng.normal(0, 0.2, rows) for i in range(features)
    }
    pl.DataFrame({"t": t, **waves}).write_parquet(path)


def measure(verb: str, folder: Path, options: dict[str, int]) -> None:
    """Runs one verb on the group in `folder` and prints the peak of this process in bytes."""
    if verb == "fit":
        rows = pl.read_parquet(folder / "group.parquet")
        models = pg.fit(rows, order_by="t", **options)
        (folder / "model").write_bytes(models["model"][0])
    elif verb != "nothing":
        rows = pl.read_parquet(folder / "group.parquet")
        out = getattr(pg, verb)(rows, order_by="t", models=(folder / "model").read_bytes())
        assert out.height == rows.height
    print(peak())


def peak() -> int:
    """Peak resident memory of this process alone, in bytes (what fork inherits is not counted)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    msg = "no VmHWM in /proc/self/status: this script needs Linux"
    raise OSError(msg)


def measured(verb: str, folder: Path, options: dict[str, int]) -> float:
    """Peak of a new process in megabytes."""
    command = [sys.executable, __file__, "--measure", verb, str(folder), json.dumps(options)]
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return int(done.stdout) / MEGABYTE


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--features", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    options = {"steps": given.steps, "detector_steps": given.steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"nothing: {measured('nothing', folder, options):.0f} MB")
        print("rows | features | rows in MB | fit | generate | score | model in MB")
        for features in given.features:
            for rows in given.rows:
                write_group(folder / "group.parquet", rows, features)
                found = [measured(verb, folder, options) for verb in ("fit", "generate", "score")]
                model = (folder / "model").stat().st_size / MEGABYTE
                size = rows * (features + 1) * 8 / MEGABYTE
                cells = [f"{rows:,}", str(features), f"{size:.1f}"]
                cells += [f"{megabytes:.0f}" for megabytes in found]
                print(" | ".join([*cells, f"{model:.2f}"]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
    else:
        main()
