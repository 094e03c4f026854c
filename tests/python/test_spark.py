"""The verbs on a real local Spark session, beside the same verbs of Polars."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import shutil
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, make_hosts
from polars_genias import verbs

pytestmark = pytest.mark.slow

pytest.importorskip("pyspark", reason="needs the extra [spark]")
if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    pytest.skip("Spark needs Java", allow_module_level=True)

gs = pytest.importorskip("polars_genias.spark")

KEYS = {"by": "host", "order_by": "t", "label": "known"}


@pytest.fixture(scope="module")
def spark():
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def hosts():
    """Three series; one has no key, one has nulls, a column of integers; rows of no order."""
    frame = make_hosts().with_columns(
        host=pl.when(pl.col("host") != "h2").then("host"),
        mem=pl.when(pl.col("t") != 40).then("mem"),
        jobs=(pl.col("t") % 7).cast(pl.Int32),
        note=pl.lit("as it was"),
    )
    return frame.sample(fraction=1, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def rows(spark, hosts):
    return spark.createDataFrame(hosts.to_arrow()).repartition(3)


@pytest.fixture(scope="module")
def table(hosts):
    return hosts.genias.fit(**KEYS, **FAST)


@pytest.fixture(scope="module")
def models(spark, table):
    return spark.createDataFrame(table.to_arrow())


def polars(frame) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(frame.toArrow()))


def assert_same(found, expected: pl.DataFrame, *keys: str) -> None:
    """Equal in every bit, but for the types that Spark lacks; the order of rows is Spark's."""

    def plain(dtype: pl.DataType) -> pl.DataType:
        if isinstance(dtype, pl.Array):
            return pl.List(plain(dtype.inner))
        return pl.Int64() if dtype == pl.UInt32 else dtype

    expected = expected.cast({n: plain(d) for n, d in expected.schema.items()})
    assert_frame_equal(
        polars(found).sort(keys), expected.sort(keys), check_exact=True, check_column_order=True
    )


def test_fit_gives_the_same_bytes(rows, table):
    found = gs.fit(rows, **KEYS, **FAST)
    assert found.dtypes == [("host", "string"), ("model", "binary")]
    assert_same(found, table, "host")


def test_fit_adds_a_detector_to_models(rows, hosts, models, table):
    options = {"detector": "amplitude", "name": "again"}
    found = gs.fit(rows, models=models, **KEYS, **options)
    assert_same(found, hosts.genias.fit(models=table, **KEYS, **options), "host")


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("generate", {"contamination": 0.2, "seed": 3, "suffix": "_x"}),
        ("score", {}),
        ("reconstruct", {}),
        ("score", {"per_feature": True, "detector": "reconstruction"}),
        ("label", {"quantile": 0.9, "name": "odd"}),
        ("pairs", {"window_stride": 24, "window": 16}),
    ],
)
def test_verbs_with_a_table_of_models(rows, hosts, models, table, verb, options):
    found = getattr(gs, verb)(rows, models=models, **KEYS, **options)
    expected = getattr(pg, verb)(hosts, models=table, **KEYS, **options)
    assert_same(found, expected, "host", "start" if verb == "pairs" else "t")


def test_verbs_fit_where_no_model_is_given(rows, hosts):
    options = {"features": {"load": "cpu"}, **FAST}
    found = gs.generate(rows, **KEYS, **options)
    assert found.schema["anomaly_id"].dataType.simpleString() == "bigint"
    assert_same(found, hosts.genias.generate(**KEYS, **options), "host", "t")


def test_inject(rows, hosts):
    options = {"kind": ["trend", "mean"], "count": 2, "length": 10}
    expected = hosts.genias.inject(**KEYS, **options)
    assert_same(gs.inject(rows, **KEYS, **options), expected, "host", "t")


def test_one_series_and_the_bytes_of_one_model(spark, rows, hosts, table):
    one, model = hosts.filter(host="h0"), table.filter(host="h0")["model"][0]
    series = rows.where("host = 'h0'")
    at = {"order_by": "t", "features": ["cpu", "mem", "jobs"]}
    expected = one.genias.score(models=model, **at)
    assert_same(gs.score(series, models=model, **at), expected, "t")
    joined = spark.createDataFrame(table.filter(host="h0").select("model").to_arrow())
    assert_same(gs.score(series, models=joined, **at), expected, "t")
    with_types = gs.pairs(series, models=model, window_stride=48, **at)
    assert_same(with_types, one.genias.pairs(models=model, window_stride=48, **at), "start")


def test_series_without_a_model_and_models_without_a_series(rows, models):
    some = models.where("host is null or host = 'h0'").replace("h0", "other")
    scored = polars(gs.score(rows, models=some, **KEYS))
    assert scored.height == 480
    known = scored.group_by("host").agg(pl.col("anomaly_score").count() > 0)
    assert dict(known.iter_rows()) == {None: True, "h0": False, "h1": False}


def test_other_types_of_spark(spark):
    """Types that Polars reads, as keys and features, and types that only pass through."""
    frame = spark.range(128).selectExpr(
        "cast(id % 64 as timestamp) t",
        "cast(id div 64 as tinyint) unit",
        "cast(sin(id / 3) as decimal(9, 4)) x",
        "cast(cos(id / 5) as float) y",
        "map('k', id) more",
    )
    options = {"by": "unit", "order_by": "t", "window": 16, "steps": 2, "detector": "amplitude"}
    scored = gs.score(frame, **options)
    assert scored.dtypes == [*frame.dtypes, ("anomaly_score", "float")]
    plain = polars(frame.drop("more"))
    assert_same(scored.drop("more"), plain.genias.score(**options), "unit", "t")
    assert scored.selectExpr("sum(more['k'])").first()[0] == 127 * 64
    with pytest.raises(ValueError, match="more"):
        gs.score(frame, **(options | {"features": ["x", "more"]}))


def test_every_frame_verb_is_here():
    """By what is in `verbs`: one that is added there must be added to Spark, too.

    `compare` is no verb of one series: it counts the events of all.
    """
    of_series = {name for name in verbs.__all__ if takes(getattr(verbs, name), "data", "order_by")}
    of_series.remove("compare")
    assert set(gs.__all__) == {*of_series, "describe"}
    for name in of_series:
        mine, theirs = getattr(gs, name), getattr(verbs, name)
        shown = inspect.signature(mine).parameters
        assert list(shown) == [n for n in inspect.signature(theirs).parameters if n != "model"]
        assert shown["order_by"].default is inspect.Parameter.empty
        assert mine.__doc__.startswith(theirs.__doc__.partition("\n")[0])
        assert "\nOther Parameters\n" in mine.__doc__


def takes(function, *names):
    return set(names) <= set(inspect.signature(function).parameters)


def test_large_offsets(spark, rows, table):
    name = "spark.sql.execution.arrow.useLargeVarTypes"
    spark.conf.set(name, "true")
    try:
        assert_same(gs.fit(rows, **KEYS, **FAST), table, "host")
    finally:
        spark.conf.set(name, "false")


def test_describe(models, table):
    found = polars(gs.describe(models).orderBy("host"))
    expected = table.sort("host").select("host", pg.describe("model"))
    assert found["host"].to_list() == expected["host"].to_list()
    left, right = found["model"].to_list(), expected["model"].to_list()
    for row in (*left, *right):
        del row["seconds"]  # of fits of this process only
    assert left == right


def test_workers_run_one_thread_each(monkeypatch):
    """A verb as it is shipped, in a process that has not imported Polars yet."""
    from pyspark import cloudpickle
    from pyspark.sql import types

    schema = types.StructType().add("t", types.LongType()).add("x", types.DoubleType())
    functions = SimpleNamespace(applyInArrow=lambda function, _: function)
    stub = SimpleNamespace(schema=schema, columns=schema.names)
    stub.toDF = lambda *_: SimpleNamespace(groupBy=lambda: functions)
    stub.groupBy = None
    stub.sparkSession = SimpleNamespace(conf={})
    function = gs.inject(stub, order_by="t", count=1, length=4, kind="mean")
    script = """
import sys, pickle, pyarrow as pa
run = pickle.load(sys.stdin.buffer)
assert not [name for name in sys.modules if name.startswith("polars")]
out = run(pa.table({"c0": range(64), "c1": [float(t % 7) for t in range(64)]}))
import polars
print(out["is_anomaly"].to_pylist().count(True), polars.thread_pool_size())
"""
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", script], input=cloudpickle.dumps(function), capture_output=True
    )
    assert done.stdout.split() == [b"4", b"1"], done.stderr


def test_planning_reads_no_rows(spark):
    """The frame fails when it is read."""
    frame = spark.range(64).selectExpr("id t", "cast(raise_error('read') as double) x")
    found = gs.pairs(frame, order_by="t", window=16)
    assert found.columns == ["start", "normal", "anomalous", "mask", "kind"]


def test_bad_input(rows, models):
    with pytest.raises(ValueError, match="order_by"):
        gs.fit(rows, by="host", order_by=[])
    with pytest.raises(ValueError, match="window"):
        gs.fit(rows, **KEYS, window=2)
    with pytest.raises(ValueError, match="no such column"):
        gs.fit(rows, by="hosts", order_by="t")
    with pytest.raises(ValueError, match="exists already"):
        gs.score(rows, name="note", **KEYS)
    with pytest.raises(ValueError, match="no column 'host'"):
        gs.score(rows, models=models.select("model"), **KEYS)
    with pytest.raises(TypeError, match="Spark"):
        gs.score(rows, models=pl.DataFrame(), **KEYS)
    with pytest.raises(ValueError, match="no such column"):
        gs.describe(models, "host")
    with pytest.raises(Exception, match=r"more than one row at .*'h1'.* Spark"):
        gs.score(rows.union(rows.where("host = 'h1' and t = 9")), models=models, **KEYS).collect()
    with pytest.raises(Exception, match="more than one model"):
        gs.score(rows, models=models.union(models), **KEYS).collect()


def test_docstrings(spark):
    found = doctest.testmod(gs, extraglobs={"spark": spark})
    assert found.attempted > 15
    assert found.failed == 0


def test_the_page_about_spark(spark, tmp_path):
    """Runs its Python blocks in order, with a small model."""
    names = {"t": "timestamp", "mem": "memory", "known": "incident"}
    make_hosts(hosts=2).rename(names).write_parquet(tmp_path / "metrics.parquet")
    text = (Path(__file__).parents[2] / "docs" / "spark.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    page = "".join(blocks).replace("fit(metrics", "fit(metrics, **FAST")
    for name in ("metrics", "models", "labelled", "fleet"):
        suffix = ".parquet" if name == "metrics" else ""
        page = page.replace(f'"{name}/"', repr(str(tmp_path / f"{name}{suffix}")))
    scope = {"spark": spark, "FAST": FAST}
    exec(page, scope)
    assert scope["labelled"].columns[-2:] == ["anomaly_score", "anomaly_label"]
    assert "anomaly_id" in scope["augmented"].columns


NAMES = [
    ["a.b", "*", "^x.*$", "x1", "note"],
    ["model", "features", "start", "id", "mask"],
    ["a", "A", "`", "``.`", " "],
    ["e\u0301", "é", "a=b", '"', "c0"],
    ["key", "t", "", "-x", "a,b"],
]


@pytest.mark.parametrize("names", NAMES)
def test_any_string_is_a_name(spark, names):
    """Names that Spark reads as paths, quotes or one another, and those of the package."""
    key, order, one, other, beside = names
    keys = ["", None, "e\u0301", "é", "*"]
    size = 16 * len(keys)
    values = pl.int_range(size, eager=True)
    rows = pl.DataFrame(
        {
            key: [name for name in keys for _ in range(16)],
            order: values,
            one: (values * 7 % 23).cast(pl.Float64),
            other: (values * 5 % 11).cast(pl.Float64),
            beside: values.cast(pl.String),
        }
    )
    data = spark.createDataFrame(rows.to_arrow())
    roles = {"by": key, "order_by": order, "features": [one, other]}
    models = gs.fit(data, **roles, name="m", **FAST).collect()
    expected = pg.fit(rows, **roles, name="m", **FAST)
    assert {row[0]: bytes(row[1]) for row in models} == dict(expected.iter_rows())
    for verb, options in (("inject", {"count": 1, "length": 4}), ("score", FAST)):
        result = getattr(gs, verb)(data, **roles, **options)
        out = pl.from_arrow(result.toArrow())
        out.columns = result.columns
        mine = getattr(pg, verb)(rows, **roles, **options)
        out = out[out.to_series(out.columns.index(order)).alias("").arg_sort()]
        assert out.columns == mine.columns
        for column in mine.columns:
            assert out[column].to_list() == mine[column].to_list(), column


def test_a_name_that_is_there_twice(spark):
    data = spark.range(20).selectExpr("id t", "id x", "id x")
    with pytest.raises(ValueError, match="column 'x' is given twice"):
        gs.inject(data, order_by="t")


def test_models_that_share_a_vae(spark, hosts, rows):
    at = {"by": "host", "order_by": "t"}
    fleet = pg.fit(hosts, **at, **FAST, features=["cpu"], share="fleet")
    models = spark.createDataFrame(fleet.to_arrow())
    expected = pg.score(hosts, models=fleet, features=["cpu"], **at)
    found = polars(gs.score(rows, models=models, features=["cpu"], **at))
    assert_frame_equal(found.select(expected.columns), expected, check_row_order=False)
    about = polars(gs.describe(models)).select(pl.col("model").struct.field("backbone"))
    assert about["backbone"].sort().equals(fleet.genias.describe()["backbone"].sort())


def fleet(seed: int, *, period: float = 12, still: bool = False) -> pl.DataFrame:
    """One host of a fleet, with a level and a scale of its own."""
    rng = np.random.default_rng(seed)
    t = np.arange(400)
    wave = np.sin(2 * np.pi * t / period + seed)
    values = [seed + (1 + seed) * wave, 50 - 3 * wave]
    values = [value + rng.normal(0, 0.02, 400) for value in values]
    b = np.zeros(400) if still else values[1]
    return pl.DataFrame({"host": [f"h{seed}"] * 400, "t": t, "a": values[0], "b": b})


@pytest.fixture(scope="module")
def unlike():
    """Alike hosts, two of another kind, a strange one, two with a constant, one too short."""
    alike = [fleet(seed) for seed in range(4)]
    other = [fleet(seed, period=5.3 + seed / 100) for seed in (10, 11)]
    still = [fleet(seed, still=True) for seed in (20, 21)]
    strange = fleet(30).with_columns(pl.col("a", "b").shuffle(1).rolling_mean(9, min_samples=1))
    copy = fleet(1).with_columns(host=pl.lit("copy"))
    return pl.concat([*alike, *other, *still, strange, copy, fleet(40).head(9)])


SHARED = {"by": "host", "order_by": "t", "window": 24, "channels": 4, "steps": 25}


@pytest.mark.filterwarnings("ignore:.*unlike the others")
@pytest.mark.parametrize("options", [{"latent": 6}, {"detector": "amplitude", "name": "m"}])
def test_a_fleet_gets_the_models_of_polars(spark, unlike, options):
    expected = pg.fit(unlike, **SHARED, **options, share="fleet")
    data = spark.createDataFrame(unlike.to_arrow()).repartition(3)
    found = gs.fit(data, **SHARED, **options, share="fleet")
    assert found.columns == expected.columns
    assert_same(found, expected, "host")
    if "latent" in options:
        about = expected.genias.describe()
        assert set(about["origin"]) == {"shared", "own", None}
        assert about["backbone"].n_unique() > 3


@pytest.mark.filterwarnings("ignore:.*unlike the others")
def test_new_hosts_start_from_the_backbones_of_all(spark, unlike):
    known, new = unlike.filter(pl.col("host") < "h3"), unlike.filter(pl.col("host") >= "h3")
    models = pg.fit(known, **SHARED, share="fleet")
    given = spark.createDataFrame(models.to_arrow())
    data = spark.createDataFrame(new.to_arrow()).repartition(3)
    for share in ({}, {"share": "fleet"}):
        at = {"by": "host", "order_by": "t", "warm": True, **share}
        expected = pg.fit(new, models=models, **at)
        assert "shared" in expected.genias.describe()["origin"]
        assert_same(gs.fit(data, models=given, **at), expected, "host")


def test_a_fleet_without_keys_is_an_error(rows):
    with pytest.raises(ValueError, match=r"`share`.*`by`"):
        gs.fit(rows, order_by="t", features="cpu", share="fleet")


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "America/New_York"])
@pytest.mark.parametrize("verb", ["generate", "events", "fit"])
def test_times_in_any_time_zone_of_the_session(spark, verb, zone):
    """Spark hands times over in the time zone of its session, and expects them in UTC."""
    start = datetime(2026, 3, 8, tzinfo=timezone.utc)  # clocks change in New York
    frame = make_hosts(hosts=1).select(
        "cpu",
        t=pl.lit(start) + pl.duration(minutes=10 * pl.col("t")),
        price=(pl.col("mem") * 100).round().cast(pl.Decimal(12, 2)),
        visit=pl.struct(at=pl.lit(start), n=pl.col("t")),
    )
    at = {"features": ["cpu", "price"], "order_by": "t"}
    options = FAST if verb == "fit" else {**FAST, "count": 2, "length": 5}
    before = spark.conf.get("spark.sql.session.timeZone")
    try:
        rows = spark.createDataFrame(frame.to_arrow())
        spark.conf.set("spark.sql.session.timeZone", zone)
        found = polars(getattr(gs, verb)(rows, **at, **options))
    finally:
        spark.conf.set("spark.sql.session.timeZone", before)
    expected = getattr(pg, verb)(frame, **at, **options)
    assert found.height == expected.height
    for name in expected.columns:
        new = found[name]
        if isinstance(new.dtype, pl.Datetime) and new.dtype.time_zone is not None:
            new = new.dt.convert_time_zone("UTC")
        if name != "visit":
            assert new.to_list() == expected[name].to_list(), name


def test_events_by_times_without_a_zone(spark):
    frame = make_hosts(hosts=1).select(
        "cpu", day=pl.lit(date(2026, 1, 1)) + pl.duration(days=pl.col("t"))
    )
    at = {"features": "cpu", "order_by": "day", "count": 2, "length": 5}
    rows = spark.createDataFrame(frame.to_arrow())
    assert_same(gs.events(rows, **at, **FAST), pg.events(frame, **at, **FAST), "start")
    rows = rows.selectExpr("cpu", "cast(day as timestamp_ntz) day")
    frame = frame.cast({"day": pl.Datetime("us")})
    assert_same(gs.events(rows, **at, **FAST), pg.events(frame, **at, **FAST), "start")
