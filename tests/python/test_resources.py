"""All cores are used, and memory stays near that of input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.alone]

MEGABYTE = 2**20

PREAMBLE = """
import json, os, resource, sys, time
import numpy as np, polars as pl, polars_genias as pg
folder = sys.argv[1]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""

GROUPS = (
    PREAMBLE
    + """
# Loads the library and starts both pools before the measurement.
pl.DataFrame({"x": np.sin(np.arange(64.0))}).genias.generate(window=16, steps=2)
query = pl.scan_parquet(f"{folder}/groups.parquet").genias.generate(
    by="host", order_by="t", steps=int(sys.argv[2])
)
before, wall, cpu = peak(), time.perf_counter(), time.process_time()
query.sink_parquet(f"{folder}/out.parquet")
print(json.dumps({
    "cores": (time.process_time() - cpu) / (time.perf_counter() - wall),
    "grown": peak() - before,
}))
"""
)

LONG = (
    PREAMBLE
    + """
model = open(f"{folder}/model", "rb").read()
query = pl.scan_parquet(f"{folder}/long.parquet")
if sys.argv[2] == "generate":
    query = query.genias.generate(models=model, contamination=0.05)
else:
    query = query.genias.score(models=model)
before = peak()
query.sink_parquet(f"{folder}/out.parquet")
out = pl.scan_parquet(f"{folder}/out.parquet")
print(json.dumps({"grown": peak() - before}))
"""
)


GROWING = (
    PREAMBLE
    + """
long = pl.DataFrame({"x": np.sin(np.arange(1_200_000) / 30) + np.arange(1_200_000) % 7})
model = long.head(2000).genias.fit(steps=2, detector="amplitude")["model"][0]
def seconds(rows):
    part = long.head(rows)
    start = time.process_time()
    part.genias.generate(models=model, length=20)
    return time.process_time() - start
seconds(1000)
print(json.dumps({"ratio": seconds(1_200_000) / seconds(150_000)}))
"""
)


def run(script: str, *arguments: object) -> dict[str, float]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SPIN = """
import time
wall = time.perf_counter()
while time.perf_counter() < wall + 1.5:
    pass
print(time.process_time() / (time.perf_counter() - wall))
"""


def free_cores() -> float:
    """What two processes that never rest get of two cores: less than 2 beside other work."""
    command = [sys.executable, "-c", SPIN]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return sum(float(one.communicate()[0]) for one in both)


def size(path: Path) -> int:
    """Bytes of a file's columns in memory."""
    import polars as pl

    return int(pl.read_parquet(path).estimated_size())


def test_many_small_groups(tmp_path):
    import polars as pl

    from conftest import make_hosts

    make_hosts(hosts=60, rows=2000).select(pl.exclude("known")).write_parquet(
        tmp_path / "groups.parquet"
    )
    before = free_cores()
    # The share of the cores does not depend on the number of steps.
    found = run(GROUPS, tmp_path, 10)
    if (os.cpu_count() or 1) >= 2:
        # 1.9 on two idle cores; one alone would be 1.0.
        assert found["cores"] > 0.7 * min(before, free_cores())
    assert found["grown"] < size(tmp_path / "groups.parquet") + 300 * MEGABYTE


@pytest.mark.parametrize("verb", ["generate", "score"])
def test_one_long_group(tmp_path, verb):
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    long = pl.DataFrame({"x": np.sin(np.arange(5e6) / 30) + rng.normal(0, 0.2, 5_000_000)})
    long.write_parquet(tmp_path / "long.parquet")
    model = long.head(5000).genias.fit(steps=20)["model"][0]
    (tmp_path / "model").write_bytes(model)
    found = run(LONG, tmp_path, verb)
    out = size(tmp_path / "out.parquet")
    assert found["grown"] < long.estimated_size() + out + 300 * MEGABYTE


def test_generation_takes_as_long_as_there_are_rows(tmp_path):
    # 8 times the rows: 7 to 8 times the seconds; 48 where each anomaly reads the whole series.
    assert run(GROWING, tmp_path)["ratio"] < 14
