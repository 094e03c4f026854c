"""Peak memory of one worker: of `fit`, `generate` and `score` for groups of several sizes.

Every figure is of a process of its own with one thread, which reads the rows of one group and
runs one verb on them, as a worker of Spark does. What the process takes with all modules
loaded and no rows is the first line, and is part of all others.

    python examples/spark_sizing.py [--rows 2000 20000] [--features 1 10] [--steps 20]

Memory does not depend on the number of steps; time does, so it is not shown.

    python examples/spark_sizing.py --workers 1 2 [--groups 8] [--steps 100]

fits groups of the first size on local Spark sessions with so many workers instead: seconds, in how
many tasks, with `repartition(16, "host")` and without, and the peak of the largest worker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MEGABYTE = 2**20


def write_group(path: Path, rows: int, features: int) -> None:
    """Waves with noise, some of them correlated."""
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


def peak(process: int | str = "self") -> int:
    """Peak resident memory of a single process, in bytes (without memory inherited by fork)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    msg = "no VmHWM in /proc/*/status: this script needs Linux"
    raise OSError(msg)


def told(*arguments: str, **environment: str) -> list[float]:
    """The numbers that a new process of this script prints."""
    command = [sys.executable, __file__, *arguments]
    env = os.environ | environment
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    return [float(number) for number in done.stdout.split()]


def measured(verb: str, folder: Path, options: dict[str, int]) -> float:
    """Peak of a new process in megabytes."""
    given = ("--measure", verb, str(folder), json.dumps(options))
    return told(*given, POLARS_MAX_THREADS="1")[0] / MEGABYTE


def compare_workers(folder: Path, groups: int, workers: list[int], options: dict[str, int]) -> None:
    """Prints a line per number of workers."""
    print("workers | seconds | tasks | without repartition | largest worker, MB")
    for number in workers:
        given = (str(number), str(folder), str(groups), json.dumps(options))
        seconds, few, many, size = told("--measure-spark", *given)
        cells = [str(number), f"{seconds:.1f}", f"{many:.0f}", f"{few:.0f}"]
        print(" | ".join([*cells, f"{size / MEGABYTE:.0f}"]), flush=True)


def measure_spark(workers: int, folder: Path, groups: int, options: dict[str, int]) -> None:
    """Fits groups like the one in `folder` by Spark; prints seconds, tasks, and the largest peak.

    Short fits go before the one that is timed, so that starting the workers is not in its time.
    """
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as f

    import polars_genias.spark as gs

    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master(f"local[{workers}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    hosts = spark.range(1, groups + 1, numPartitions=1).withColumnRenamed("id", "host")
    rows = spark.read.parquet(str(folder / "group.parquet")).crossJoin(hosts)
    # Groups need different rows: otherwise a worker would find the model in its cache.
    rows = rows.withColumn("f0", f.col("f0") * f.col("host"))

    def fitted(rows: DataFrame, options: dict[str, int]) -> int:
        """Fits, and returns the number of tasks."""
        models = gs.fit(rows, by="host", order_by="t", **options)
        per_task = models.groupBy(f.spark_partition_id()).count().collect()
        assert sum(row["count"] for row in per_task) == groups
        return len(per_task)

    short = {"steps": 1}
    spread = rows.repartition(16, "host")
    tasks = [fitted(rows, short), fitted(spread, short)]
    started = time.perf_counter()
    fitted(spread, options)
    seconds = time.perf_counter() - started
    print(seconds, *tasks, max(map(peak, workers_of(os.getpid()))))
    spark.stop()


def workers_of(process: int) -> list[int]:
    """Spark's Python workers among the descendants of a process."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        fields = status.read_text().rpartition(")")[2].split()
        parents[int(status.parent.name)] = int(fields[1])
    found: set[int] = set()
    last = {process}
    while last := {child for child, parent in parents.items() if parent in last}:
        found |= last
    return [one for one in found if b"pyspark.daemon" in Path(f"/proc/{one}/cmdline").read_bytes()]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--features", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--groups", type=int, default=8)
    given = parser.parse_args()
    options = {"steps": given.steps}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.workers:
            write_group(folder / "group.parquet", given.rows[0], given.features[0])
            compare_workers(folder, given.groups, given.workers, options)
            return
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
    elif sys.argv[1:2] == ["--measure-spark"]:
        measure_spark(
            int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5])
        )
    else:
        main()
