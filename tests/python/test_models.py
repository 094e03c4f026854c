"""Models as values: in columns, tables, files and bytes, and what is refused."""

from __future__ import annotations

import json
import struct

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, both, make_hosts

ARGS = {"by": "host", "order_by": "t", "features": ["cpu", "mem"]}
ComputeError = pl.exceptions.ComputeError


@pytest.fixture
def table(hosts):
    return hosts.genias.fit(**ARGS, **FAST)


def test_table_file_and_column_are_the_same(hosts, table, tmp_path):
    expected = hosts.genias.score(models=table, **ARGS)
    table.write_parquet(tmp_path / "models.parquet")
    for models in (table.lazy(), tmp_path / "models.parquet", str(tmp_path / "models.parquet")):
        assert_frame_equal(hosts.genias.score(models=models, **ARGS), expected, check_exact=True)
    joined = hosts.join(table, on="host", maintain_order="left")
    by_column = joined.genias.score(models=pl.col("model"), **ARGS).drop("model")
    assert_frame_equal(by_column, expected, check_exact=True)
    over = joined.with_columns(
        both()
        .genias.score(model="model", order_by="t")
        .over("host", order_by="t")
        .alias("anomaly_score")
    )
    assert_frame_equal(over.drop("model"), expected, check_exact=True)


def test_join_keeps_rows_in_any_order(hosts, table):
    shuffled = hosts.sample(fraction=1, shuffle=True, seed=5)
    for engine in ("streaming", "in-memory"):
        out = shuffled.lazy().genias.score(models=table, **ARGS).collect(engine=engine)
        assert_frame_equal(out.select(hosts.columns), shuffled, check_exact=True)
        expected = hosts.genias.score(models=table, **ARGS)
        assert_frame_equal(out.sort("host", "t"), expected.sort("host", "t"), check_exact=True)


def test_one_model_as_bytes_path_and_table(series, tmp_path):
    table = series.genias.fit(features="cpu", **FAST)
    expected = series.genias.score(models=table, features="cpu")
    model = table["model"][0]
    (tmp_path / "m.safetensors").write_bytes(model)
    for models in (model, tmp_path / "m.safetensors", table.lazy(), table.rename({"model": "m"})):
        out = series.genias.score(models=models, features="cpu")
        assert_frame_equal(out, expected, check_exact=True)
    one = series.select(pl.col("cpu").genias.score(model=tmp_path / "m.safetensors"))
    assert one["cpu"].equals(expected["anomaly_score"])
    assert series.select(pg.pairs("cpu", model=model)).unnest("cpu").height == 145


def test_groups_without_a_model_get_nulls(hosts, table):
    out = hosts.genias.score(models=table.filter(pl.col("host") != "h1"), **ARGS)
    missing = pl.col("host") == "h1"
    assert out.filter(missing)["anomaly_score"].is_null().all()
    assert out.filter(~missing)["anomaly_score"].is_not_null().all()


def test_two_models_for_one_series_are_refused(series, table):
    with pytest.raises(Exception, match="3 models for one series"):
        series.genias.score(models=table.drop("host"), features=["cpu", "mem"])


def test_two_models_for_one_group_are_refused(hosts, table):
    twice = pl.concat([table, table.head(1)])
    with pytest.raises(Exception, match=r"more than one model for {'host': 'h0'}"):
        hosts.genias.score(models=twice, **ARGS)


def test_a_table_must_fit(hosts, table):
    with pytest.raises(ValueError, match="no column 'host'"):
        hosts.genias.score(models=table.drop("host"), **ARGS)
    with pytest.raises(ValueError, match="one Binary column"):
        hosts.genias.score(models=table.drop("model"), **ARGS)
    with pytest.raises(ValueError, match="not both"):
        hosts.genias.score(models=table, model=table, **ARGS)


def test_other_features_or_order_are_refused(hosts, table):
    for features in (["mem", "cpu"], ["cpu"]):
        with pytest.raises(ComputeError, match=r'fitted on features \["cpu", "mem"\]'):
            hosts.genias.score(models=table, by="host", features=features)


def header(model: bytes) -> tuple[dict, bytes]:
    size = struct.unpack("<Q", model[:8])[0]
    return json.loads(model[8 : 8 + size]), model[8 + size :]


def with_header(head: dict, body: bytes) -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_broken_models_are_refused(series):
    model = series.select(pl.col("cpu").genias.fit(**FAST)).item()
    head, body = header(model)
    other = json.loads(head["__metadata__"]["genias"])
    other["format_version"] = 99
    newer = {**head, "__metadata__": {"genias": json.dumps(other)}}
    changed = bytearray(model)
    changed[-3] ^= 1
    hostile = {**head, "huge": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    cases = {
        "no model": (b"nonsense", "model"),
        "empty": (b"", "model"),
        "cut": (model[:-5], "model"),
        "cut in the header": (model[:50], "model"),
        "changed": (bytes(changed), "checksum"),
        "newer": (with_header(newer, body), "format version 99"),
        "hostile length": (struct.pack("<Q", 2**62) + model[8:], "model"),
        "hostile shape": (with_header(hostile, body), "model"),
        "no metadata": (with_header({}, b""), "model"),
    }
    for name, (given, text) in cases.items():
        with pytest.raises(ComputeError, match=text):
            series.select(pl.col("cpu").genias.score(model=given))
            pytest.fail(name)
        frame = pl.DataFrame({"m": [given]}, schema={"m": pl.Binary})
        with pytest.raises(ComputeError, match=text):
            frame.select(pg.describe("m"))


def test_a_model_of_another_type_is_refused(series):
    with pytest.raises(ComputeError, match="must be Binary"):
        series.select(pg.score("cpu", model=pl.col("mem")))


def test_a_model_that_only_scores_gives_the_scores_of_one_that_does_all():
    rows = make_hosts(hosts=1, rows=600)
    at = {"features": ["cpu", "mem"], "order_by": "t"}
    whole, scorer = (pg.fit(rows, **at, window=16, steps=5, only=only) for only in (None, "score"))
    assert scorer["model"].bin.size().item() < whole["model"].bin.size().item() / 2
    assert pg.score(rows, **at, models=scorer).equals(pg.score(rows, **at, models=whole))
    assert pg.label(rows, **at, models=scorer).equals(pg.label(rows, **at, models=whole))
    described = scorer.select(pl.col("model").genias.describe()).unnest("model")
    assert described["stop_reason"].item() == "not_trained"
    with pytest.raises(pl.exceptions.ComputeError, match="fitted to score only"):
        pg.generate(rows, **at, models=scorer)


def test_a_model_that_only_generates_has_the_anomalies_of_one_that_does_all():
    rows = make_hosts(hosts=1, rows=600)
    at = {"features": ["cpu", "mem"], "order_by": "t"}
    whole, maker = (
        pg.fit(rows, **at, window=16, steps=5, only=only) for only in (None, "generate")
    )
    assert maker["model"].bin.size().item() < whole["model"].bin.size().item()
    assert pg.generate(rows, **at, models=maker).equals(pg.generate(rows, **at, models=whole))
    later = pg.fit(rows, **at, models=maker, detector="evidence")
    assert pg.score(rows, **at, models=later).equals(pg.score(rows, **at, models=whole))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "score", "share": "fleet"}, "no VAE to share"),
        ({"only": "generate", "detector": "carla"}, "options of a detector"),
        ({"only": "label"}, "`only`"),
    ],
)
def test_purposes_that_contradict_other_options(options, message):
    rows = make_hosts(hosts=2, rows=60)
    with pytest.raises((ValueError, pl.exceptions.ComputeError), match=message):
        pg.fit(rows, by="host", order_by="t", window=16, steps=1, **options)


def test_a_purpose_needs_new_models():
    rows = make_hosts(hosts=1, rows=60)
    at = {"features": ["cpu"], "order_by": "t"}
    models = pg.fit(rows, **at, window=16, steps=1)
    with pytest.raises(pl.exceptions.ComputeError, match="left out with `models`"):
        pg.fit(rows, **at, models=models, only="score")
