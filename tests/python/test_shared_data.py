"""Real benchmark series, where they are at hand: ``GENIAS_DATA`` or ``../shared/data``."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("GENIAS_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "msl.parquet").exists(), reason="no benchmark series here"),
]


@pytest.fixture(scope="module")
def quality():
    path = ROOT / "examples" / "benchmark" / "quality.py"
    spec = importlib.util.spec_from_file_location("quality", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = {
    "msl": ["C-1", "T-9"],  # T-9 has 439 train rows
    "nab": ["realKnownCause/machine_temperature_system_failure"],  # labels in its train part
    "ucr": 1,
    "smap": ["D-12"],  # no feature moves in training
}


@pytest.mark.parametrize("name", CASES)
def test_fit_generate_and_score_in_one_query(quality, name):
    table = quality.measure(DATA / f"{name}.parquet", CASES[name])
    for row in table.iter_rows(named=True):
        if row["live"] == 0:
            assert row["psi"] is None
            continue
        assert row["r2"] >= row["r2_pca"] - 0.02
        assert "posterior_collapse" not in row["health"]
        assert 0 < row["patch_rate"] < 1


def test_the_papers_settings_show_in_health(quality):
    table = quality.measure(DATA / "msl.parquet", ["C-1"], preset="paper", steps=60, stride=10)
    health = table["health"].item()
    assert "psi_at_one" in health
    assert "underfit" in health
    assert table["psi"].item() == pytest.approx(1.0, abs=0.02)


def test_a_known_anomaly_stands_out(quality):
    frame = quality.chosen(DATA / "ucr.parquet", 1)
    result, _ = quality.query(frame)
    scored = result.filter(pl.col("split") == "test").collect()
    top = scored.sort("anomaly_score", descending=True).head(scored.height // 10)
    assert top["label"].any()
