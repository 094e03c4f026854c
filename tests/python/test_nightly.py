"""The nightly job: what it labels, writes and says, and that it can be killed at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polars_genias.cli import main

START = datetime(2026, 1, 1)
OPTIONS = ["--by", "host", "--order-by", "time", "--window", "32"]


def make_day(folder: Path, day: int, *, hosts: int = 2, rows: int = 96, odd: str = "") -> None:
    """A day of hosts; `odd`: what happens to the first of them."""
    rng = np.random.default_rng(day)
    t = day * rows + np.arange(rows)
    times = [START + timedelta(days=day, minutes=1440 // rows * i) for i in range(rows)]
    frames = []
    for host in range(hosts):
        cpu = np.sin(2 * np.pi * t / 24 + host) + 0.1 * rng.standard_normal(rows)
        if host == 0 and odd:
            change = {"incident": 4.0, "drift": 3.0, "infinite": np.inf}[odd]
            cpu[slice(40, 50) if odd != "drift" else slice(0, rows)] += change
        frames.append(pl.DataFrame({"host": f"web-{host}", "time": times, "cpu": cpu}))
    path = folder / "metrics" / f"day={START.date() + timedelta(days=day)}"
    path.mkdir(parents=True)
    pl.concat(frames).write_parquet(path / "0.parquet")


def arguments(folder: Path, *more: str) -> list[str]:
    paths = [str(folder / name) for name in ("metrics", "labelled", "models.parquet")]
    return ["nightly", *paths, *OPTIONS, *more]


def night(folder: Path, capsys, *more: str, code: int = 0) -> pl.DataFrame:
    """Run the job; the table of status of every series."""
    assert main(arguments(folder, *more, "--json", "--quiet")) == code
    said = json.loads(capsys.readouterr().out)
    return pl.DataFrame(said["series"], infer_schema_length=None)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "metrics" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def labels(folder: Path, day: int) -> pl.DataFrame:
    name = f"day={START.date() + timedelta(days=day)}"
    return pl.read_parquet(folder / "labelled" / name / "labels.parquet")


def test_nights(tmp_path, capsys):
    for day in range(4):
        make_day(tmp_path, day)
    first = night(tmp_path, capsys)
    assert first["status"].to_list()[:2] == ["refitted", "refitted"]
    assert first["reason"].to_list()[:2] == ["new", "new"]
    assert set(first["status"][4:]) <= {"ok", "refitted"}
    written = contents(tmp_path)
    assert len(written) == 5

    # Nothing new: nothing is written.
    assert night(tmp_path, capsys).is_empty()
    assert contents(tmp_path) == written

    # An incident is an alarm, and the exit code says so where that is asked for.
    make_day(tmp_path, 4, odd="incident")
    found = night(tmp_path, capsys, "--fail-if-alarms", "1", code=3)
    assert found.row(0, named=True)["alarms"] >= 1
    flagged = labels(tmp_path, 4).filter("anomaly_label")
    assert flagged["host"].unique().to_list() == ["web-0"]
    source = pl.read_parquet(tmp_path / "metrics" / "day=2026-01-05" / "0.parquet")
    assert labels(tmp_path, 4).drop("anomaly_score", "anomaly_label").equals(source)
    assert {name: contents(tmp_path)[name] for name in written if "label" in name} == {
        name: text for name, text in written.items() if "label" in name
    }

    # A change that is there two nights in a row is drift: that series alone is fitted anew.
    before = pl.read_parquet(tmp_path / "models.parquet").select("host", "fitted")
    for day in (5, 6, 7):
        make_day(tmp_path, day, odd="drift" if day > 5 else "")
    drifted = night(tmp_path, capsys)[2:]
    assert drifted["reason"].to_list() == [None, None, "drift", None]
    assert drifted["high"][0] > max(0.5, drifted["high"][1])
    after = pl.read_parquet(tmp_path / "models.parquet")
    assert after["fitted"].to_list() == ["day=2026-01-08", before["fitted"][1]]
    assert after["seen"].unique().to_list() == ["day=2026-01-08"]


def test_hourly_data_is_labelled_from_the_first_day_with_a_history(tmp_path, capsys):
    for day in range(4):
        make_day(tmp_path, day, rows=24)
    status = night(tmp_path, capsys)
    assert status["status"].to_list()[:4] == ["short", "short", "refitted", "refitted"]
    assert labels(tmp_path, 0)["anomaly_label"].null_count() == 48
    for day in range(1, 4):
        assert labels(tmp_path, day)["anomaly_label"].null_count() == 0


def test_no_label_at_all_is_an_error(tmp_path, capsys):
    make_day(tmp_path, 0, rows=24)
    assert main(arguments(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "no series has a label" in said
    assert "WARNING day=2026-01-01: host = web-0: short" in said


def test_an_infinite_host_among_many(tmp_path, capsys):
    make_day(tmp_path, 0, hosts=40)
    make_day(tmp_path, 1, hosts=40, odd="infinite")
    assert main(arguments(tmp_path)) == 1
    assert "web-0" in capsys.readouterr().err
    status = night(tmp_path, capsys, "--on-error", "skip").filter(partition="day=2026-01-02")
    by_host = dict(status.select("host", "status").iter_rows())
    assert by_host.pop("web-0") == "infinite"
    assert set(by_host.values()) <= {"ok", "refitted"}
    found = labels(tmp_path, 1)
    nulls = found.filter(pl.col("anomaly_label").is_null())["host"].unique().to_list()
    assert nulls == ["web-0"]
    # The night after, what was infinite is only missing.
    make_day(tmp_path, 2, hosts=40)
    assert set(night(tmp_path, capsys)["status"]) <= {"ok", "refitted"}


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path):
    """Twenty kills; what is there in the end is what one night that nobody killed writes."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        for day in range(4):
            make_day(folder, day)
    command = [sys.executable, "-m", "polars_genias"]
    started = time.monotonic()
    subprocess.run([*command, *arguments(whole, "--quiet")], check=True, capture_output=True)
    seconds = time.monotonic() - started
    rng = np.random.default_rng(0)
    for _ in range(20):
        job = subprocess.Popen(
            [*command, *arguments(killed, "--quiet")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds * rng.uniform(0.2, 0.9))
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    subprocess.run([*command, *arguments(killed, "--quiet")], check=True, capture_output=True)
    found = {k: v for k, v in contents(killed).items() if "/.genias-" not in f"/{k}"}
    assert found == contents(whole)


def test_killed_between_models_and_the_name_of_the_labels(tmp_path, capsys):
    for day in range(2):
        make_day(tmp_path, day)
    night(tmp_path, capsys)
    expected = contents(tmp_path)
    last = tmp_path / "labelled" / "day=2026-01-02"
    (last / "labels.parquet").rename(last / ".labels.parquet")
    assert night(tmp_path, capsys).is_empty()
    assert contents(tmp_path) == expected


def test_day_by_day_is_as_all_at_once(tmp_path, capsys):
    """Rows that are context are not followed again."""
    daily, at_once = tmp_path / "daily", tmp_path / "at-once"
    for day in range(6):
        make_day(daily, day, odd="incident" if day == 4 else "")
        night(daily, capsys)
    for day in range(6):
        make_day(at_once, day, odd="incident" if day == 4 else "")
    night(at_once, capsys)
    assert contents(daily) == contents(at_once)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--alarms-per-day", "-1"], "--alarms-per-day"),
        (["--alarms-per-day", "1", "--false-alarm-rate", "0.1"], "false_alarm_rate"),
        (["--fail-if-alarms", "0"], "must be >= 1"),
        (["--features", "a=b"], "without `=`"),
    ],
)
def test_options_are_checked_before_any_work(tmp_path, capsys, given, said):
    make_day(tmp_path, 0)
    assert main(arguments(tmp_path, *given)) == 2
    assert said in capsys.readouterr().err
    assert contents(tmp_path) == {}
