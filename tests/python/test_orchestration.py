"""The recipes for schedulers run; those of Airflow, Dagster and dbt where these are installed."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

pytestmark = pytest.mark.once

RECIPES = Path(__file__).parents[2] / "examples" / "orchestration"
QUICK = ["--window", "32"]
START = datetime(2026, 1, 5)


def write_day(folder: Path, day: int, *, odd: bool = False) -> None:
    """Two hosts, every ten minutes; `odd`: one of them has an incident."""
    rng = np.random.default_rng(day)
    t = day * 144 + np.arange(144)
    frames = []
    for host in range(2):
        cpu = np.sin(2 * np.pi * t / 24 + host) + 0.1 * rng.standard_normal(144)
        cpu[60:72] += 5.0 * (odd and host == 0)
        times = [START + timedelta(days=day, minutes=10 * row) for row in range(144)]
        names = {"host": f"web-{host}", "timestamp": times, "cpu": cpu, "incident": False}
        frames.append(pl.DataFrame(names))
    path = folder / "metrics" / f"day={(START + timedelta(days=day)).date()}"
    path.mkdir(parents=True)
    pl.concat(frames).write_parquet(path / "0.parquet")


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Three days of metrics, the last one with an incident; the recipes read them."""
    for day in range(3):
        write_day(tmp_path, day, odd=day == 2)
    monkeypatch.setenv("GENIAS_DATA", str(tmp_path))
    monkeypatch.syspath_prepend(str(RECIPES))
    night = importlib.import_module("night")
    monkeypatch.setattr(night, "OPTIONS", [*night.OPTIONS, *QUICK])
    yield tmp_path
    sys.modules.pop("night", None)


def test_a_night(data):
    night = importlib.import_module("night")
    summary = night.label()
    assert len(summary["partitions"]) == 3
    assert [(series["partition"], series["host"]) for series in night.alarmed(summary)] == [
        ("day=2026-01-07", "web-0")
    ]
    assert night.label()["partitions"] == []
    shutil.rmtree(data / "metrics")
    with pytest.raises(RuntimeError, match=r"genias nightly: no such folder: .*metrics"):
        night.label()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_gate(data, tmp_path):
    """It stops what follows by its exit code."""
    home = tmp_path / "bin"
    home.mkdir()
    program = home / "genias"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m polars_genias "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{home}:{os.environ['PATH']}"}
    folders = [str(data / name) for name in ("metrics", "labelled", "models.parquet")]

    def run():
        command = ["sh", str(RECIPES / "gate.sh"), *folders, *QUICK, "--alarms-per-day", "0.1"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    first, second = run(), run()
    assert first.returncode == 3, first.stderr
    assert "genias nightly: alarms" in first.stdout
    assert second.returncode == 0
    assert second.stdout == ""
    shutil.rmtree(data / "metrics")
    failed = run()
    assert failed.returncode == 1
    assert "genias nightly failed" in failed.stderr


@pytest.mark.usefixtures("data")
def test_airflow():
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed")
    recipe = importlib.import_module("airflow_label")
    dag = recipe.genias_nightly()
    assert set(dag.task_ids) == {"label", "gate", "coverage"}
    assert dag.get_task("label").downstream_task_ids == {"gate", "coverage"}
    assert dag.max_active_runs == 1
    summary = recipe.label.function()
    assert len(summary["partitions"]) == 3
    assert recipe.coverage.function(summary) == []
    with pytest.raises(recipe.AirflowFailException, match=r"1 alarms, in \['web-0'\]"):
        recipe.gate.function(summary)
    assert recipe.gate.function(recipe.label.function()) == 0


@pytest.mark.usefixtures("data")
def test_dagster():
    dg = pytest.importorskip("dagster", reason="Dagster is not installed")
    recipe = importlib.import_module("dagster_label")
    dg.Definitions.validate_loadable(recipe.defs)
    done = dg.materialize([recipe.labels, recipe.few_alarms, recipe.most_rows_are_labelled])
    assert done.success
    passed = {check.check_name: check.passed for check in done.get_asset_check_evaluations()}
    assert passed == {"few_alarms": False, "most_rows_are_labelled": True}
    (made,) = done.asset_materializations_for_node("labels")
    assert made.metadata["alarms"].value == 1


def test_dbt(data, tmp_path, monkeypatch):
    cli = pytest.importorskip("dbt.cli.main", reason="dbt is not installed")
    pytest.importorskip("dbt.adapters.duckdb", reason="dbt-duckdb is not installed")
    duckdb = pytest.importorskip("duckdb")
    project = tmp_path / "project"
    shutil.copytree(RECIPES / "dbt", project)
    fit = project / "models" / "models.py"
    quick = fit.read_text().replace('label="incident")', 'label="incident", window=32, steps=2)')
    fit.write_text(quick)
    monkeypatch.chdir(project)
    done = cli.dbtRunner().invoke(["build", "--project-dir", ".", "--profiles-dir", "."])
    assert done.success, done.exception
    with duckdb.connect(str(data / "metrics.duckdb")) as connection:
        labelled = connection.table("labelled").pl()
    assert labelled.height == 3 * 2 * 144
    assert labelled.filter("anomaly_label")["host"].unique().to_list() == ["web-0"]


def test_recipes_compile():
    """Also where their schedulers are absent."""
    for path in RECIPES.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    assert {path.name for path in RECIPES.iterdir() if path.name[0] not in "._"} == {
        *("airflow_label.py", "dagster_label.py", "dbt", "gate.sh", "night.py")
    }
