"""The whole job, Parquet to Parquet: fit, generate and score every group; beside the baseline.

``python benches/whole_job.py [--groups 100] [--rows 5000] [--runs 1] [--threads 1] [--json FILE]``
makes the data and runs in turn, each in a process of its own: this package with a model per host
(`genias`) and with a shared VAE (`fleet`), and ``baseline_pandas_torch.py``, which has the same
configuration as `genias`. Compares wall time, CPU time and peak memory. ``--only genias`` runs one
side. ``--of-baseline 10`` runs the baseline on ten of the groups and multiplies its times.
"""

from __future__ import annotations

import argparse
import itertools
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


def job(source: str, target: str, steps: int, share: str | None) -> None:
    """The job as a user of polars-genias writes it."""
    import polars as pl

    import polars_genias as pg

    at = {"features": FEATURES, "by": "host", "order_by": "t"}
    data = pl.scan_parquet(source)
    way = {} if share is None else {"share": share}
    models = pg.fit(data, **at, **way, steps=steps, detector="reconstruction").collect()
    augmented = pg.generate(data, models=models, **at)
    pg.score(augmented, models=models, **at).sink_parquet(target)
    print(f"R2 {models.genias.describe()['r2'].median():.3f}", flush=True)


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


SIDES = ("genias", "fleet", "baseline")


def commands(folder: Path, given: argparse.Namespace) -> dict[str, list[str]]:
    """How each side is run; the baseline maybe on fewer groups."""
    own, others = folder / "hosts.parquet", folder / "baseline.parquet"
    make(own, given.groups, given.rows)
    make(others, given.of_baseline or given.groups, given.rows)
    end = [str(folder / "out.parquet"), "--steps", str(given.steps)]
    baseline = [str(HERE / "baseline_pandas_torch.py"), str(others), *end]
    return {
        "genias": [sys.executable, __file__, "job", str(own), *end, "single"],
        "fleet": [sys.executable, __file__, "job", str(own), *end, "fleet"],
        "baseline": [sys.executable, *baseline, "--threads", str(given.threads)],
    }


def compare(rows: list[dict], other: str) -> None:
    """Print medians of the baseline and of another side."""
    for key in ("wall_s", "cpu_s", "peak_mb"):
        baseline, ours = (
            statistics.median(row[key] for row in rows if row["side"] == side)
            for side in ("baseline", other)
        )
        ratio = f"x {baseline / ours:.2f}"
        print(f"{key}: baseline {baseline:.1f}, {other} {ours:.1f}, {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--of-baseline", type=int, metavar="N", help="groups of the baseline")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1, help="interleaved runs")
    parser.add_argument("--only", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    threads = {"POLARS_MAX_THREADS": str(given.threads), "OMP_NUM_THREADS": str(given.threads)}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        known = commands(Path(name), given)
        for _, side in itertools.product(range(given.runs), given.only):
            row = {"side": side, "load": os.getloadavg()[0], **measure(known[side], threads)}
            if side == "baseline" and given.of_baseline:
                for key in ("wall_s", "cpu_s"):
                    row[key] *= given.groups / given.of_baseline
            rows.append(row)
            print(json.dumps(row), flush=True)
    if "baseline" in given.only:
        for side in given.only:
            if side != "baseline":
                compare(rows, side)
    if given.json:
        size = {"groups": given.groups, "rows": given.rows, "steps": given.steps}
        given.json.write_text(json.dumps([{**size, **row} for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        source, target, _, steps, way = sys.argv[2:]
        job(source, target, int(steps), None if way == "single" else way)
    else:
        main()
