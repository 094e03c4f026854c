"""The same fit, asked for twice, runs once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

import polars_genias as pg
from conftest import FAST, NETS, both

SHARED = {**FAST, **NETS}
"""How a model with nets is fitted."""


def fits(run) -> int:
    before = pg.fit_count()
    run()
    return pg.fit_count() - before


def test_verbs_in_one_over_query_fit_once_per_group(hosts):
    """The detector trains its nets on the VAE that generates."""
    query = hosts.lazy().with_columns(
        both().genias.generate(**FAST).over("host", order_by="t").alias("generated"),
        both().genias.score(**SHARED).over("host", order_by="t").alias("score"),
        both().genias.label(**SHARED).over("host", order_by="t").alias("label"),
    )
    for engine in ("streaming", "in-memory"):
        pg.clear_cache()
        assert fits(lambda engine=engine: query.collect(engine=engine)) == 3
    assert fits(query.collect) == 0


def test_aggregations_fit_once_per_group(hosts):
    query = (
        hosts.lazy()
        .group_by("host")
        .agg(
            both().genias.fit(**SHARED).alias("model"),
            both().genias.score(**SHARED).max().alias("score"),
        )
    )
    assert fits(query.collect) == 3


def test_generation_options_do_not_fit_again(hosts):
    args = {"by": "host", "features": ["cpu", "mem"], **FAST}
    assert fits(lambda: hosts.genias.generate(tau=0.1, **args)) == 3
    assert fits(lambda: hosts.genias.generate(tau=0.5, contamination=0.2, **args)) == 0
    assert fits(lambda: hosts.genias.generate(**{**args, "steps": 9})) == 3


def test_pairs_use_the_fit_of_the_same_options(hosts):
    args = {"by": "host", "features": ["cpu", "mem"], **FAST}
    assert fits(lambda: hosts.genias.fit(**args)) == 3
    assert fits(lambda: hosts.genias.pairs(**args)) == 0


def test_a_given_model_is_not_fitted(hosts):
    models = hosts.genias.fit(by="host", features="cpu", **FAST)
    run = hosts.genias.score
    assert fits(lambda: run(by="host", features="cpu", models=models)) == 0


def test_the_bound_of_the_cache_is_kept(hosts, monkeypatch):
    monkeypatch.setenv("GENIAS_CACHE_MB", "0")
    args = {"by": "host", "features": "cpu", **FAST}
    assert fits(lambda: hosts.genias.generate(**args)) == 3
    assert fits(lambda: hosts.genias.generate(**args)) == 3


def test_threads_that_ask_at_once_share_a_fit(hosts):
    def run(_: int) -> pl.DataFrame:
        return hosts.genias.score(by="host", features="cpu", **{**FAST, "steps": 200})

    def at_once() -> None:
        with ThreadPoolExecutor(4) as threads:
            first, *others = threads.map(run, range(4))
        assert all(other.equals(first) for other in others)

    assert fits(at_once) == 3


def test_a_fit_that_failed_is_tried_again(hosts):
    wild = {**FAST, "learning_rate": 1e30, "clip": None, "steps": 60}
    for _ in range(2):
        with pytest.raises(pl.exceptions.ComputeError, match="diverged"):
            hosts.genias.fit(by="host", features="cpu", **wild)


def test_equal_groups_share_a_fit(hosts):
    twin = pl.concat([hosts, hosts.with_columns(host=pl.col("host") + "x")])
    assert fits(lambda: twin.genias.score(by="host", features="cpu", **FAST)) == 3
