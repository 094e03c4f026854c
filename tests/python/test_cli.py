"""The command line, called as users call it: as a process."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from command_line import (
    FEATURES,
    FIT_ARGUMENTS,
    FITTED,
    GENERATE,
    ROLE_ARGUMENTS,
    ROLES,
    arguments,
    command,
    genias,
    hidden,
    write_partitions,
)
from conftest import make_hosts
from polars_genias import cli
from polars_genias._table import of_verb
from polars_genias.cli import _arguments, _dry_run, _run

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Hosts as one file and as a partitioned folder, their models, and their scores."""
    folder = tmp_path_factory.mktemp("cli")
    hosts = make_hosts()
    hosts.write_parquet(folder / "hosts.parquet")
    write_partitions(hosts, folder / "metrics")
    models = pg.fit(hosts, **ROLES, **FITTED)
    models.write_parquet(folder / "models.parquet")
    scored = pg.score(hosts, models=models, **ROLES)
    labelled = pg.label(scored, models=models, **ROLES)
    labelled.write_parquet(folder / "labelled.parquet")
    return folder


# What the verbs write is what the functions give.


def test_fit_score_and_label_write_what_the_functions_give(data, tmp_path):
    models = tmp_path / "models.parquet"
    said = json.loads(genias("fit", data / "hosts.parquet", models, *FIT_ARGUMENTS, "--json"))
    hosts = pl.read_parquet(data / "hosts.parquet")
    assert_frame_equal(pl.read_parquet(models), pl.read_parquet(data / "models.parquet"))
    assert said["command"] == "fit"
    assert (said["rows"], said["groups"], said["models"], said["series_without"]) == (3, 3, 3, 0)
    assert said["columns"] == {"host": "String", "model": "Binary"}

    for verb, name in (("score", "anomaly_score"), ("label", "flagged")):
        out = tmp_path / f"{verb}.parquet"
        given = [data / "hosts.parquet", out, *ROLE_ARGUMENTS, "--models", models, "--name", name]
        assert genias(verb, *given) == ""
        expected = getattr(pg, verb)(hosts, **ROLES, models=models, name=name)
        assert_frame_equal(pl.read_parquet(out), expected)


@pytest.mark.parametrize("verb", ["score", "label", "expect"])
def test_history_is_context_that_is_not_written(data, tmp_path, verb):
    hosts = pl.read_parquet(data / "hosts.parquet")
    old, new = hosts.filter(pl.col("t") < 120), hosts.filter(pl.col("t") >= 120)
    models = pg.fit(old, **ROLES, **(FITTED | {"detector": "evidence"}))
    models.write_parquet(tmp_path / "models.parquet")
    write_partitions(old, tmp_path / "old")
    new.write_parquet(tmp_path / "new.parquet")
    ends = [*ROLE_ARGUMENTS, "--models", tmp_path / "models.parquet"]
    with_old = [*ends, "--history", tmp_path / "old"]

    out = tmp_path / "out.parquet"
    genias(verb, tmp_path / "new.parquet", out, *with_old, "--only-last", "30")
    wanted = getattr(pg, verb)(new, **ROLES, models=models, history=old, only_last=30)
    assert wanted.height == 90
    assert_frame_equal(pl.read_parquet(out), wanted)
    alone = getattr(pg, verb)(new, **ROLES, models=models, only_last=30)
    assert not wanted.equals(alone) or verb == "label"

    inside = tmp_path / "old" / "host=h1" / "out.parquet"
    error = genias(verb, tmp_path / "new.parquet", inside, *with_old, code=1)
    assert "lies inside --history" in error
    in_place = [tmp_path / "new.parquet"] * 2
    error = genias(verb, *in_place, *ends, "--only-last", "30", "--overwrite", code=1)
    assert "does not write its rows" in error
    error = genias(
        verb, tmp_path / "new.parquet", tmp_path / "x", *ends, "--only-last", "0", code=1
    )
    assert "--only-last = 0" in error


def test_generate_events_inject_and_pairs_write_what_the_functions_give(data, tmp_path):
    hosts = pl.read_parquet(data / "hosts.parquet")
    own = {"length": (4, 8), "strength": (1.0, 2.0), "contamination": 0.05, "seed": 3}
    as_text = own | {"length": "4:8", "strength": "1:2"}
    models = data / "models.parquet"
    inject = {"kind": ["trend", "amplitude"], "count": 2, "length": 5, "factor": (1.5, 2.0)}
    calls = {
        "generate": (
            ROLES | own | {"models": models, "label": "known", "suffix": "_new"},
            ROLES | as_text | {"models": models, "label": "known", "suffix": "_new"},
        ),
        "events": (
            ROLES | own | {"models": models, "label": "known"},
            ROLES | as_text | {"models": models, "label": "known"},
        ),
        "inject": (ROLES | inject, ROLES | inject | {"factor": "1.5:2"}),
        "pairs": (
            ROLES | GENERATE | {"window_stride": 8, "calibrate": False},
            ROLES | GENERATE | {"window_stride": 8},
        ),
    }
    for verb, (of_function, of_command) in calls.items():
        out = tmp_path / f"{verb}.parquet"
        flags = ["--no-calibrate"] if verb == "pairs" else []
        given = [data / "hosts.parquet", out, *arguments(**of_command), *flags, "--json"]
        said = json.loads(genias(verb, *given))
        expected = getattr(pg, verb)(hosts, **of_function)
        assert_frame_equal(pl.read_parquet(out), expected)
        assert said["rows"] == expected.height
        if verb == "inject":
            assert said["anomalies"] == 6
            assert said["anomalous_rows"] == 30


def test_features_may_have_other_names_than_in_the_model(data, tmp_path):
    renamed = pl.read_parquet(data / "hosts.parquet").rename({"cpu": "busy, cpu"})
    renamed.write_parquet(tmp_path / "renamed.parquet")
    out = tmp_path / "out.parquet"
    given = ["--features", 'mem,cpu="busy, cpu"', "--by", "host", "--order-by", "t"]
    models = data / "models.parquet"
    error = genias("score", tmp_path / "renamed.parquet", out, *given, "--models", models, code=1)
    assert "cpu" in error  # another order of features than in the model
    given[1] = 'cpu="busy, cpu",mem'
    genias("score", tmp_path / "renamed.parquet", out, *given, "--models", models)
    expected = pl.read_parquet(data / "labelled.parquet")["anomaly_score"]
    assert pl.read_parquet(out)["anomaly_score"].equals(expected)


# Dry runs.


def test_dry_run_says_what_would_be_done(data, tmp_path):
    out = tmp_path / "out.parquet"
    given = [data / "metrics", out, *FIT_ARGUMENTS, "--dry-run"]
    text = genias("score", *given)
    assert "series   3 (by host), 480 rows" in text
    assert "windows  435 of 16 rows" in text  # 3 x (160 - 16 + 1)
    assert "+ anomaly_score: Float32" in text
    assert re.search(r"time     up to \d+ s", text)
    plan = json.loads(genias("fit", *given, "--json"))
    assert plan["dry_run"]
    assert plan["groups_too_short"] == 0
    assert plan["output_columns"] == {"host": "String", "model": "Binary"}
    assert 0 < plan["estimated_seconds"] < 60
    given = [data / "metrics", out, *ROLE_ARGUMENTS, "--models", data / "models.parquet"]
    plan = json.loads(genias("label", *given, "--dry-run", "--json"))
    assert plan["window"] == 16
    assert "windows" not in genias("inject", data / "hosts.parquet", out, "--dry-run")
    assert list(tmp_path.iterdir()) == []


def trainings(command, models=None, **options):
    given = argparse.Namespace(command=command, models=models)
    return _dry_run._trained(given, options)


def test_dry_run_knows_what_is_trained():
    vae = {"steps": _dry_run._usual("fit", {})["steps"]}
    assert trainings("expect") == {}
    for verb in ("score", "label", "alarms", "explain"):
        assert trainings(verb) == trainings(verb, detector="fast") == {}
        assert trainings(verb, detector="amplitude") == vae
        assert trainings(verb, detector="carla") == {**vae, "detector_steps": 300}
        assert trainings(verb, models="models.parquet", detector="carla") == {}
    assert trainings("generate") == trainings("fit") == trainings("fit", detector="evidence") == vae
    assert trainings("fit", models="models.parquet", detector="classifier", detector_steps=7) == {
        "detector_steps": 7
    }
    assert trainings("inject") == {}


# Errors.


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "a command is needed"),
        (["scor"], "no command 'scor'"),
        (["score", "a.parquet"], "OUTPUT"),
        (["score", "a", "b", "--windwo", "8"], "no option --windwo; did you mean --window?"),
        (["score", "a", "b", "--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["score", "a", "b", "--window", "4"], "--window = 4: must be"),
        (["score", "a", "b", "--batch-size", "-1"], "--batch-size = -1: must be"),
        (["score", "a", "b", "--max-gap", "5"], "--max-gap = 5"),
        (["score", "a", "b", "--learning-rate", "nan"], "--learning-rate = nan"),
        (["label", "a", "b", "--threshold", "high"], "argument --threshold: 'high' is neither"),
        (["fit", "a", "b", "--kl", "other"], "argument --kl: invalid choice: 'other'"),
        (["generate", "a", "b", "--length", "9:5"], "--length = (9, 5): must be"),
        (["generate", "a", "b", "--strength", "1:2:3"], "argument --strength: '1:2:3'"),
        (["generate", "a", "b", "--detector", "carla"], "no option --detector"),
        (["inject", "a", "b", "--kind", "trend,wobble"], "argument --kind: 'wobble' is none of"),
        (["evaluate", "a", "--metrics", "accuracy"], "argument --metrics: 'accuracy'"),
        (["plot", "pie", "a", "b.png"], "argument KIND"),
        (["plot", "series", "a", "b.gif"], "must end in one of .html, .svg, .png"),
    ],
)
def test_usage_errors_name_the_option(given, says):
    assert says in genias(*given, code=2)


def test_errors_in_the_data_name_the_column_or_the_file(data, tmp_path):
    rows, out = data / "hosts.parquet", tmp_path / "new" / "out.parquet"
    (tmp_path / "bad.parquet").write_text("this is not a Parquet file")
    infinite = pl.DataFrame({"x": [1.0] * 20 + [float("inf")]})
    infinite.write_parquet(tmp_path / "infinite.parquet")
    cases = [
        (["score", rows, out, "--by", "rack"], "--by = 'rack': no such column"),
        (["fit", rows, out, "--features", "cpu,disk"], "--features = 'disk': no such column"),
        (["fit", rows, out, "--label", "cpu"], "--label = 'cpu': must be a Boolean column"),
        (["score", tmp_path / "no.parquet", out], f"no such file or folder: {tmp_path}/no.parquet"),
        (["score", tmp_path / "no*.parquet", out], f"no file matches {tmp_path}/no*.parquet"),
        (["score", tmp_path / "bad.parquet", out], "PAR1"),
        (
            ["score", rows, out, "--models", tmp_path / "no"],
            f"--models: no such file: {tmp_path}/no",
        ),
        (["score", rows, out, "--models", rows], "--models: one Binary column"),
        (["fit", tmp_path / "infinite.parquet", out, "--window", 8], "`x` is infinite at row 20"),
        (["describe", rows], "one Binary column"),
        (["evaluate", rows], "--label = 'is_anomaly': no such column"),
        (["evaluate", rows, "--label", "known"], "--score: no column anomaly_score"),
    ]
    for given, says in cases:
        assert says in genias(*given, code=1)
    # The query fails while it writes: nothing is left of it.
    strict = ["score", tmp_path / "infinite.parquet", out, "--window", 200, "--strict"]
    assert "infinite" in genias(*strict, code=1)
    assert not out.exists()
    assert not out.parent.exists() or hidden(out.parent) == []
    debug = subprocess.run(
        command("score", tmp_path / "no.parquet", out, "--debug"), capture_output=True, text=True
    )
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


# On a terminal.


def test_a_line_on_a_terminal(data, tmp_path):
    """With a terminal as stderr it says what it did; not with --quiet."""
    pty = pytest.importorskip("pty")
    given = [data / "hosts.parquet", tmp_path / "out.parquet", "--count", "1", "--overwrite"]
    for quiet in ([], ["--quiet"]):
        ours, theirs = pty.openpty()
        done = subprocess.run(
            command("inject", *given, *quiet), stderr=theirs, stdout=subprocess.PIPE, text=True
        )
        os.close(theirs)
        try:
            said = os.read(ours, 10_000).decode()
        except OSError:  # nothing was written
            said = ""
        os.close(ours)
        assert done.returncode == 0
        assert done.stdout == ""
        assert ("genias inject: 480 rows of 1 series written to" in said) == (not quiet)


# Metrics, models, pictures, demo.


def test_evaluate_is_the_metrics_of_every_group(data, tmp_path):
    labelled = data / "labelled.parquet"
    given = ["evaluate", labelled, "--by", "host", "--order-by", "t", "--label", "known"]
    out = tmp_path / "metrics.parquet"
    said = json.loads(genias(*given, "--output", out, "--json", "--buffer", "20"))
    expected = (
        pl.read_parquet(labelled)
        .group_by("host", maintain_order=True)
        .agg(
            rows=pl.len(),
            anomalous_rows=pl.col("known").sum(),
            vus_pr=pg.vus_pr("anomaly_score", "known", buffer=20),
            auc_pr=pg.auc_pr("anomaly_score", "known"),
            auc_roc=pg.auc_roc("anomaly_score", "known"),
            best_f1_oracle=pg.best_f1("anomaly_score", "known"),
            f1=pg.f1("anomaly_label", "known"),
            precision=pg.precision("anomaly_label", "known"),
            recall=pg.recall("anomaly_label", "known"),
            affiliation_f1=pg.affiliation_f1("anomaly_label", "known"),
            event_f1=pg.event_f1("anomaly_label", "known"),
        )
    )
    assert_frame_equal(pl.read_parquet(out), expected)
    assert said["groups"] == expected.to_dicts()
    assert said["mean"]["vus_pr"] == pytest.approx(expected["vus_pr"].mean())

    table = genias(*given, "--metrics", "best_f1,range_f1", "--threshold", "0.5")
    lines = [line.strip("│ ").split() for line in table.splitlines() if line.startswith("│")]
    assert lines[0] == ["host", "rows", "anomalous_rows", "best_f1_oracle", "range_f1"]
    assert [line[0] for line in lines[1:]] == ["h0", "h1", "h2", "mean"]

    # No predictions: metrics of events are of an oracle's threshold. Rows can be left out.
    rows = pl.read_parquet(labelled).drop("anomaly_label").with_columns(out=pl.col("t") < 50)
    rows.write_parquet(tmp_path / "scores.parquet")
    given = ["evaluate", tmp_path / "scores.parquet", "--label", "known", "--exclude", "out"]
    said = json.loads(genias(*given, "--json"))
    assert said["groups"][0]["rows"] == 330
    assert {"affiliation_f1_oracle", "event_f1_oracle"} < set(said["mean"])
    assert "f1" not in said["mean"]
    error = genias(*given, "--metrics", "f1", code=2)
    assert "--metrics = 'f1': needs --predicted, or --threshold" in error


def test_describe_tables_and_single_models(data, tmp_path):
    table = genias("describe", data / "models.parquet")
    assert [name in table for name in ("h0", "h1", "h2", "r2_pca", "reconstruction")] == [True] * 5
    model = pl.read_parquet(data / "models.parquet")["model"][0]
    (tmp_path / "one.genias").write_bytes(model)
    out = tmp_path / "about.parquet"
    about = json.loads(genias("describe", tmp_path / "one.genias", "--json", "--output", out))
    assert [one["features"] for one in about] == [FEATURES]
    assert about[0]["config"]
    assert pl.read_parquet(out)["window"].to_list() == [16]


def test_plot_writes_a_picture_or_names_the_extra(data, tmp_path):
    given = ["plot", "scores", data / "labelled.parquet", "--label", "known"]
    try:
        import altair as altair

        from polars_genias import plots as plots  # type: ignore[attr-defined]
    except ImportError:
        error = genias(*given, tmp_path / "scores.svg", code=1)
        assert 'pip install "polars-genias[plot]"' in error
        return
    for ending in ("svg", "png", "html"):
        genias(*given, tmp_path / f"scores.{ending}", "--threshold", "0.5", "--width", "300")
    assert "<svg" in (tmp_path / "scores.svg").read_text()
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert "exists" in genias(*given, tmp_path / "scores.svg", code=1)
    error = genias("plot", "history", data / "models.parquet", "x.svg", "--bins", "3", code=2)
    assert "--bins is not an option of `plot history`" in error
    host = ["--where", "host = 'h1'", "--order-by", "t"]
    genias("plot", "series", data / "labelled.parquet", tmp_path / "series.svg", *host)
    assert "#1b1e24" not in (tmp_path / "series.svg").read_text()
    genias(
        *("plot", "series", data / "labelled.parquet", tmp_path / "dark.svg", "--by", "host"),
        *("--order-by", "t", "--models", data / "models.parquet", "--theme", "dark"),
    )
    assert "#1b1e24" in (tmp_path / "dark.svg").read_text()
    assert hidden(tmp_path) == []


def test_latent_map_takes_the_model_of_the_series(data, tmp_path):
    """With a key that is a number, which is no feature; and null is a key as any other."""
    pytest.importorskip("altair")
    key = pl.col("host").replace_strict({"h0": 0, "h1": 1, "h2": None}, return_dtype=pl.Int64)
    rows, models = tmp_path / "rows.parquet", tmp_path / "models.parquet"
    hosts = pl.read_parquet(data / "hosts.parquet").with_columns(key)
    hosts.write_parquet(rows)
    pl.read_parquet(data / "models.parquet").with_columns(key).write_parquet(models)
    given = ["--by", "host", "--order-by", "t", "--label", "known", "--windows", "20"]
    drawn = set()
    for where in ("host = 0", "host = 1", "host is null"):
        out = tmp_path / f"{where}.svg"
        genias("plot", "latent", rows, out, *given, "--models", models, "--where", where)
        drawn.add(out.read_text())
    assert len(drawn) == 3
    # The same picture as of the model alone.
    (tmp_path / "one").write_bytes(pl.read_parquet(models)["model"][1])
    hosts.filter(host=1).drop("host").write_parquet(tmp_path / "one.parquet")
    one, out = ["--models", tmp_path / "one"], tmp_path / "one.svg"
    genias("plot", "latent", tmp_path / "one.parquet", out, *given[2:], *one)
    assert out.read_text() == (tmp_path / "host = 1.svg").read_text()

    latent = ["plot", "latent", rows, tmp_path / "no.svg"]
    assert "needs --models" in genias(*latent, *given, code=2)
    assert "3 series; select one" in genias(*latent, *given, "--models", models, code=1)
    assert "one model, without keys" in genias(*latent, *given, *one, code=1)
    error = genias(*latent, "--by", "rack", "--models", models, code=1)
    assert "no column 'rack'" in error
    error = genias("plot", "pairs", rows, tmp_path / "no.svg", "--by", "host", code=2)
    assert "--by is not an option of `plot pairs`" in error
    genias("plot", "series", rows, tmp_path / "all.svg", "--by", "host", "--order-by", "t")
    assert (tmp_path / "all.svg").read_text().startswith("<svg")


def test_demo_as_json(tmp_path, monkeypatch, capsys):
    """The work itself is tested, as a process, in test_demo.py."""
    pytest.importorskip("altair")
    demo = importlib.import_module("polars_genias.demo")

    def run_and_draw(folder, size):
        assert size == demo.Size(hosts=2, rows=900, steps=4)
        return pl.DataFrame({"host": ["web-00"]}), {"models": folder / "models.parquet"}

    monkeypatch.setattr(demo, "run_and_draw", run_and_draw)
    given = ["demo", str(tmp_path), "--hosts", "2", "--rows", "900", "--steps", "4", "--json"]
    assert cli.main(given) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["hosts"] == [{"host": "web-00"}]
    assert said["written"] == {"models": str(tmp_path / "models.parquet")}


# What is derived from the table of options.


def a_value(option):
    """What is written for an option, and what arrives."""
    if option.value_type == "span":
        return ("2h,3", ["2h", 3]) if option.list else ("2h", "2h")
    if option.value_type == "names":
        return "cpu,memory", ["cpu", "memory"]
    if option.list and not option.words:
        return "0.5,2", [0.5, 2.0]
    if option.list:
        return ",".join(option.words[:2]), list(option.words[:2])
    if option.value_type in ("words", "wordornumber"):
        return option.words[-1], option.words[-1]
    if option.value_type == "domain":
        return '{"cpu": {"min": 0}}', {"cpu": {"min": 0}}
    number, text = (3, "3") if option.value_type == "integer" else (0.25, "0.25")
    if option.pair:
        return f"{text}:5", (number, 5)
    return {"flag": (None, True), "step": ("1h30m", timedelta(minutes=90))}.get(
        option.value_type, (text, number)
    )


@pytest.mark.parametrize("verb", _arguments.VERBS)
def test_every_option_of_a_verb_is_an_argument(verb):
    """Each option, given a value of its type, arrives as that value; and nothing else does."""
    parser = _run.Parser(verb, "", "")
    _arguments.add_options(parser, verb)
    assert _arguments.given_options(parser.parse_args([]), verb) == {}
    for option in of_verb(verb):
        flag = f"--{option.name.rstrip('_').replace('_', '-')}"
        text, value = a_value(option)
        given = parser.parse_args([flag] if text is None else [flag, text])
        assert _arguments.given_options(given, verb) == {option.name: value}


@pytest.mark.parametrize("verb", _arguments.VERBS)
def test_help_has_a_sentence_and_the_default_of_every_option(verb):
    parser = _run.Parser(verb, "", "")
    _arguments.add_options(parser, verb)
    said = " ".join(parser.format_help().split())
    for option in of_verb(verb):
        assert option.doc.removesuffix(".")[:30] in said
        if option.shown_default and option.default is not False:
            assert f"({option.shown_default})" in said, option.name


def test_the_table_has_the_defaults_that_models_are_fitted_with():
    wave = pl.DataFrame({"x": [float(t % 7) for t in range(30)]})
    small = pg.fit(wave, window=8, steps=1, detector="amplitude")["model"]
    config = json.loads(small.to_frame().select(pg.describe("model")).unnest("model")["config"][0])
    table = {o.name: o.default for o in of_verb("reconstruct") if o.name in config}
    assert len(table) > 30
    changed = {"window": 8, "steps": 1}
    resolved = {name for name, value in config.items() if table.get(name) is None}
    for name in table.keys() - resolved:
        assert config[name] == changed.get(name, table[name]), name


@pytest.mark.parametrize(
    ("text", "value"),
    [("2.5", 2.5), ("30s", timedelta(seconds=30)), ("1d12h", timedelta(hours=36))],
)
def test_steps_of_time(text, value):
    assert _arguments.step(text) == value


@pytest.mark.parametrize("text", ["", "5x", "m", "5m later"])
def test_no_steps_of_time(text):
    with pytest.raises(argparse.ArgumentTypeError):
        _arguments.step(text)


def test_every_command_has_help():
    text = genias("--help")
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    assert genias("--version") == f"genias {pg.__version__}\n"
    assert "--partition-by" in genias("score", "--help")


def test_the_package_does_not_import_the_command_line():
    code = (
        "import sys, polars_genias; "
        "print([name for name in sys.modules if name.startswith('polars_genias.cli')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
