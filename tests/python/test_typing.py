"""Type checkers see ``.genias`` on Polars' classes, with the signatures of the verbs."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import polars_genias as pg
from polars_genias import stubs, verbs

pytestmark = pytest.mark.once

USER = Path(__file__).parents[1] / "typing" / "user.py"


def run(folder, *command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    """A user's project: one file."""
    shutil.copy(USER, tmp_path / "user.py")
    return tmp_path


@pytest.mark.slow
def test_mypy_with_the_plugin(project):
    pytest.importorskip("mypy")
    settings = '[tool.mypy]\nstrict = true\nplugins = ["polars_genias.mypy"]\n'
    (project / "pyproject.toml").write_text(settings)
    code, said = run(project, "mypy", "user.py")
    assert code == 0, said


@pytest.mark.slow
def test_pyright_with_the_stubs(project):
    pytest.importorskip("pyright")
    settings = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True}
    # What is ignored for mypy is not ignored for pyright.
    settings |= {"enableTypeIgnoreComments": False, "ignore": ["typings"]}
    (project / "pyrightconfig.json").write_text(json.dumps(settings))
    check = ("pyright", "--pythonpath", sys.executable)
    code, said = run(project, *check)
    assert code == 1
    assert 'Cannot access attribute "genias" for class "DataFrame"' in said
    assert run(project, "polars_genias.stubs")[0] == 0
    code, said = run(project, *check)
    assert code == 0, said


def test_stubs_are_the_installed_modules_with_one_attribute_more(tmp_path):
    for path in stubs.write(tmp_path):
        module = ".".join(path.relative_to(tmp_path).with_suffix("").parts)
        (owner,) = (name for home, name in stubs.NAMESPACES if home == module)
        source = inspect.getsource(sys.modules[module])
        stub = path.read_text()
        added = [line for line in stub.splitlines() if "genias" in line]
        assert len(added) == 3
        declared = next(
            node
            for node in ast.parse(stub).body
            if isinstance(node, ast.ClassDef) and node.name == owner
        )
        assert isinstance(declared.body[0], ast.Expr)  # the docstring stays first
        assert [type(node) for node in declared.body[1:3]] == [ast.ImportFrom, ast.FunctionDef]
        assert declared.body[2].name == "genias"
        assert len(stub.splitlines()) == len(source.splitlines()) + 5


def test_namespaces_have_every_verb_and_its_help():
    frame = {name for name in pg.__all__ if getattr(verbs, name, None) and overloaded(name)}
    column = {*frame, *(name for name in pg.__all__ if is_verb(name))}
    for owner, expected in (
        (pl.DataFrame({"x": [1]}), {*frame, "plot"}),
        (pl.LazyFrame({"x": [1]}), {*frame, "plot"}),
        (pl.col("x"), column),
    ):
        methods = {name for name in dir(owner.genias) if not name.startswith("_")}
        assert methods == expected
        for name in methods - {"plot"}:
            method, verb = getattr(owner.genias, name), getattr(verbs, name)
            assert method.__doc__ == verb.__doc__
            shown, given = (list(inspect.signature(f).parameters) for f in (method, verb))
            assert shown == given[1:]


def is_verb(name):
    return inspect.isfunction(getattr(verbs, name, None))


def overloaded(name):
    return "data" in inspect.signature(getattr(verbs, name)).parameters
