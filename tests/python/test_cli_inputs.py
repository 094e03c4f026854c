"""Inputs: files of several schemas, keys of folders, pipes, paths of any letters, and nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from command_line import (
    INJECT,
    ROLE_ARGUMENTS,
    command,
    genias,
    refused,
    rows_of,
    write_partitions,
)
from conftest import make_hosts
from polars_genias.cli import _inputs, _rows, _schemas


@pytest.fixture
def folder(tmp_path):
    """Hosts as a partitioned folder and as one file."""
    rows = make_hosts(hosts=2, rows=60)
    rows.write_parquet(tmp_path / "rows.parquet")
    write_partitions(rows, tmp_path / "m")
    return tmp_path


def scan(*paths, **given):
    return _inputs.scan(_inputs.find([str(path) for path in paths]), **given)


# The same rows by every way.


def test_globs_folders_and_files_are_the_same_rows(folder):
    metrics = folder / "m"
    files = sorted(metrics.rglob("*.parquet"))
    expected = pl.read_parquet(folder / "rows.parquet")
    for paths in (
        [metrics],
        [f"{metrics}/"],
        [metrics / "*" / "*.parquet"],
        [metrics / "**" / "*.parquet"],
        [metrics / "host=*"],
        [f"{metrics}*"],
        files,
        [metrics / "host=h0" / ".." / "host=*"],
    ):
        assert_frame_equal(scan(*paths).select(expected.columns).collect(), expected)
    os.chdir(folder)
    assert_frame_equal(scan("m").select(expected.columns).collect(), expected)


def test_links_are_followed_once(folder):
    (folder / "linked").mkdir()
    (folder / "linked" / "host=x").symlink_to("../m/host=h0")
    (folder / "linked" / "host=y").mkdir()
    (folder / "linked" / "host=y" / "loop").symlink_to("..")
    assert scan(folder / "linked").collect()["host"].unique().to_list() == ["x"]


def test_only_the_partitions_that_are_asked_for_are_read(folder):
    bad = folder / "m" / "host=bad"
    bad.mkdir()
    (bad / "0.parquet").write_text("no Parquet")
    assert scan(folder / "m", where=_rows.condition("host = 'h1'")).collect().height == 60
    with pytest.raises(ValueError, match=r"host=bad/0\.parquet: not a Parquet file"):
        scan(folder / "m")
    # A file that has the column itself is read.
    both = scan(folder / "m" / "host=h0", folder / "rows.parquet", where=pl.col("host") == "h1")
    assert both.collect().height == 60


# Files of several schemas.


@pytest.mark.parametrize(
    ("other", "dtype"),
    [
        (pl.Int64, pl.Float64),
        (pl.Float32, pl.Float64),
        (pl.UInt8, pl.Float64),
        (None, pl.Float64),
        (pl.Null, pl.Float64),
    ],
)
def test_schemas_that_have_something_in_common(folder, other, dtype):
    path = folder / "m" / "host=h1" / "part-0.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    changed = rows.drop("cpu") if other is None else rows.with_columns(pl.col("cpu").abs())
    if other is pl.Null:
        changed = changed.with_columns(cpu=None)
    elif other is not None:
        changed = changed.cast({"cpu": other})
    changed.select(sorted(changed.columns)).write_parquet(path)
    found = scan(folder / "m").collect()
    assert found.columns == ["t", "cpu", "mem", "known", "host"]
    assert found.schema["cpu"] == dtype
    first = pl.read_parquet(folder / "rows.parquet").filter(pl.col("host") == "h0")
    assert found.filter(pl.col("host") == "h0")["cpu"].equals(first["cpu"])
    genias("inject", folder / "m", f"{folder}/out/", *INJECT)
    out = rows_of(folder / "out").filter(pl.col("host") == "h1")
    assert out.height == 60
    assert out["mem"].equals(rows["mem"])


def test_schemas_that_have_nothing_in_common_name_the_files(folder):
    path = folder / "m" / "host=h1" / "part-0.parquet"
    rows = pl.read_parquet(path, hive_partitioning=False)
    rows.with_columns(pl.col("cpu").cast(pl.String)).write_parquet(path)
    error = refused("inject", "m", "out/", *INJECT, cwd=folder)
    assert "column 'cpu' is Float64 in" in error
    assert "m/host=h0/part-0.parquet and String in" in error
    assert "m/host=h1/part-0.parquet" in error


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pl.Int8(), pl.Int64(), pl.Int64()),
        (pl.UInt8(), pl.Int8(), pl.Int16()),
        (pl.UInt64(), pl.Int64(), None),
        (pl.Int32(), pl.Float32(), pl.Float64()),
        (pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("ns")),
        (pl.Datetime("us", "UTC"), pl.Datetime("us"), None),
        (pl.Date(), pl.Datetime("us"), None),
        (pl.String(), pl.Int64(), None),
        (pl.Boolean(), pl.Int8(), None),
        (pl.Categorical(), pl.String(), pl.String()),
        (pl.Null(), pl.List(pl.Int8()), pl.List(pl.Int8())),
        (pl.List(pl.Int8()), pl.List(pl.Int16()), None),
    ],
)
def test_supertypes_lose_nothing(one, other, both):
    assert _schemas.supertype(one, other) == both
    assert _schemas.supertype(other, one) == both


# Keys.


@pytest.mark.parametrize("pair", [("007", "7"), ("1.10", "1.1"), ("1e5", "100000"), ("a b", "a")])
def test_keys_keep_their_text(folder, pair):
    rows = pl.read_parquet(folder / "rows.parquet")
    hosts = dict(zip(("h0", "h1"), pair, strict=True))
    write_partitions(rows.with_columns(pl.col("host").replace(hosts)), folder / "k")
    said = json.loads(genias("inject", folder / "k", f"{folder}/out/", *INJECT, "--json"))
    assert said["groups"] == 2
    assert {path.name for path in (folder / "out").iterdir()} == {f"host={key}" for key in pair}
    given = ["inject", "k", "out.parquet", *INJECT, "--key-types", "host=Float64"]
    if "a" in pair:
        error = refused(*given, cwd=folder)
        assert "--key-types: host=a" in error
        assert "is no Float64" in error
    else:
        genias(*given, cwd=folder)
        assert pl.read_parquet(folder / "out.parquet")["host"].dtype == pl.Float64


def test_a_file_outside_the_folders_of_keys_is_named(folder):
    rows = pl.read_parquet(folder / "rows.parquet")
    rows.write_parquet(folder / "m" / "out.parquet")
    error = refused("inject", "m", "out/", *INJECT, cwd=folder)
    assert "m/out.parquet lies outside the folders of host" in error


def test_keys_of_other_folders_than_those_that_are_read(tmp_path):
    """Only what is below an INPUT is a key of it; of several files, all that is in their paths."""
    rows = make_hosts(hosts=2, rows=20)
    write_partitions(rows, tmp_path / "run=1" / "m")
    assert "run" not in scan(tmp_path / "run=1" / "m").collect_schema()
    assert "run" in scan(tmp_path).collect_schema()
    files = sorted(tmp_path.rglob("*.parquet"))
    assert scan(*files).collect()["run"].unique().to_list() == [1]
    assert "host" not in scan(files[0]).collect_schema()


# Pipes and other files that are none.


@pytest.mark.parametrize("name", ["/dev/stdin", "-"])
def test_a_pipe(folder, name):
    given = ["inject", name, folder / "out.parquet", *INJECT]
    with (folder / "rows.parquet").open("rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        done = subprocess.run(command(*given), stdin=cat.stdout, capture_output=True, text=True)
        cat.wait()
    assert (done.returncode, done.stderr) == (0, "")
    expected = pg.inject(
        pl.read_parquet(folder / "rows.parquet"),
        by="host",
        order_by="t",
        features="cpu",
        count=1,
        length=5,
    )
    assert_frame_equal(pl.read_parquet(folder / "out.parquet"), expected)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_named_pipe_beside_a_file(folder):
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    data = (folder / "rows.parquet").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    genias("inject", pipe, folder / "rows.parquet", folder / "out.parquet", *INJECT)
    writer.join()
    assert pl.read_parquet(folder / "out.parquet").height == 240


def test_a_pipe_with_nothing_in_it(folder):
    done = subprocess.run(
        command("inject", "-", folder / "out.parquet", *INJECT),
        input="",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "nothing came through the pipe" in done.stderr


def test_models_through_a_pipe(folder):
    models = pg.fit(
        pl.read_parquet(folder / "rows.parquet"),
        by="host",
        order_by="t",
        features=["cpu", "mem"],
        window=16,
        steps=1,
        detector="amplitude",
    )
    models.write_parquet(folder / "models.parquet")
    given = [folder / "rows.parquet", folder / "out.parquet", *ROLE_ARGUMENTS, "--models", "-"]
    data = (folder / "models.parquet").read_bytes()
    done = subprocess.run(command("score", *given), input=data, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert pl.read_parquet(folder / "out.parquet")["anomaly_score"].null_count() == 0


def test_a_socket_is_refused(folder):
    here = os.getcwd()  # noqa: PTH109 # names of sockets are short
    os.chdir(folder)
    with socket.socket(socket.AF_UNIX) as there:
        there.bind("socket")
        error = genias("inject", "socket", "out.parquet", *INJECT, code=1)
    os.chdir(here)
    assert "socket is neither a file, a folder nor a pipe" in error


# Paths and folders.


LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX": {"LC_ALL": "POSIX", "LANG": ""},
    "unset": {"LC_ALL": "", "LANG": "", "PYTHONCOERCECLOCALE": "0"},
    "UTF-8": {"LC_ALL": "C.UTF-8"},
}


def run_in(locale, *given):
    environment = os.environ | LOCALES[locale]
    return subprocess.run(command(*given), capture_output=True, encoding="utf-8", env=environment)


@pytest.mark.parametrize("locale", LOCALES)
def test_paths_of_any_letters_under_any_locale(folder, locale):
    where = folder / "Größe 数据"
    where.mkdir()
    rows = pl.read_parquet(folder / "rows.parquet").with_columns(host=pl.lit("Ωmega"))
    write_partitions(rows, where / "e\u0301té")
    given = ["inject", where / "e\u0301té", f"{where}/aus[1]*/", *INJECT]
    done = run_in(locale, *given, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["output"].endswith("Größe 数据/aus[1]*")
    assert [path.name for path in (where / "aus[1]*").iterdir()] == ["host=Ωmega"]
    assert scan(where / "aus[1]*").collect()["host"].unique().to_list() == ["Ωmega"]
    done = run_in(locale, "inject", where / "fehlt", folder / "out")
    assert done.returncode == 1
    assert "Größe 数据/fehlt" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_path_that_is_not_utf8_is_refused(folder):
    path = os.fsencode(folder) + b"/\xff.parquet"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write((folder / "rows.parquet").read_bytes())
    calls = ([path, b"out.parquet"], [b"rows.parquet", path])
    for given in calls:
        whole = [*map(os.fsencode, command("inject")), *given, *map(os.fsencode, INJECT)]
        done = subprocess.run(whole, capture_output=True, cwd=folder)
        assert done.returncode == 1
        assert b"a path must be UTF-8" in done.stderr
        assert done.stderr.count(b"\n") == 1


def test_an_empty_folder_says_so(folder):
    (folder / "empty" / "host=a").mkdir(parents=True)
    error = refused("inject", "empty", "out.parquet", *INJECT, cwd=folder)
    assert "empty: there is no file in this folder" in error
    (folder / "empty" / "host=a" / "notes.txt").write_text("mine")
    error = refused("inject", "empty", "out.parquet", *INJECT, cwd=folder)
    assert "notes.txt: not a Parquet file" in error


def test_where_takes_no_patterns(folder):
    given = ["inject", "rows.parquet", "out.parquet", *INJECT, "--where"]
    for pattern in ('"^c.*$" > 0', '"*" > 0', 'cpu > 0 and "^m.*$" > 0'):
        assert "as patterns; rename" in refused(*given, pattern, cwd=folder, code=2)
    assert "--where" in refused(*given, "cpu >", cwd=folder, code=2)
