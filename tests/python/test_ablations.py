"""The ablation examples as processes, on little data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from conftest import make_hosts

pytest.importorskip("altair")

FOLDER = Path(__file__).parents[2] / "examples" / "ablations"
ROWS = {
    "prior": ["0.1", "0.2", "0.3", "0.5", "0.7", "1.0"],
    "patching": ["none"] * 2 + ["length"] * 2 + ["deviation"] * 2 + ["deviation, printed"] * 2,
    "deltas": ["0.05"] * 4 + ["0.1"] * 3 + ["0.2"] * 2 + ["0.4"],
    "perturbation": ["variance", "mean"],
}
TINY = ["--steps", "20", "--window", "32", "--seeds", "1"]


def run(name, out, *given, steps=TINY):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *given, *steps, "--out", str(out)]
    env = os.environ | {"POLARS_MAX_THREADS": "2"}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def table(path):
    """Header and rows of the Markdown table, and the line above it."""
    about, _, *lines = path.read_text().splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return about, header, rows


def check(name, out):
    about, header, rows = table(out / f"{name}.md")
    assert [row[0] for row in rows] == ROWS[name]
    for row in rows:
        figures = dict(zip(header, row, strict=True))
        shares = {"residual", "decoded", "auc_roc", "auc_pr", "vus_pr", "values_hit"} & {*header}
        assert shares
        for share in shares:
            assert 0 <= float(figures[share].split(" ± ")[0]) <= 1
    assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    return about


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_on_made_up_data(name, tmp_path):
    done = run(name, tmp_path)
    assert done.returncode == 0, done.stderr
    about = check(name, tmp_path)
    assert about == "made-up host; window 32, steps 20; seed 0"
    assert str(tmp_path / name) in done.stdout


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two series of one feature in the benchmark layout."""
    rows = make_hosts(hosts=2, rows=600).select(
        series="host",
        split=pl.when(pl.col("t") < 300).then(pl.lit("train")).otherwise(pl.lit("test")),
        t="t",
        value=pl.col("cpu").cast(pl.Float32) + pl.col("t").is_between(500, 520) * 3,
        label=pl.col("t").is_between(500, 520),
    )
    path = tmp_path_factory.mktemp("data") / "waves.parquet"
    rows.write_parquet(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["patching", "perturbation"])
def test_on_a_file(name, file, tmp_path):
    done = run(name, tmp_path, str(file), "h1")
    assert done.returncode == 0, done.stderr
    assert check(name, tmp_path).startswith("waves h1; window 32")


def test_unknown_series(file, tmp_path):
    done = run("patching", tmp_path, str(file), "nowhere")
    assert done.returncode != 0
    assert "no series 'nowhere'" in done.stderr
    assert "Traceback" not in done.stderr
