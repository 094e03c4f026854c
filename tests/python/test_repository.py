"""Files that other tools read: workflows, the citation, the data that ships with the package."""

from __future__ import annotations

import importlib.util
import re

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from links import ROOT

pytestmark = pytest.mark.once

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path):
    yaml = pytest.importorskip("yaml")
    # YAML 1.1 reads the key `on` as true.
    return {
        "on" if key is True else key: of for key, of in yaml.safe_load(path.read_text()).items()
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_whole(path):
    flow = read(path)
    assert set(flow) <= {"name", "on", "permissions", "concurrency", "jobs"}
    assert flow["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert set(job) <= {"name", "runs-on", "timeout-minutes", "strategy", "steps"}
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|stable)", step.get("uses", "a/b@v1"))
            used = re.findall(r"matrix\.(\w+)", str(job))
            rows = job.get("strategy", {"matrix": {"include": [{}]}})["matrix"]["include"]
            assert all(set(used) <= set(row) for row in rows)


def test_ci_runs_what_a_developer_runs():
    (job,) = read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"].values()
    check, pages = (step["run"] for step in job["steps"] if "run" in step)
    assert check == ".ci/run"
    assert pages.startswith("make site-check ")


def test_wheels_of_every_platform():
    jobs = read(ROOT / ".github" / "workflows" / "wheels.yml")["jobs"]
    rows = jobs["wheel"]["strategy"]["matrix"]["include"]
    assert len(rows) == 7
    found = {(row["target"].split("-", 1)[0], row["target"].rsplit("-", 1)[1]) for row in rows}
    for processor in ("x86_64", "aarch64"):
        assert {(processor, system) for system in ("gnu", "musl", "darwin")} <= found
    assert ("x86_64", "msvc") in found
    for row in rows:
        expected = {"gnu": "2_28", "musl": "musllinux_1_2"}.get(row["target"].rsplit("-", 1)[1])
        assert row["manylinux"] == (expected or "off")


def test_the_citation_names_this_version():
    about = read(ROOT / "CITATION.cff")
    assert about["version"] == pg.__version__
    assert about["references"][0]["identifiers"][0]["value"] == "arXiv:2502.08262"


def test_issue_forms():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("[bf]*.yml"):
        form = read(path)
        assert {"name", "description", "body"} == set(form)
        assert all(part["type"] == "textarea" and part["id"] for part in form["body"])


def test_the_demo_data_is_what_its_script_makes():
    pytest.importorskip("numpy")
    spec = importlib.util.spec_from_file_location("demo_data", ROOT / "tools" / "demo_data.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert_frame_equal(pg.datasets.demo(), script.rows())
    assert script.FILE.stat().st_size < 100_000


def test_the_demo_data_is_as_described():
    rows = pg.datasets.demo()
    assert rows["host"].unique().sort().to_list() == ["web-01", "web-02", "web-03"]
    assert rows.filter("incident")["host"].unique().to_list() == ["web-03"]
    assert 0 < rows["memory"].null_count() < 60
    assert rows.select(pl.struct("host", "timestamp").is_duplicated().any()).item() is False
