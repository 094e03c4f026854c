"""The examples of the docstrings and of the README run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import polars as pl
import pytest

import polars_genias as pg
from conftest import make_hosts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name",
    [
        "polars_genias",
        "polars_genias.verbs",
        "polars_genias.metrics",
        "polars_genias._files",
        "polars_genias._progress",
        "polars_genias.datasets",
        "polars_genias.datasets._layout",
    ],
)
def test_docstrings(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_readme(tmp_path, monkeypatch):
    """Runs the Python blocks in order, over a small dataset of the README's layout."""
    metrics = make_hosts(hosts=2, rows=450).rename(
        {"t": "timestamp", "mem": "memory", "known": "incident"}
    )
    for (host,), frame in metrics.group_by("host"):
        folder = tmp_path / "metrics" / f"host={host}"
        folder.mkdir(parents=True)
        frame.drop("host").write_parquet(folder / "0.parquet")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    scope: dict[str, object] = {}
    for block in blocks:
        exec(block, scope)
    assert pl.read_parquet("augmented.parquet")["is_anomaly"].any()
    assert scope["health"].columns == ["host", "psi", "r2", "health"]
    assert scope["labelled"].collect()["anomaly_label"].dtype == pl.Boolean
    assert scope["evaluation"].collect_schema().names()[:3] == ["host", "vus_pr", "auc_pr"]


def test_every_option_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("## Parameters") : readme.index("## What the paper claims")]
    verbs = (pg.LabelOptions, pg.ScoreOptions, pg.GenerateOptions)
    for name in {name for options in verbs for name in options.__annotations__}:
        assert f"`{name}`" in table or name == "preset", name


def test_every_warning_is_explained():
    text = (ROOT / "docs" / "diagnostics.md").read_text()
    names = re.findall(r'Self::\w+ => "(\w+)"', (ROOT / "src" / "model.rs").read_text())
    assert len(names) == 6
    for name in names:
        assert f"### `{name}`" in text
