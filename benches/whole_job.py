"""The whole job, Parquet to Parquet: fit, generate and score every group; beside the baseline.

``python benches/whole_job.py [--groups 100] [--rows 5000] [--runs 1] [--json FILE]`` makes the
data, runs this package and ``baseline_pandas_torch.py`` in turn, each in a process of its own, and
compares wall time, CPU time and peak memory. ``--only genias`` runs one side.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
FEATURES = ["cpu", "memory", "requests", "latency"]


def make(path: Path, groups: int, rows: int) -> None:
    """Hosts with a daily cycle and noise, one row per five minutes."""
    import numpy as np
    import polars as pl

    hosts = []
    for host in range(groups):
        rng = np.random.default_rng([7, host])
        t = np.arange(rows)
        load = 0.5 + 0.3 * np.sin(2 * np.pi * t / 288 + rng.uniform(0, 6))
        load += 0.1 * np.sin(2 * np.pi * t / rng.uniform(20, 60)) + rng.normal(0, 0.02, rows)
        columns = {
            "host": np.full(rows, host, dtype=np.int32),
            "t": t,
            "cpu": 10 + 60 * load + rng.normal(0, 1.5, rows),
            "memory": 40 + 12 * load + 18 * ((t / 950 + rng.random()) % 1),
            "requests": 900 * load + rng.normal(0, 12, rows),
            "latency": 18 + 9 / (1.25 - load.clip(0, 1)) + np.exp(rng.normal(0, 0.35, rows)),
        }
        hosts.append(pl.DataFrame(columns).with_columns(pl.col(FEATURES).cast(pl.Float32)))
    pl.concat(hosts).write_parquet(path)


def job(source: str, target: str, steps: int) -> None:
    """The job as a user of polars-genias writes it."""
    import polars as pl

    import polars_genias as pg

    at = {"features": FEATURES, "by": "host", "order_by": "t"}
    data = pl.scan_parquet(source)
    models = pg.fit(data, **at, steps=steps, detector="reconstruction").collect()
    augmented = pg.generate(data, models=models, **at)
    pg.score(augmented, models=models, **at).sink_parquet(target)


def measure(command: list[str], environment: dict) -> dict:
    """Wall seconds, CPU seconds and peak memory of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall = time.perf_counter() - start
    peak = usage.ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1, help="interleaved runs")
    parser.add_argument("--only", choices=["genias", "baseline"])
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    threads = {"POLARS_MAX_THREADS": str(given.threads), "OMP_NUM_THREADS": str(given.threads)}
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "hosts.parquet"
        make(source, given.groups, given.rows)
        target = str(Path(name) / "out.parquet")
        options = [str(source), target, "--steps", str(given.steps)]
        commands = {
            "genias": [sys.executable, __file__, "job", *options],
            "baseline": [
                *[sys.executable, str(HERE / "baseline_pandas_torch.py"), *options],
                *["--threads", str(given.threads)],
            ],
        }
        sides = [given.only] if given.only else list(commands)
        rows = []
        for _ in range(given.runs):
            for side in sides:
                rows.append({"side": side, **measure(commands[side], threads)})
                print(json.dumps(rows[-1]), flush=True)
    if len(sides) == 2:
        for key in ("wall_s", "cpu_s", "peak_mb"):
            medians = [
                statistics.median(row[key] for row in rows if row["side"] == side)
                for side in ("baseline", "genias")
            ]
            ratio = medians[0] / medians[1]
            print(f"{key}: baseline {medians[0]:.1f}, genias {medians[1]:.1f}, x {ratio:.2f}")
    if given.json:
        size = {"groups": given.groups, "rows": given.rows, "steps": given.steps}
        given.json.write_text(json.dumps([{**size, **row} for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        job(sys.argv[2], sys.argv[3], int(sys.argv[5]))
    else:
        main()
