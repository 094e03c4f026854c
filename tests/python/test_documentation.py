"""The examples of the docstrings, of the README and of the docs run; links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import pkgutil
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

import polars_genias as pg
from conftest import make_hosts
from links import PAGES, ROOT, broken
from polars_genias import _frames, _genias, cli, stubs
from polars_genias.verbs import _call

DOCS = ROOT / "docs"
LEFT_OUT = {"_genias", "_namespaces", "__main__", "spark"}
"""Compiled; the docstrings of the verbs again; a command; examples that need a Spark session."""


def modules():
    """All of the package, but those that need an extra that is not installed."""
    found = [pg]
    for module in pkgutil.walk_packages(pg.__path__, "polars_genias."):
        if module.name.rpartition(".")[2] in LEFT_OUT:
            continue
        try:
            found.append(importlib.import_module(module.name))
        except ModuleNotFoundError as missing:
            assert not missing.name.startswith("polars_genias")
    return found


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_docstrings(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("home", [pg, pg.datasets, stubs], ids=lambda home: home.__name__)
def test_every_public_function_has_an_example(home):
    functions = [f for name in home.__all__ if inspect.isfunction(f := getattr(home, name))]
    assert functions
    assert [f.__name__ for f in functions if ">>> " not in f.__doc__] == []


def blocks(page):
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    """A small dataset of the layout that the README and the docs read."""
    frame = make_hosts(hosts=2, rows=450).rename(
        {"t": "timestamp", "mem": "memory", "known": "incident"}
    )
    for (host,), rows in frame.group_by("host"):
        folder = tmp_path / "metrics" / f"host={host}"
        folder.mkdir(parents=True)
        rows.drop("host").write_parquet(folder / "0.parquet")
    monkeypatch.chdir(tmp_path)
    for module in (_call, _frames):
        monkeypatch.setattr(module, "checked", briefly(module.checked))
    return pl.scan_parquet("metrics/", hive_partitioning=True)


def briefly(checked):
    """Options that train for a moment, where a page leaves them to their defaults."""
    moment = {"steps": 10, "channels": 4}

    def options(given, ordered_by=0, verb=""):
        fits_nothing = verb.startswith(("inject", "compare"))
        return checked(given if fits_nothing else moment | given, ordered_by, verb)

    return options


def run(page):
    scope: dict[str, object] = {}
    for block in blocks(page):
        exec(block, scope)
    return scope


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "index.md"], ids=lambda p: p.name)
@pytest.mark.usefixtures("metrics")
def test_first_example(page):
    pytest.importorskip("altair")
    run(page)
    assert pl.read_parquet("augmented.parquet")["is_anomaly"].any()


@pytest.mark.usefixtures("metrics")
def test_quick_start():
    scope = run(DOCS / "quickstart.md")
    assert pl.read_parquet("augmented.parquet")["is_anomaly"].any()
    assert scope["health"].columns == ["host", "psi", "r2", "r2_pca", "health"]
    assert scope["labelled"].collect()["anomaly_label"].dtype == pl.Boolean
    assert scope["expression"].collect_schema()["anomaly_score"] == pl.Float32
    assert scope["evaluation"].collect_schema().names()[:3] == ["host", "vus_pr", "auc_pr"]


@pytest.mark.slow
def test_page_on_pictures(tmp_path, monkeypatch):
    """Runs its Python blocks in order; the pictures that it shows are there."""
    pytest.importorskip("altair")
    monkeypatch.chdir(tmp_path)
    run(DOCS / "plots.md")
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg", ".html"}
    pictures = re.findall(r"\]\((img/[^\s)#]+)", (DOCS / "plots.md").read_text())
    assert len(pictures) == 2 * 5
    assert all((DOCS / picture).is_file() for picture in pictures)


@pytest.mark.usefixtures("metrics")
def test_page_on_fleets():
    scope = run(DOCS / "fleets.md")
    assert scope["models"].columns == ["host", "model", "model_backbone"]
    assert scope["scores"]["anomaly_score"].null_count() < scope["scores"].height
    assert scope["about"].columns == ["host", "origin", "backbone", "r2", "r2_pca"]
    assert len(scope["one"]) > len(scope["models"]["model"][0])
    assert scope["later"]["model"].null_count() == 0


@pytest.mark.slow
def test_page_on_sensitivity():
    scope = run(DOCS / "sensitivity.md")
    assert scope["table"].height == 3 * 3 * 2 * 2  # hosts, features and all, kinds, strengths
    assert scope["found"]["detector"].to_list() == ["jump", "evidence"]
    assert scope["found"]["events"].to_list() == [24, 24]


@pytest.mark.slow
@pytest.mark.usefixtures("metrics")
def test_page_of_questions():
    pytest.importorskip("altair")
    scope = run(DOCS / "questions.md")
    assert scope["worst"] == "web-03"
    assert scope["events"].height == 30
    assert scope["events"]["timestamp_start"].dt.hour().is_between(7, 10).all()
    assert scope["found"]["detector"].to_list() == ["median", "evidence"]
    assert scope["reasons"].filter(host="web-03")["share"].sum() == pytest.approx(
        scope["alarms"].filter(host="web-03").height
    )


@pytest.mark.slow
@pytest.mark.usefixtures("metrics")
def test_page_on_the_command_line(capsys):
    """Its commands, one after another; but for the demo, which has tests of its own."""
    pytest.importorskip("altair")
    text = "".join(re.findall(r"^```sh\n(.*?)^```", (DOCS / "cli.md").read_text(), re.M | re.S))
    commands = [shlex.split(line, comments=True) for line in text.splitlines()]
    ran = []
    for program, *given in commands:
        assert program == "genias"
        if given[0] != "demo":
            ran.append(given[0])
            again = ["--overwrite"] if given[-1] == "--json" else []
            found = [argument.replace("web-0", "h") for argument in given]
            assert cli.main([*found, *again]) == 0, capsys.readouterr().err
    assert set(ran) == {"fit", "generate", "label", "evaluate", "score", "plot"}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["anomalous_rows"] >= 0


@pytest.mark.slow
@pytest.mark.usefixtures("metrics")
def test_page_on_tasks():
    pytest.importorskip("altair")
    scope: dict[str, object] = {}
    for block in blocks(DOCS / "tasks.md"):
        exec(block.replace('== "web-03"', '== "h1"'), scope)
    assert scope["augmented"]["is_anomaly"].any()
    assert set(scope["alarms"]["host"]) >= {"web-03"}
    assert scope["reasons"].filter(host="web-03", id=1)["feature"][0] == "latency"
    assert Path("alarms.svg").exists()
    assert set(scope["caught"]["kind"]) == {"level-shift", "ramp"}
    assert scope["found"]["detector"].to_list() == ["evidence", "amplitude", "reconstruction"]
    assert scope["found"]["events"].to_list() == [16, 16, 16]


@pytest.mark.usefixtures("metrics")
def test_recipes():
    scope = run(DOCS / "recipes.md")
    assert scope["quality"].columns == ["host", "auc_pr", "vus_pr"]
    assert scope["quality"].height == 2
    assert scope["training"].collect()["normal"].to_numpy().shape[1:] == (64, 2)
    assert scope["reasons"].collect().columns[:3] == ["host", "id", "start"]
    assert scope["kinds"].collect()["anomaly_kind"].n_unique() > 2
    assert scope["visible"].collect()["is_anomaly"].any()
    shifted = scope["shifted"].collect()
    kinds = set(shifted.filter("is_anomaly")["anomaly_kind"])
    assert kinds
    assert kinds <= {"tempo", "phase", "level-shift"}
    changed = shifted.filter(pl.col("cpu_synthetic").ne_missing(pl.col("cpu")))
    assert changed["is_anomaly"].all()
    assert set(scope["unwell"].columns) == {"host", "health", "r2", "r2_pca"}
    assert pl.read_parquet("labelled.parquet")["anomaly_label"].dtype == pl.Boolean


def test_page_on_scikit_learn():
    pytest.importorskip("sklearn", minversion="1.6")
    scope = run(DOCS / "sklearn.md")
    assert (scope["flags"][300:305] == -1).all()


def test_types(metrics):
    """The examples of the page about types, but for those that are errors on purpose."""
    pytest.importorskip("typing_extensions")
    scope = {"metrics": metrics, "pl": pl, "pg": pg}
    for block in blocks(DOCS / "typing.md"):
        lines = [line for line in block.splitlines() if "# error" not in line]
        exec("\n".join(lines), scope)


def test_every_warning_is_explained():
    text = (DOCS / "diagnostics.md").read_text()
    names = [warning["name"] for warning in json.loads(_genias.health_warnings())]
    assert "posterior_collapse" in names
    assert sorted(re.findall(r"^### `(\w+)`", text, re.MULTILINE)) == sorted(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links(page):
    assert broken(page) == []
    assert re.search(r"^# ", page.read_text(), re.MULTILINE)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_a_broken_link_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("links.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A `heading`, here\n[a](page.md#a-heading-here) [b](#no) [c](gone.md) [d](http:/x)\n"
        "[e](https://example.org/x) `[f](none)`\n```\n[g](none)\n```\n"
    )
    assert broken(page) == ["#no", "gone.md", "http:/x"]
