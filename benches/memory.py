"""How much memory a lazy verb takes, by how many groups a large file has.

``python benches/memory.py [--rows 20000000] [--groups 10 20 40] [--interleaved]`` writes a Parquet
file per number of groups, in which groups lie one after another, or row by row in turns, and
augments it with models at hand: Parquet to Parquet, in a process of its own. It prints peak memory,
CPU time and wall time. ``GENIAS_MEMORY_MB`` is read as by every lazy verb.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

FEATURES = ["cpu", "memory", "requests", "errors", "latency"]

JOB = """
import json, resource, sys, time
import polars as pl, polars_genias as pg
source, models, target, verb = sys.argv[1:]
query = getattr(pl.scan_parquet(source).genias, verb)(by="host", order_by="t", models=models)
start = time.perf_counter()
query.sink_parquet(target)
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "peak_mb": used.ru_maxrss / 1024, "cpu_s": used.ru_utime + used.ru_stime,
    "wall_s": time.perf_counter() - start,
}))
"""


def write(path: Path, rows: int, groups: int, *, interleaved: bool) -> None:
    """Write hosts with a daily cycle and noise, part by part."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    each, at_once = rows // groups, 500_000
    writer = None
    for start in range(0, each * groups, at_once):
        row = np.arange(start, min(start + at_once, each * groups))
        host, t = (row % groups, row // groups) if interleaved else (row // each, row % each)
        rng = np.random.default_rng([7, start])
        load = 0.5 + 0.3 * np.sin(2 * np.pi * t / 288 + host)
        columns = {
            name: 10 * n + load + rng.normal(0, 0.05, len(row)) for n, name in enumerate(FEATURES)
        }
        frame = pl.DataFrame({"host": host, "t": t, **columns})
        table = frame.with_columns(pl.format("host-{}", "host").alias("host")).to_arrow(
            compat_level=pl.CompatLevel.oldest()
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def prepare(folder: Path, rows: int, groups: int, verb: str, *, interleaved: bool) -> None:
    """Write the rows, and models of the first ones of every group."""
    import polars as pl

    import polars_genias as pg

    source = folder / "rows.parquet"
    write(source, rows, groups, interleaved=interleaved)
    first = pl.scan_parquet(source).filter(pl.col("t") < 2000)
    only = "generate" if verb == "generate" else "score"
    models = pg.fit(first, by="host", order_by="t", only=only)
    models.sink_parquet(folder / "models.parquet")


def measure(rows: int, groups: int, verb: str, *, interleaved: bool) -> dict[str, float]:
    """Run the verb in a process of its own.

    On Linux, the peak of a process counts from that of its parent: rows and models are prepared in
    another process, so that this one stays small.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at = (folder, rows, groups, verb)
        process = get_context("spawn").Process(
            target=prepare, args=at, kwargs={"interleaved": interleaved}
        )
        process.start()
        process.join()
        files = (folder / "rows.parquet", folder / "models.parquet", folder / "out.parquet")
        done = subprocess.run(
            [sys.executable, "-c", JOB, *files, verb], capture_output=True, text=True, check=False
        )
        if process.exitcode or done.returncode:
            sys.exit(done.stderr)
        return dict(json.loads(done.stdout))


def main() -> None:
    """Print one line per number of groups."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--groups", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--verb", default="generate", choices=["generate", "score", "label"])
    parser.add_argument("--interleaved", action="store_true")
    at = parser.parse_args()
    print(f"{at.verb}, {at.rows} rows, {len(FEATURES)} features")
    print("groups  peak MB  CPU s  wall s")
    for groups in at.groups:
        found = measure(at.rows, groups, at.verb, interleaved=at.interleaved)
        print(f"{groups:6}  {found['peak_mb']:7.0f}  {found['cpu_s']:5.1f}  {found['wall_s']:6.1f}")


if __name__ == "__main__":
    main()
