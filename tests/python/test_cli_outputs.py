"""Outputs: what they may replace, and what is there after whatever goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from command_line import (
    FITTED,
    INJECT,
    ROLE_ARGUMENTS,
    ROLES,
    arguments,
    command,
    contents,
    genias,
    hidden,
    refused,
    rows_of,
    write_partitions,
)
from conftest import make_hosts
from polars_genias._replace import recover, replacing
from polars_genias.cli import _inputs


@pytest.fixture
def lake(tmp_path):
    """A partitioned folder beside another table, and the same rows as one file."""
    rows = make_hosts(hosts=2, rows=60)
    write_partitions(rows, tmp_path / "lake" / "metrics")
    (tmp_path / "lake" / "other" / "day=1").mkdir(parents=True)
    rows.write_parquet(tmp_path / "lake" / "other" / "day=1" / "0.parquet")
    rows.write_parquet(tmp_path / "rows.parquet")
    return tmp_path


# Outputs and inputs.


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["lake/metrics", "lake/"], "lake is or contains INPUT lake/metrics"),
        (["lake/metrics", "lake/metrics/../"], "is or contains INPUT"),
        (["lake/metrics/host=h0/part-0.parquet", "lake/metrics/"], "is or contains INPUT"),
        (["lake/metrics/*/*.parquet", "lake/"], "is or contains INPUT"),
        (["lake/metrics", "."], "is or contains INPUT"),
        (["lake/metrics", "lake/metrics/", "--where", "host = 'h0'"], "excluded by --where"),
        (["lake/metrics/host=h0", "lake/metrics/"], "is or contains INPUT"),
        (["lake/metrics", "rows.parquet", "rows.parquet"], "one of several inputs"),
        (["rows.parquet", "lake/metrics", "lake/metrics/"], "one of several inputs"),
        (["rows.parquet", "./lake/../rows.parquet", "--where", "t < 50"], "excluded by --where"),
        (["rows.parquet", "hard.parquet", "--where", "t < 50"], "excluded by --where"),
        (["link.parquet", "rows.parquet", "--where", "t < 50"], "excluded by --where"),
        (["rows.parquet", "link.parquet", "--where", "t < 50"], "excluded by --where"),
        (["linked", "lake/metrics/", "--where", "t < 50"], "excluded by --where"),
        (["lake/metrics", "linked/", "--where", "t < 50"], "excluded by --where"),
        (["lake/metrics", "lake/metrics/out.parquet"], "lies inside INPUT lake/metrics"),
        (["lake/metrics", "lake/metrics/new/deep/"], "lies inside INPUT"),
        (["linked", "lake/metrics/out.parquet"], "lies inside INPUT"),
        (["linking", "lake/metrics/host=h0/out.parquet"], "lies inside INPUT"),
        (["lake/metrics/**/*.parquet", "lake/metrics/host=h0/out.parquet"], "lies inside INPUT"),
        (["lake/met*", "lake/metrics/out.parquet"], "lies inside INPUT"),
        (["lake/metrics/*", "lake/metrics/new/"], "lies inside INPUT"),
        (["lake/metrics", "lake/other/"], "not from an earlier"),
        (
            ["lake/metrics", "lake/metrics/", "--overwrite", "partitions", "--where", "t < 50"],
            "lost",
        ),
        (["rows.parquet", "notes.txt"], "not a Parquet file"),
        (["rows.parquet", "loop"], "oop"),
        (["rows.parquet", "fifo"], "a pipe"),
        (["rows.parquet", "to-fifo"], "a pipe"),
        (["rows.parquet", "socket"], "socket"),
        (["rows.parquet", "notes.txt/out.parquet"], "notes.txt"),
    ],
)
def test_what_was_not_wholly_read_is_not_touched(lake, given, says):
    (lake / "link.parquet").symlink_to("rows.parquet")
    (lake / "hard.parquet").hardlink_to(lake / "rows.parquet")
    (lake / "linked").symlink_to("lake/metrics")
    (lake / "linking").mkdir()
    (lake / "linking" / "host=h0").symlink_to("../lake/metrics/host=h0")
    (lake / "loop").symlink_to("loop")
    (lake / "notes.txt").write_text("mine")
    os.mkfifo(lake / "fifo")
    (lake / "to-fifo").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as there:
        here = os.getcwd()  # noqa: PTH109 # names of sockets are short
        os.chdir(lake)
        there.bind("socket")
        os.chdir(here)
        overwrite = [] if "--overwrite" in given else ["--overwrite"]
        error = refused("inject", *given, *INJECT, *overwrite, cwd=lake)
        assert says in error
    assert stat.S_ISFIFO((lake / "fifo").lstat().st_mode)
    assert (lake / "to-fifo").is_symlink()


@pytest.mark.parametrize("verb", ["fit", "events", "pairs"])
def test_a_verb_with_other_rows_never_replaces_its_input(lake, verb):
    given = [*ROLE_ARGUMENTS, "--window", "16", "--steps", "1", "--overwrite"]
    for paths in (["rows.parquet"] * 2, ["lake/metrics"] * 2):
        assert "does not write its rows" in refused(verb, *paths, *given, cwd=lake)


def test_outputs_of_other_commands_do_not_replace_their_inputs(lake):
    pg.inject(pl.read_parquet(lake / "rows.parquet"), **ROLES, count=1, length=5).with_columns(
        anomaly_score=0.5
    ).write_parquet(lake / "rows.parquet")
    pg.fit(make_hosts(), **ROLES, **FITTED).write_parquet(lake / "models.parquet")
    rows, models = "rows.parquet", "models.parquet"
    for given in (
        ["evaluate", rows, "--output", rows],
        ["describe", models, "--output", models],
        ["score", rows, models, *ROLE_ARGUMENTS, "--models", models],
        ["fit", rows, models, *ROLE_ARGUMENTS, "--models", models],
    ):
        assert "is or contains" in refused(*given, "--overwrite", cwd=lake)


def test_in_place_all_rows_and_columns_come_back(lake):
    before = pl.read_parquet(lake / "rows.parquet")
    (lake / "link.parquet").symlink_to("rows.parquet")
    genias("inject", "link.parquet", "link.parquet", *INJECT, "--overwrite", cwd=lake)
    assert (lake / "link.parquet").is_symlink()
    assert_frame_equal(pl.read_parquet(lake / "rows.parquet")[before.columns], before)

    folder = lake / "lake" / "metrics"
    old = rows_of(folder)
    (folder / "_SUCCESS").write_text("")
    error = refused("inject", folder, folder, *INJECT, "--overwrite", cwd=lake)
    assert "_SUCCESS in it is not read" in error
    (folder / "_SUCCESS").rename(folder / ".hidden")
    (folder / ".genias-0123456789ab").mkdir()
    pattern = folder / "*" / "*.parquet"  # all of the folder by another way
    genias("inject", pattern, f"{folder}/", *INJECT, "--overwrite", cwd=lake)
    assert hidden(folder) == [".hidden"]
    assert_frame_equal(rows_of(folder)[old.columns], old)


def test_a_folder_is_replaced_if_it_holds_nothing_but_an_earlier_output(lake):
    out = lake / "out"
    genias("inject", "rows.parquet", "out/", *INJECT, cwd=lake)
    first = contents(out)
    assert "exists" in refused("inject", "rows.parquet", "out/", *INJECT, cwd=lake)
    given = ["rows.parquet", "out/", *INJECT, "--overwrite"]
    genias("inject", *given, "--seed", "7", cwd=lake)
    assert sorted(contents(out)) == sorted(first)
    assert contents(out) != first
    # Of another command, by other keys, with other files.
    error = refused("fit", *given[:6], "--window", "16", "--steps", "1", *given[-1:], cwd=lake)
    assert "is not from an earlier `genias fit` by host" in error
    assert "by t" in refused("inject", *given, "--partition-by", "t", cwd=lake)
    (out / "host=h0" / "mine.parquet").write_bytes((lake / "rows.parquet").read_bytes())
    assert "mine.parquet is not from" in refused("inject", *given, cwd=lake)
    (out / "host=h0" / "mine.parquet").rename(out / "notes.txt")
    assert "notes.txt" in refused("inject", *given, cwd=lake)


def test_overwrite_partitions_replaces_those_that_are_written(lake):
    out = lake / "out"
    genias("inject", "rows.parquet", "out/", *INJECT, cwd=lake)
    first = contents(out)
    (out / "README").write_text("mine")
    (out / "host=h1").chmod(0o750)
    one = ["rows.parquet", "out/", *INJECT, "--seed", "7", "--where", "host = 'h0'"]
    genias("inject", *one, "--overwrite", "partitions", cwd=lake)
    second = contents(out)
    assert sorted(second) == sorted([*first, "README"])
    h0, h1 = (next(name for name in first if name.startswith(f"host={h}/")) for h in ("h0", "h1"))
    assert second[h0] != first[h0]
    assert second[h1] == first[h1]
    assert stat.S_IMODE((out / "host=h1").stat().st_mode) == 0o750
    # A new partition, beside the others; and into a folder that is not there.
    more = pl.read_parquet(lake / "rows.parquet").with_columns(host=pl.lit("h2"))
    more.write_parquet(lake / "more.parquet")
    genias("inject", "--overwrite", "partitions", "more.parquet", "out/", *INJECT, cwd=lake)
    assert {name: second[name] for name in second} == {
        name: data for name, data in contents(out).items() if not name.startswith("host=h2")
    }
    genias("inject", "--overwrite=partitions", "more.parquet", "new/", *INJECT, cwd=lake)
    # What is refused: a file, other keys, other files in the partition.
    given = ["inject", "rows.parquet"]
    end = [*INJECT, "--overwrite", "partitions"]
    assert "is a file" in refused(*given, "one.parquet", *end, cwd=lake, code=2)
    error = refused(*given, "out/", *end, "--partition-by", "known", cwd=lake)
    assert "not partitioned by known" in error
    (out / "host=h0" / "notes.txt").write_text("mine")
    assert "it holds notes.txt" in refused(*given, "out/", *end, cwd=lake)


def test_a_partition_is_found_by_its_value_not_by_its_spelling(lake):
    rows = pl.read_parquet(lake / "rows.parquet").with_columns(host=pl.lit("a b"))
    rows.write_parquet(lake / "rows.parquet")
    (lake / "out" / "host=a%20b").mkdir(parents=True)
    rows.drop("host").write_parquet(lake / "out" / "host=a%20b" / "old.parquet")
    genias("inject", "rows.parquet", "out/", *INJECT, "--overwrite", "partitions", cwd=lake)
    written = pl.concat(map(pl.read_parquet, (lake / "out").rglob("*.parquet")))
    assert written.height == rows.height


def test_an_empty_folder_is_no_output(lake):
    (lake / "out").mkdir(mode=0o700)
    genias("inject", "rows.parquet", "out/", *INJECT, cwd=lake)
    assert rows_of(lake / "out").height == 120
    assert stat.S_IMODE((lake / "out").stat().st_mode) == 0o700


def test_a_change_in_the_meantime_is_not_overwritten(tmp_path):
    path = tmp_path / "out.parquet"
    path.write_text("old")
    with pytest.raises(ValueError, match="changed by another process"), replacing(path) as beside:
        beside.write_text("new")
        path.write_text("theirs, in the meantime")
    assert path.read_text() == "theirs, in the meantime"
    folder = tmp_path / "folder"
    with pytest.raises(ValueError, match="changed by another process"), replacing(folder) as beside:
        beside.mkdir()
        folder.mkdir()
        (folder / "theirs").write_text("")
    assert [found.name for found in folder.iterdir()] == ["theirs"]
    assert hidden(tmp_path) == []


# What a replaced output leaves to the new one.


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_mode_and_owner_stay(lake, mode):
    rows = lake / "rows.parquet"
    rows.chmod(mode)
    if os.geteuid() == 0:
        os.chown(rows, 12345, 54321)
    genias("inject", "rows.parquet", "rows.parquet", *INJECT, "--overwrite", cwd=lake)
    found = rows.stat()
    assert stat.S_IMODE(found.st_mode) == mode
    if os.geteuid() == 0:
        assert (found.st_uid, found.st_gid) == (12345, 54321)
    folder = lake / "lake" / "metrics"
    (folder / "host=h0").chmod(0o700)
    for path in folder.rglob("*.parquet"):
        path.chmod(mode)
    genias("inject", folder, folder, *INJECT, "--overwrite")
    assert stat.S_IMODE((folder / "host=h0").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.parquet")} == {mode}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_file_of_another_user_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "theirs.parquet"
    path.write_bytes(b"PAR1")
    os.chown(path, 12345, 54321)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="belongs to another user"), replacing(path):
        pass


@pytest.mark.parametrize("length", [100, 221, 222, 255])
def test_names_may_be_as_long_as_the_system_allows(lake, length):
    ending = ".parquet"
    for letter in ("n", "é"):
        name = letter * ((length - len(ending)) // len(letter.encode()))
        out = lake / f"{name}{ending}"
        for _ in range(2):
            genias("inject", "rows.parquet", out.name, *INJECT, "--overwrite", cwd=lake)
        assert pl.read_parquet(out).height == 120
        genias("inject", "rows.parquet", f"{name[: length - 20]}/", *INJECT, cwd=lake)


# Signals.


def until(process, is_so):
    """Waits until something is so, while the process runs."""
    latest = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < latest
        time.sleep(0.005)


def start(*given, **more):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*given), text=True, **pipes, **more)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
    ],
)
@pytest.mark.parametrize("folder", [False, True])
def test_signals_leave_the_old_output_and_nothing_else(lake, number, code, says, folder):
    work = lake / "work"
    work.mkdir()
    out = work / ("models" if folder else "models.parquet")
    given = ["fit", lake / "rows.parquet", f"{out}/" if folder else out]
    genias(*given, *ROLE_ARGUMENTS, *arguments(**FITTED))
    old = contents(work)
    endless = FITTED | {"steps": 1_000_000, "patience": 1_000_000}
    # Whoever runs the tests may have it ignored.
    heard = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    process = start(*given, *ROLE_ARGUMENTS, *arguments(**endless), "--overwrite", **heard)
    try:
        until(process, lambda: hidden(work))
        time.sleep(0.5)  # into the training
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert stdout == ""
    assert stderr.startswith(f"genias fit: {says}")
    assert stderr.count("\n") == 1
    assert contents(work) == old


def test_a_signal_that_is_ignored_stays_so(lake):
    """As by nohup."""
    out = lake / "out.parquet"
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "from polars_genias.cli import main; import polars_genias._replace as r; "
        "put = r._put; r._put = lambda *a: (os.kill(os.getpid(), signal.SIGHUP), put(*a)); "
        "sys.exit(main(sys.argv[1:]))"
    )
    given = ["inject", lake / "rows.parquet", out, *INJECT]
    subprocess.run([sys.executable, "-c", code, *map(str, given)], check=True)
    assert out.exists()


def test_a_query_that_does_not_stop_is_not_waited_for(lake):
    """SIGTERM reaches a process in which nothing looks for interrupts."""
    endless = FITTED | {"steps": 1_000_000, "patience": 1_000_000}
    given = ["fit", lake / "rows.parquet", lake / "new" / "m.parquet", *ROLE_ARGUMENTS]
    blocked = {"preexec_fn": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])}
    process = start(*given, *arguments(**endless), **blocked)
    until(process, lambda: (lake / "new").exists() and hidden(lake / "new"))
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert hidden(lake / "new") == []


def test_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    """In place: what is read is what would be replaced."""
    values = np.random.default_rng(0).normal(size=2_000_000)
    old = pl.DataFrame({"x": values, "y": values[::-1]})
    path = tmp_path / "rows.parquet"
    old.write_parquet(path)
    process = start("inject", path, path, "--count", "1", "--overwrite")
    until(process, lambda: any(new.stat().st_size for new in tmp_path.glob(".genias-*/new")))
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert hidden(tmp_path)
    assert_frame_equal(pl.read_parquet(path), old)
    # What the killed process left is not read with the folder, and the next one removes it.
    assert_frame_equal(_inputs.scan(_inputs.find([str(tmp_path)])).collect(), old)
    recover(path)
    assert hidden(tmp_path) == []


def test_what_a_thread_wrote_late_is_removed(tmp_path):
    """A thread of a query that failed may write a file after its folder was removed."""
    late = []

    def write(folder):
        for number in range(6):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(number)).touch()
            time.sleep(0.02)

    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "out") as beside:
        late.append(threading.Thread(target=write, args=[beside]))
        late[0].start()
        1 / 0  # noqa: B018
    late[0].join()
    write(beside)
    recover(tmp_path / "out")
    assert hidden(tmp_path) != []  # its process may be alive
    os.utime(beside.parent, (0, 0))
    recover(tmp_path / "out")
    assert hidden(tmp_path) == []


def test_what_a_living_process_writes_is_not_removed(tmp_path):
    path = tmp_path / "out"
    with replacing(path) as beside:
        recover(path)
        beside.write_text("new")
    assert path.read_text() == "new"


def test_a_folder_that_cannot_be_moved_in_comes_back(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "folder") as beside:
        beside.mkdir()
        1 / 0  # noqa: B018
    with replacing(tmp_path / "folder") as beside:
        beside.mkdir()
        (beside / "b").write_text("new")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b"]
    # A file never takes the place of a folder.
    with pytest.raises(OSError), replacing(tmp_path / "folder") as beside:
        beside.write_text("file")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "b"]


def test_folders_that_were_made_for_nothing_go(lake):
    out = lake / "a" / "b" / "out.parquet"
    assert "no such column" in genias("inject", lake / "rows.parquet", out, "--by", "x", code=1)
    strict = ["--window", "200", "--steps", "1", "--strict"]
    genias("score", lake / "rows.parquet", out, *ROLE_ARGUMENTS, *strict, code=1)
    assert not (lake / "a").exists()
