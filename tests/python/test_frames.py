"""Frames of pandas, pyarrow, DuckDB and others: the same values as Polars, in the kind given."""

from __future__ import annotations

import sys
import warnings

import polars as pl
import polars.selectors as cs
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST
from polars_genias import _features, _foreign

AT = {"by": "host", "order_by": "t", "label": "known"}
HIT = {"kind": "mean", "count": 2, "length": 6}


class Stream:
    """Nothing but the Arrow PyCapsule."""

    def __init__(self, frame):
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema=None):
        return self._frame.__arrow_c_stream__(requested_schema)


def test_pandas(hosts):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    given = hosts.to_pandas().set_index(pd.Index(range(1000, 1000 + len(hosts))))
    expected = hosts.genias.inject(**AT, **HIT)
    found = pg.inject(given, **AT, **HIT)
    assert isinstance(found, pd.DataFrame)
    assert found.index.equals(given.index)
    pd.testing.assert_frame_equal(found[given.columns], given)
    assert str(found["anomaly_id"].dtype) == "UInt32"
    assert str(found["is_anomaly"].dtype) == "boolean"
    assert_frame_equal(pl.from_pandas(found), expected, check_dtypes=False)
    table = pg.events(given, of="inject", **AT, **HIT)
    assert isinstance(table, pd.DataFrame)
    assert table["length"].tolist() == [6] * 6


def test_pandas_keeps_whole_numbers_beside_nulls():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    given = pd.DataFrame({"jobs": pd.array([n % 7 for n in range(90)] + [None], dtype="Int16")})
    found = pg.inject(given, **HIT)
    assert str(found["jobs_synthetic"].dtype) == "Int16"
    assert found["jobs_synthetic"].isna().sum() == 1


def test_pyarrow(hosts):
    pa = pytest.importorskip("pyarrow")
    given = hosts.to_arrow(compat_level=pl.CompatLevel.oldest())
    expected = hosts.genias.inject(**AT, **HIT)
    found = pg.inject(given, **AT, **HIT)
    assert isinstance(found, pa.Table)
    assert found.select(given.column_names).equals(given)
    assert_frame_equal(pl.DataFrame(pl.from_arrow(found)), expected)
    assert isinstance(pg.events(given, of="inject", **AT, **HIT), pa.Table)
    (batch,) = given.combine_chunks().to_batches()
    assert isinstance(pg.inject(batch, **AT, **HIT), pa.RecordBatch)
    assert pg.inject(given.to_reader(), **AT, **HIT).read_all().num_rows == len(hosts)


def test_duckdb(hosts):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("narwhals")
    connection = duckdb.connect()
    connection.register("hosts", hosts.to_arrow())
    given = connection.table("hosts")
    found = pg.inject(given, **AT, **HIT)
    assert isinstance(found, duckdb.DuckDBPyRelation)
    # A relation of the same connection: it can be joined with others.
    assert given.set_alias("a").join(found.set_alias("b"), "a.host = b.host and a.t = b.t")
    expected = hosts.genias.inject(**AT, **HIT)
    assert_frame_equal(found.pl().sort("host", "t"), expected.sort("host", "t"))


def test_what_speaks_arrow_and_nothing_else(hosts):
    found = pg.inject(Stream(hosts), **AT, **HIT)
    assert_frame_equal(found, hosts.genias.inject(**AT, **HIT))


def test_a_frame_of_narwhals(hosts):
    nw = pytest.importorskip("narwhals.stable.v2")
    found = pg.inject(nw.from_native(hosts), **AT, **HIT)
    assert isinstance(found, nw.DataFrame)
    assert found.columns[-1] == "mem_mask"


def test_models_of_another_kind(hosts):
    pytest.importorskip("narwhals")
    pd = pytest.importorskip("pandas")
    models = pg.fit(hosts.to_pandas(), **AT, **FAST)
    assert isinstance(models, pd.DataFrame)
    expected = hosts.genias.score(models=pl.from_pandas(models), **AT)
    assert_frame_equal(hosts.genias.score(models=models, **AT), expected)
    assert pg.health(models)["host"].tolist() == ["h0", "h1", "h2"]


@pytest.mark.parametrize("data", [3, None, [1.0, 2.0], {"x": [1.0]}])
def test_what_is_no_frame(data):
    with pytest.raises(TypeError, match="parameter `data`: must be a frame of Polars, pandas"):
        pg.inject(data, **HIT)


def test_without_narwhals(monkeypatch):
    pd = pytest.importorskip("pandas")
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    with pytest.raises(ModuleNotFoundError, match="narwhals"):
        _foreign.to_polars(pd.DataFrame({"x": [1.0]}))


def test_selectors_leave_out_other_roles(hosts):
    frame = hosts.with_columns(t=pl.col("t").cast(pl.Float64))
    expected = frame.genias.inject(features=["cpu", "mem"], **AT, **HIT)
    for features in (cs.float(), cs.numeric(), cs.by_name("cpu", "mem"), cs.matches("^(cpu|mem)$")):
        assert_frame_equal(frame.genias.inject(features=features, **AT, **HIT), expected)
        assert_frame_equal(
            frame.lazy().genias.inject(features=features, **AT, **HIT).collect(), expected
        )
    with pytest.raises(ValueError, match="names or a selector"):
        frame.genias.inject(features=pl.col("cpu") + 1, **AT, **HIT)
    with pytest.raises(ValueError, match="at least one column"):
        frame.genias.inject(features=cs.by_dtype(pl.Date), **AT, **HIT)
    with pytest.raises(ValueError, match="dtype String"):
        frame.drop("known").genias.inject(features=cs.string(), order_by="t", **HIT)


def features_of(schema, taken=()):
    return list(_features.default_features(pl.Schema(schema), set(taken)))


def test_ids_labels_and_own_columns_are_no_features():
    whole, real = pl.Int64(), pl.Float32()
    ids = ("id", "host_id", "rackId", "row_nr", "primary key", "label", "is_odd", "y")
    with pytest.warns(UserWarning, match=r"\['id', 'host_id'.* not taken as features"):
        assert features_of(dict.fromkeys(ids, whole) | {"jobs": whole}) == ["jobs"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert features_of(dict.fromkeys(ids, whole) | {"jobs": whole}) == ["jobs"]
        measured = ["humid", "valid", "grid", "keys", "acid", "score", "gold_score", "mask"]
        assert features_of(dict.fromkeys(measured, whole)) == measured
        assert features_of({"y": real, "id": real}) == ["y", "id"]
        own = ("cpu_synthetic", "cpu_score", "cpu_expected", "anomaly_id", "anomaly_strength")
        own += ("anomaly_score", "anomaly_pvalue", "anomaly_kind")
        assert features_of({"cpu": real, **dict.fromkeys(own, real)}) == ["cpu"]
    with pytest.raises(ValueError, match=r"no numeric column is left.*\['id'\] look like ids"):
        features_of({"id": whole})


def test_verbs_in_a_row_have_the_same_features(hosts):
    once = hosts.genias.inject(**AT, **HIT)
    again = (
        once.rename({"cpu_synthetic": "x", "mem_synthetic": "z"})
        .drop("x", "z")
        .drop(
            "is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength", "cpu_mask", "mem_mask"
        )
    )
    assert_frame_equal(again.genias.inject(**AT, **HIT), once)
    scored = hosts.genias.score(detector="amplitude", **AT, **FAST)
    labelled = scored.genias.label(detector="amplitude", threshold=3.0, **AT, **FAST)
    assert labelled["anomaly_label"].dtype == pl.Boolean


@pytest.mark.parametrize("kind", ["table", "bytes", "file", "parquet"])
def test_features_of_the_model_are_the_default(hosts, tmp_path, kind):
    one = hosts.filter(host="h0").drop("host")
    table = one.genias.fit(features=["mem"], order_by="t", **FAST)
    models = {"table": table, "bytes": table["model"][0]}
    models |= {"file": tmp_path / "one.genias", "parquet": tmp_path / "models.parquet"}
    models["file"].write_bytes(table["model"][0])
    table.write_parquet(models["parquet"])
    found = one.genias.score(models=models[kind], order_by="t")
    expected = one.genias.score(models=table, features=["mem"], order_by="t")
    assert_frame_equal(found, expected)


def test_reconstruct_of_frames(hosts):
    models = hosts.genias.fit(**AT, **FAST)
    found = hosts.genias.reconstruct(models=models, **AT)
    assert found.columns == [*hosts.columns, "cpu_expected", "mem_expected"]
    assert_frame_equal(hosts.lazy().genias.reconstruct(models=models, **AT).collect(), found)
    one = hosts.filter(host="h1")
    model = models.filter(host="h1")["model"][0]
    struct = one.select(
        pl.struct("cpu", "mem").genias.reconstruct(
            model=model, order_by="t", label="known", suffix="_expected"
        )
    )
    expected = struct.unnest("cpu")
    assert_frame_equal(found.filter(host="h1").select("cpu_expected", "mem_expected"), expected)
    single = hosts.genias.reconstruct(features="cpu", suffix="_is", **AT, **FAST)
    assert single["cpu_is"].dtype == pl.Float64


def test_health_and_description_of_a_table(hosts):
    models = hosts.genias.fit(**AT, **FAST)
    health = models.genias.health()
    assert health.columns == ["host", "psi", "r2", "r2_pca", "health"]
    assert_frame_equal(models.lazy().genias.health().collect(), health)
    described = models.genias.describe()
    assert_frame_equal(models.select("host", pg.describe("model")).unnest("model"), described)
    assert models.select(pg.health("model"))["health"].to_list() == health["health"].to_list()
    with pytest.raises(ValueError, match="'psi': a description has a column of this name"):
        models.rename({"host": "psi"}).genias.describe()
    with pytest.raises(ValueError, match="parameter `data`: one Binary column"):
        hosts.genias.health()
