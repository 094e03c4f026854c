"""The table of options: what is written from it, and what it refuses."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import polars as pl
import pytest

import polars_genias as pg
from conftest import FAST, NETS
from links import ROOT
from polars_genias import _table, verbs

pytestmark = pytest.mark.once


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("option_files", ROOT / "tools/option_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_written_files_are_those_of_the_table():
    for path, text in generator().files():
        assert path.read_text() == text, f"run tools/option_files.py: {path}"


def test_a_page_without_an_option_differs():
    made = generator()
    text = made.PAGE.read_text().replace("| `entropy_weight`", "| `gone`")
    assert made.page(text) == made.PAGE.read_text() != text


@pytest.mark.parametrize(
    "verb",
    [
        "fit",
        "generate",
        "events",
        "pairs",
        "score",
        "label",
        "alarms",
        "sensitivity",
        "compare",
        "explain",
        "expect",
        "reconstruct",
        "embed",
        "inject",
    ],
)
def test_help_shows_every_option(verb):
    function = getattr(verbs, verb)
    parameters = inspect.signature(function).parameters
    for option in _table.of_verb(verb):
        assert option.name in parameters
        assert f"    {option.name} : {option.annotation}" in function.__doc__
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    method = getattr(pl.col("x").genias, verb)
    assert list(inspect.signature(method).parameters) == list(parameters)[1:]


@pytest.mark.parametrize(
    ("verb", "options", "said"),
    [
        ("fit", {"detector": "amplitude", "nets": 3}, r"`nets` = 3: must be left out with `detec"),
        ("fit", {"detector": "evidence", "negatives": "all"}, '"classifier", "carla"'),
        ("score", {"detector": "carla", "row_weight": 2}, '"ensemble", "classifier"'),
        ("generate", NETS, "left out of `generate`"),
        ("pairs", {"contamination": 0.1}, "`generate`, `events`, `inject`"),
        ("pairs", {"stride": 4, "window_stride": 4}, "`window_stride`"),
        ("inject", {"shift": 3, "kind": "mean"}, '"pattern-shift"'),
        ("generate", {"from": "residul"}, "did you mean `form`"),
        ("generate", {"form": "residul"}, 'did you mean "residual"'),
        ("generate", {"feature": ["x"]}, "did you mean `features`"),
        ("score", {"detector": 3}, '"reconstruction", "amplitude"'),
    ],
)
def test_what_is_not_used_or_not_known_is_refused_at_once(verb, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        getattr(pg, verb)("x", **options)
    for phrase in ("unknown variant", "invalid type", "untagged", "expected"):
        assert phrase not in str(raised.value)


def test_names_of_the_first_version_are_taken_with_a_warning(series):
    at = {"features": ["cpu", "mem"], **FAST}
    with pytest.warns(FutureWarning, match="`stride` of `pairs` is now `window_stride`"):
        old = series.genias.pairs(**at, stride=50)
    assert old.equals(series.genias.pairs(**at, window_stride=50))


def test_what_the_detector_uses_is_taken(series):
    options = {**FAST, "detector": "carla", "classes": 3, "detector_steps": 4}
    assert series.genias.fit(features=["cpu", "mem"], **options)["model"].null_count() == 0


def test_none_is_a_value_where_the_default_is_another(series):
    given = {"features": "cpu", **FAST, "steps": 90, "min_gain": 1e6}
    steps = {
        patience: series.genias.fit(**given, patience=patience).genias.describe()["steps"].item()
        for patience in (None, 30)
    }
    assert steps[None] == 90 > steps[30]
