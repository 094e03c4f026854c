"""Inputs and outputs at addresses of a store, on a local S3 server."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from command_line import FIT_ARGUMENTS, FITTED, INJECT, ROLE_ARGUMENTS, ROLES, genias

moto = pytest.importorskip("moto.server", reason="needs the extra [store]")
boto3 = pytest.importorskip("boto3", reason="needs the extra [store]")
pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def server():
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def lake(server, monkeypatch):
    """An empty bucket; the function lists its objects."""
    values = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    store = boto3.resource("s3").Bucket("lake")
    store.create()
    yield lambda: sorted(item.key for item in store.objects.all())
    store.objects.all().delete()
    store.delete()


@pytest.fixture
def rows(hosts):
    frame = hosts.select("host", "t", "cpu", "mem")
    frame.write_parquet("s3://lake/in.parquet")
    return frame


def test_a_job_from_store_to_store(lake, rows):
    genias("fit", "s3://lake/in.parquet", "s3://lake/models.parquet", *FIT_ARGUMENTS)
    given = ["s3://lake/in.parquet", "s3://lake/scored.parquet", *ROLE_ARGUMENTS]
    genias("score", *given, "--models", "s3://lake/models.parquet")
    models = pg.fit(rows, **ROLES, **FITTED)
    assert_frame_equal(
        pl.read_parquet("s3://lake/scored.parquet"), pg.score(rows, **ROLES, models=models)
    )
    assert lake() == ["in.parquet", "models.parquet", "scored.parquet"]


def test_a_folder_ends_with_its_mark(lake, rows):
    options = [*INJECT, "--partition-by", "host", "--json"]
    said = json.loads(genias("inject", "s3://lake/in.parquet", "s3://lake/out", *options))
    assert (said["rows"], said["groups"], said["output"]) == (rows.height, 3, "s3://lake/out/")
    parts = [f"out/host=h{i}/00000000.parquet" for i in range(3)]
    assert [name for name in lake() if name.startswith("out/")] == ["out/_SUCCESS", *parts]
    expected = pg.inject(rows, **ROLES | {"features": "cpu"}, count=1, length=5)
    found = pl.read_parquet("s3://lake/out/", hive_partitioning=True)
    assert_frame_equal(found.select(expected.columns).sort("host", "t"), expected)


def test_nothing_is_shown_when_the_query_fails(lake, rows):
    def fail(_: pl.DataFrame) -> pl.DataFrame:
        msg = "read"
        raise RuntimeError(msg)

    query = rows.lazy().map_batches(fail, schema=rows.schema)
    with pytest.raises(RuntimeError, match="read"):
        pg.sink_parquet(query, "s3://lake/out.parquet")
    assert lake() == ["in.parquet"]
    assert pg.sink_parquet(rows.lazy(), "s3://lake/out.parquet") == "s3://lake/out.parquet"
    assert_frame_equal(pl.read_parquet("s3://lake/out.parquet"), rows)


@pytest.mark.parametrize(
    ("output", "options", "said"),
    [
        ("s3://lake/there.parquet", [], "exists; --overwrite"),
        ("s3://lake/text.parquet", ["--overwrite"], "not a Parquet file"),
        ("s3://lake/in.parquet", ["--overwrite"], "the input s3://lake/in.parquet"),
        ("s3://lake/", ["--partition-by", "host"], "contains or lies in the input"),
        ("s3://lake/days", ["--partition-by", "host"], "not replaced"),
    ],
)
def test_what_is_there_stays(lake, rows, output, options, said):
    rows.write_parquet("s3://lake/there.parquet")
    rows.write_parquet("s3://lake/days/day=1/0.parquet")
    boto3.client("s3").put_object(Bucket="lake", Key="text.parquet", Body=b"text")
    before = lake()
    assert said in genias("inject", "s3://lake/in.parquet", output, *INJECT, *options, code=1)
    assert lake() == before


@pytest.mark.usefixtures("lake")
def test_a_file_is_replaced_when_asked(rows):
    rows.head(3).write_parquet("s3://lake/out.parquet")
    genias("inject", "s3://lake/in.parquet", "s3://lake/out.parquet", *INJECT, "--overwrite")
    assert pl.read_parquet("s3://lake/out.parquet").height == rows.height


@pytest.mark.usefixtures("lake", "rows")
def test_usage():
    given = ["s3://lake/in.parquet", "s3://lake/out/", "--features", "cpu", "--count", "1"]
    assert "give --partition-by" in genias("inject", *given, code=2)
    given = ["series", "s3://lake/in.parquet", "s3://lake/out.svg"]
    assert "must be a local path" in genias("plot", *given, code=2)
