"""Same rows, options and seed: same bytes, whatever the way that they went."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, both, make_hosts

ARGS = {"by": "host", "order_by": "t", "features": ["cpu", "mem"], **FAST}


def generated(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.genias.generate(**ARGS)


def same(a: pl.DataFrame, b: pl.DataFrame) -> None:
    assert_frame_equal(a, b, check_exact=True)


def test_lazy_is_eager_and_streaming_is_in_memory(hosts):
    lazy = hosts.lazy().genias.generate(**ARGS).genias.score(**ARGS)
    eager = hosts.genias.generate(**ARGS).genias.score(**ARGS)
    for engine in ("streaming", "in-memory"):
        pg.clear_cache()
        same(lazy.collect(engine=engine), eager)


def test_parquet_in_and_out(hosts, tmp_path):
    hosts.write_parquet(tmp_path / "in.parquet", row_group_size=50)
    query = pl.scan_parquet(tmp_path / "in.parquet").genias.generate(**ARGS)
    pg.sink_parquet(query, tmp_path / "out.parquet")
    pg.clear_cache()
    same(pl.read_parquet(tmp_path / "out.parquet"), generated(hosts))


def test_over_is_group_by_is_frame_verb(hosts):
    frame = generated(hosts).drop("known").sort("host", "t")
    pg.clear_cache()
    verb = both().genias.generate(suffix="_synthetic", **FAST)
    over = hosts.select("host", "t", "cpu", "mem", verb.over("host", order_by="t").alias("g"))
    same(over.unnest("g").sort("host", "t"), frame)
    pg.clear_cache()
    grouped = (
        hosts.lazy()
        .group_by("host", maintain_order=True)
        .agg("t", "cpu", "mem", verb.alias("g"))
        .explode("t", "cpu", "mem", "g")
        .unnest("g")
    )
    same(grouped.collect().sort("host", "t"), frame)


def test_fit_by_group_is_fit_by_frame(hosts):
    frame = hosts.genias.fit(**ARGS)
    pg.clear_cache()
    grouped = hosts.group_by("host", maintain_order=True).agg(
        both().genias.fit(**FAST).alias("model")
    )
    same(grouped, frame)
    pg.clear_cache()
    alone = hosts.filter(pl.col("host") == "h1").select(both().genias.fit(**FAST).alias("model"))
    assert alone.item() == frame["model"][1]


def test_order_of_groups_and_rows(hosts):
    shuffled = hosts.sample(fraction=1, shuffle=True, seed=3)
    out = generated(shuffled)
    same(out.select(hosts.columns), shuffled)
    pg.clear_cache()
    same(out.sort("host", "t"), generated(hosts).sort("host", "t"))


def test_one_or_many_chunks(hosts):
    pieces = pl.concat([hosts.slice(i, 37) for i in range(0, hosts.height, 37)], rechunk=False)
    assert pieces.n_chunks() > 10
    one = generated(hosts)
    pg.clear_cache()
    same(generated(pieces), one)
    models = hosts.genias.fit(**ARGS)
    same(
        pieces.genias.score(models=models, **ARGS),
        hosts.genias.score(models=models, **ARGS),
    )


def test_seeds_differ(hosts):
    one = hosts.genias.generate(seed=1, **ARGS)
    two = hosts.genias.generate(seed=2, **ARGS)
    assert not one["cpu_synthetic"].equals(two["cpu_synthetic"])
    first = hosts.genias.fit(seed=1, **ARGS)["model"]
    assert first[0] != hosts.genias.fit(seed=2, **ARGS)["model"][0]


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from conftest import make_hosts
from test_determinism import digest
print(digest(make_hosts()))
"""


def digest(frame: pl.DataFrame) -> str:
    """Hash of models, generated rows and scores."""
    models = frame.genias.fit(**ARGS)
    rows = frame.genias.generate(models=models, **ARGS).genias.score(models=models, **ARGS)
    hash_ = hashlib.sha256(b"".join(models["model"]))
    for name in ("cpu_synthetic", "mem_synthetic", "anomaly_id", "anomaly_score"):
        hash_.update(repr(rows[name].to_list()).encode())
    return hash_.hexdigest()


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_threads_and_a_new_process(threads):
    environment = {**os.environ, "POLARS_MAX_THREADS": threads}
    here = os.path.dirname(__file__)  # noqa: PTH120
    command = [sys.executable, "-c", SCRIPT, here]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(make_hosts())
