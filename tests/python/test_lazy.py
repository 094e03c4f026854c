"""Lazy verbs work on the groups that a query asks for, and on large frames in batches."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import polars_genias as pg
from conftest import FAST, make_hosts

AT: dict[str, Any] = {"by": "host", "order_by": "t"}
ROWS = make_hosts(hosts=4).sample(fraction=1.0, shuffle=True, seed=1)
"""Rows of four hosts in no order."""

pytestmark = pytest.mark.skipif(
    int(pl.__version__.split(".")[0]) < 2, reason="Polars hands conditions to sources since 2.0"
)


def fits(run) -> int:
    before = pg.fit_count()
    run()
    return pg.fit_count() - before


@pytest.fixture(scope="module")
def models() -> pl.DataFrame:
    return pg.fit(ROWS, **AT, **FAST, features=["cpu", "mem"])


VERBS = {
    "generate": lambda data, models: pg.generate(data, **AT, models=models),
    "inject": lambda data, _: pg.inject(data, **AT, count=1, length=5),
    "score": lambda data, models: pg.score(data, **AT, models=models),
    "label": lambda data, models: pg.label(data, **AT, models=models, update=True),
    "events": lambda data, models: pg.events(data, **AT, models=models),
    "alarms": lambda data, models: pg.alarms(data, **AT, models=models),
    "explain": lambda data, models: pg.explain(data, **AT, models=models),
    "expect": lambda data, models: pg.expect(data, **AT, models=models),
    "pairs": lambda data, models: pg.pairs(data, **AT, models=models, window=16),
    "fit": lambda data, _: pg.fit(data, **AT, **FAST),
}


@pytest.fixture(params=VERBS)
def both(request, models) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """A verb, as a query and as a result."""
    verb = VERBS[request.param]
    return verb(ROWS.lazy(), models), verb(ROWS, models)


CONDITIONS = {
    "a key": pl.col("host") == "h2",
    "keys": pl.col("host").is_in(["h0", "h3"]),
    "none": pl.col("host") == "unknown",
    "not a key": pl.col("host") != "h2",
    "literal": pl.lit(value=True),
}


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_condition_on_keys_gives_the_rows_of_the_whole_result(both, name, engine):
    query, result = both
    expected = result.filter(CONDITIONS[name])
    assert query.filter(CONDITIONS[name]).collect(engine=engine).equals(expected)


def test_a_condition_on_keys_fits_only_those_groups():
    query = ROWS.lazy().genias.generate(**AT, **FAST).filter(pl.col("host") == "h1")
    assert fits(query.collect) == 1
    assert "SELECTION" in query.explain()
    assert "genias" in query.explain()


def test_conditions_on_keys_and_others_are_told_apart():
    result = ROWS.genias.generate(**AT, **FAST)
    pg.clear_cache()
    condition = (pl.col("host") == "h1") & pl.col("is_anomaly") & (pl.col("t") > 20)
    query = ROWS.lazy().genias.generate(**AT, **FAST).filter(condition).select("t", "cpu")
    found: list[pl.DataFrame] = []
    assert fits(lambda: found.append(query.collect())) == 1
    assert found[0].equals(result.filter(condition).select("t", "cpu"))
    either = (pl.col("host") == "h1") | pl.col("is_anomaly")
    assert (
        ROWS.lazy()
        .genias.generate(**AT, **FAST)
        .filter(either)
        .collect()
        .equals(result.filter(either))
    )


def test_a_chain_of_verbs_hands_conditions_on():
    def chain(data):
        made = pg.generate(data, **AT, **FAST)
        return pg.score(made, **AT, **FAST, detector="reconstruction", features=["cpu", "mem"])

    expected = chain(ROWS).filter(pl.col("host") == "h1")
    pg.clear_cache()
    found: list[pl.DataFrame] = []
    query = chain(ROWS.lazy()).filter(pl.col("host") == "h1")
    assert fits(lambda: found.append(query.collect())) <= 2  # one host, two verbs
    assert found[0].equals(expected)


def test_what_needs_no_result_fits_nothing():
    query = ROWS.lazy().genias.generate(**AT, **FAST)
    assert fits(lambda: query.select("t", "cpu").collect()) == 0
    assert fits(lambda: query.select(pl.len()).collect()) == 0
    assert query.select(pl.len()).collect().item() == ROWS.height
    single = ROWS.filter(pl.col("host") == "h0").lazy().genias.generate(order_by="t", **FAST)
    assert fits(lambda: single.select(pl.col("cpu").mean()).collect()) == 0


def test_first_rows_fit_their_groups():
    rows = make_hosts(hosts=4)
    query = rows.lazy().genias.generate(**AT, **FAST)
    result = rows.genias.generate(**AT, **FAST)
    pg.clear_cache()
    found: list[pl.DataFrame] = []
    assert fits(lambda: found.append(query.head(170).collect())) == 2
    assert found[0].equals(result.head(170))
    after = query.head(170).filter(pl.col("host") == "h1")
    assert after.collect().equals(result.head(170).filter(pl.col("host") == "h1"))


def test_only_the_partition_of_a_key_is_read(tmp_path):
    rows = make_hosts(hosts=3)
    rows.write_parquet(tmp_path / "hosts", partition_by="host")
    query = pl.scan_parquet(tmp_path / "hosts", hive_partitioning=True).genias.generate(
        by="host", order_by="t", **FAST
    )
    query.collect_schema()
    for other in ("h0", "h2"):
        for file in (tmp_path / "hosts" / f"host={other}").iterdir():
            file.unlink()
    assert query.filter(pl.col("host") == "h1").collect().height == 160
    with pytest.raises(FileNotFoundError):
        query.collect()


def small_memory(patch: pytest.MonkeyPatch, megabytes: float = 0.012) -> None:
    """Let one group of 160 rows fit."""
    patch.setenv("GENIAS_MEMORY_MB", str(megabytes))


@pytest.mark.parametrize("order", ["interleaved", "one after another"])
@pytest.mark.parametrize("verb", VERBS)
def test_batches_give_the_result_of_one_call(verb, order, models, monkeypatch):
    rows = ROWS if order == "interleaved" else make_hosts(hosts=4)
    result = VERBS[verb](rows, models)
    small_memory(monkeypatch)
    query = VERBS[verb](rows.lazy(), models)
    assert query.collect().equals(result)
    assert (
        query.filter(pl.col("host") != "h1").collect().equals(result.filter(pl.col("host") != "h1"))
    )
    assert query.select(pl.col(result.columns[-1])).collect().equals(result[[result.columns[-1]]])


@pytest.mark.parametrize("share", ["none", "fleet"])
@pytest.mark.parametrize("form", ["table", "query", "file"])
def test_models_in_batches(form, share, tmp_path, monkeypatch):
    """From any source: every group of a batch gets its own, also where a key is null or unknown."""
    rows = make_hosts(hosts=4).with_columns(
        pl.col("host").replace({"h1": None}), zone=pl.col("t") * 0
    )
    at = {"by": ["zone", "host"], "order_by": "t", "features": ["cpu", "mem"]}
    options = {**FAST, "seed": 3}
    table = pg.fit(rows, **at, **options, share=share).filter(pl.col("host").ne_missing("h2"))
    expected = pg.generate(rows, **at, models=table)
    assert expected.filter(pl.col("host") == "h2")["is_anomaly"].null_count() == 160
    table.write_parquet(tmp_path / "models.parquet")
    models = {"table": table, "query": table.lazy(), "file": tmp_path / "models.parquet"}[form]
    for megabytes in (0.012, 0.03):  # one group of a batch, and two
        small_memory(monkeypatch, megabytes)
        assert pg.generate(rows.lazy(), **at, models=models).collect().equals(expected)


def test_batches_hold_whole_groups(monkeypatch):
    """Every batch is a call of its own, with no more rows than fit or one group."""
    sizes = []
    collect = pl.LazyFrame.collect

    def counted(self, *args, **kwargs):
        out = collect(self, *args, **kwargs)
        if isinstance(out, pl.DataFrame) and "is_anomaly" in out.columns:
            sizes.append(out["host"].unique().sort().to_list())
        return out

    query = make_hosts(hosts=4).lazy().genias.inject(**AT, count=1, length=5)
    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    small_memory(monkeypatch)
    query.collect()
    assert sizes[:-1] == [["h0"], ["h1"], ["h2"], ["h3"]]
    sizes.clear()
    small_memory(monkeypatch, 100)
    query.collect()
    assert sizes[0] == ["h0", "h1", "h2", "h3"]


KEYS = st.one_of(st.none(), st.integers(0, 2), st.just(7))
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "*", "^x.*$", "é"]))


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(KEYS, TEXTS), min_size=1, max_size=60), st.data())
def test_any_keys_in_batches(monkeypatch, keys, data):
    """Null keys, several keys, names that Polars reads as patterns."""
    rows = pl.DataFrame(
        {"*": [a for a, _ in keys], "^k$": [b for _, b in keys], "x": range(len(keys))},
        schema={"*": pl.Int32, "^k$": pl.String, "x": pl.Float64},
    )
    by = data.draw(st.sampled_from([["*"], ["^k$"], ["*", "^k$"]]))
    at = {"by": by, "features": "x", "length": 1, "contamination": 0.2, "kind": "global"}
    expected = pg.inject(rows, **at)
    with monkeypatch.context() as patch:
        small_memory(patch, data.draw(st.sampled_from([0.00001, 0.0005, 1.0])))
        assert pg.inject(rows.lazy(), **at).collect().equals(expected)


@pytest.mark.parametrize("given", ["", "none", "0", "-1", "nan"])
def test_memory_must_be_a_number(given, monkeypatch):
    monkeypatch.setenv("GENIAS_MEMORY_MB", given)
    with pytest.raises(ValueError, match="GENIAS_MEMORY_MB"):
        ROWS.lazy().genias.inject(**AT, count=1, length=5).collect()


def test_errors_are_those_of_an_eager_verb():
    rows = ROWS.with_columns(
        cpu=pl.when(pl.col("host") == "h2").then(float("inf")).otherwise("cpu")
    )
    with pytest.raises(pl.exceptions.ComputeError) as eager:
        rows.genias.generate(**AT, **FAST)
    with pytest.raises(pl.exceptions.ComputeError) as lazy:
        rows.lazy().genias.generate(**AT, **FAST).collect()
    assert str(eager.value).splitlines()[0] == str(lazy.value).splitlines()[0]
    others = rows.lazy().genias.generate(**AT, **FAST).filter(pl.col("host") != "h2")
    assert others.collect().height == 480
