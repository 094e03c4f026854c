"""The examples of jobs: the nightly one, and DuckDB."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import polars as pl
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file that a job wrote."""
    files = [path for path in folder.rglob("*") if path.is_file() and "metrics" not in path.parts]
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


def nightly(folder: Path):
    module = example("nightly")
    small = {"window": 16, "steps": 20, "channels": 4}
    at = (folder / "metrics", folder / "labelled", folder / "models.parquet")
    return module, module.Job(*at, "host", "timestamp", train_days=2, options=small)


def reasons(nights: list[pl.DataFrame]) -> list[list[str | None]]:
    return [night["reason"].to_list() for night in nights]


@pytest.mark.slow
def test_nights(tmp_path):
    module, job = nightly(tmp_path)
    for number in range(2):
        module.make_day(job.metrics, number)
    assert reasons(job.night()) == [["new", "new"], [None, None]]
    first = contents(tmp_path)
    assert sorted(first) == [
        "labelled/day=2026-01-01/labels.parquet",
        "labelled/day=2026-01-02/labels.parquet",
        "models.parquet",
    ]

    # Nothing new: nothing is written.
    assert job.night() == []
    assert contents(tmp_path) == first

    # A new day that is as before touches its own partition only, and no model.
    module.make_day(job.metrics, 2)
    assert reasons(job.night()) == [[None, None]]
    second = contents(tmp_path)
    assert {name: second[name] for name in first} == first
    assert second.keys() - first.keys() == {"labelled/day=2026-01-03/labels.parquet"}

    # One host drifts: its model alone is fitted anew, up to that day.
    module.make_day(job.metrics, 3, drifted=True)
    assert reasons(job.night()) == [[None, "drift"]]
    before = pl.read_parquet(first["models.parquet"][0]).rows_by_key("host", named=True)
    after = pl.read_parquet(job.models).rows_by_key("host", named=True)
    assert after["web-0"] == before["web-0"]
    assert [after[host][0]["fitted"] for host in after] == ["day=2026-01-01", "day=2026-01-04"]
    third = contents(tmp_path)
    assert third.keys() - second.keys() == {"labelled/day=2026-01-04/labels.parquet"}

    # Cut off between models and labels: the next run writes the bytes that were missing.
    name = "labelled/day=2026-01-04/labels.parquet"
    (tmp_path / name).unlink()
    job.night()
    assert contents(tmp_path)[name][0] == third[name][0]
    assert contents(tmp_path)["models.parquet"][0] == third["models.parquet"][0]

    labels = pl.read_parquet(tmp_path / name)
    source = pl.read_parquet(job.metrics / "day=2026-01-04" / "0.parquet")
    assert labels.drop("anomaly_score", "anomaly_label").equals(source)
    assert labels["anomaly_label"].null_count() == 0
    assert labels["anomaly_label"].mean() < 0.5


@pytest.mark.slow
def test_ill_models_are_fitted_again(tmp_path):
    """With the paper's settings twenty steps teach nothing, and `describe` says so."""
    module, job = nightly(tmp_path)
    job.options["preset"] = "paper"
    for number in range(2):
        module.make_day(job.metrics, number)
    assert reasons(job.night()) == [["new", "new"], ["health", "health"]]
    assert pl.read_parquet(job.models)["fitted"].unique().to_list() == ["day=2026-01-02"]


@pytest.mark.slow
def test_nightly_as_a_command(tmp_path, monkeypatch, capsys):
    module, job = nightly(tmp_path)
    module.make_day(job.metrics, 0)
    paths = [str(path) for path in (job.metrics, job.labelled, job.models)]
    monkeypatch.setattr(sys, "argv", ["nightly.py", *paths, "--window", "16", "--steps", "4"])
    module.main()
    module.main()
    printed = capsys.readouterr().out
    assert printed.count("new ") == 2
    assert "nothing new" in printed


def test_duckdb(tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb", reason="needs the extra [etl]")
    pytest.importorskip("pyarrow", reason="needs the extra [etl]")
    module = example("duckdb_arrow")
    monkeypatch.setattr(sys, "argv", ["duckdb_arrow.py"])
    found = module.main()
    numbers = {"minute": "shared", "cpu": "shared", "memory": "shared", "restart": "shared"}
    assert found["DuckDB to Polars"] == {"host": "copied", **numbers}
    for step in ("through the verb", "Polars to pyarrow"):
        assert set(found[step].values()) == {"shared"}

    # A database of the user's.
    path = tmp_path / "my.duckdb"
    with duckdb.connect(path) as connection:
        connection.sql(module.MAKE)
    wave = {"window": 16, "steps": 2, "detector": "amplitude"}
    with duckdb.connect(path) as connection:
        module.score(connection, "metrics", "host", "minute", **wave)
        assert connection.table("metrics_scored").count("anomaly_score").fetchall() == [(2000,)]


def test_a_copy_is_noticed():
    pa = pytest.importorskip("pyarrow", reason="needs the extra [etl]")
    pytest.importorskip("duckdb", reason="needs the extra [etl]")
    left = pa.table({"x": [1.0, 2.0]})
    right = pa.table({"x": [1.0, 2.0]})
    assert example("duckdb_arrow").crossing(left, left) == {"x": "shared"}
    assert example("duckdb_arrow").crossing(left, right) == {"x": "copied"}
