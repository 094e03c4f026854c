"""The examples of jobs: the nightly one, and DuckDB."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_nights(tmp_path, capsys):
    """Labels of all days, nothing new, an incident, and a load that stays."""
    assert example("nightly").main(tmp_path) == [0, 0, 3, 0]
    printed = capsys.readouterr().out
    assert "nothing new" in printed
    assert "drift" in printed
    assert len(list((tmp_path / "labelled").rglob("labels.parquet"))) == 9


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
