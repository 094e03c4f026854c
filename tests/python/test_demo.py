"""The demo as a process, on less data."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

pytestmark = pytest.mark.once

pytest.importorskip("altair")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo")
    small = ["--hosts", "4", "--rows", "3000", "--steps", "60"]
    command = [sys.executable, "-m", "polars_genias", "demo", str(path), *small]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path / "stdout").write_text(done.stdout)
    return path


def test_dataset_is_hive_partitioned_and_as_described(folder):
    metrics = pl.read_parquet(folder / "metrics", hive_partitioning=True)
    assert metrics["host"].unique().sort().to_list() == [f"web-{i:02}" for i in range(4)]
    assert metrics.group_by("host").len()["len"].to_list() == [3000] * 4
    assert metrics.filter("incident")["host"].unique().to_list() == ["web-03"]
    assert metrics["memory"].null_count() > 0
    assert (metrics["errors"] == 0).mean() > 0.5
    correlation = metrics.filter(~pl.col("incident")).select(pl.corr("cpu", "requests")).item()
    assert correlation > 0.8


def test_outputs(folder):
    models = pl.read_parquet(folder / "models.parquet")
    assert models.schema == {"host": pl.String, "model": pl.Binary}
    scored = pl.read_parquet(folder / "scored.parquet")
    assert scored.height == 12_000
    assert not scored.filter("incident")["is_anomaly"].any()
    rate = scored["is_anomaly"].mean()
    assert 0.02 < rate < 0.1
    assert (folder / "demo.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_generated_is_impossible(folder):
    """No load below zero, no half an error, nothing far outside of what training took."""
    rows = pl.read_parquet(folder / "scored.parquet")
    hit = rows.filter("is_anomaly")
    errors = hit.filter("errors_mask")["errors_synthetic"]
    assert len(errors) > 20
    assert (errors % 1 == 0).all()
    for name in ("cpu", "memory", "requests", "latency", "errors"):
        changed = hit.filter(f"{name}_mask").select("host", made=f"{name}_synthetic")
        assert (changed["made"] >= 0).all(), name
        # Strengths of 1 to 3 are asked for: four times that is more than 10 deviations.
        normal = (
            rows.filter(~pl.col("incident"))
            .group_by("host")
            .agg(low=pl.col(name).min(), high=pl.col(name).max(), std=pl.col(name).std(ddof=0))
        )
        reach = pl.max_horizontal(pl.col("high") - pl.col("low"), 12.0 * pl.col("std"))
        beyond = changed.join(normal, on="host").filter(pl.col("made") > pl.col("high") + reach)
        assert beyond.is_empty(), name
    assert hit.select(pl.max("cpu_synthetic", "memory_synthetic")).max_horizontal().item() <= 100


def test_summary_is_printed(folder):
    printed = (folder / "stdout").read_text()
    for word in ("psi", "patch_rate", "anomalies", "auc_pr", "web-03", "demo.png"):
        assert word in printed


def test_every_step_is_said_with_its_time(folder):
    lines = (folder / "demo.log").read_text().splitlines()
    assert len(lines) == 7
    assert "make 4 hosts of 3,000 rows" in lines[0]
    assert "some " in lines[1]
    assert lines[-1].endswith("done")
    times = [float(line.split(" s ")[0]) for line in lines]
    assert times == sorted(times)
