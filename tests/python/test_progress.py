"""What is shown of a fit, and that watching changes nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import polars as pl
import pytest

import polars_genias as pg
from conftest import FAST, NETS, both
from polars_genias import _genias, _progress

ARGS = {"by": "host", "features": ["cpu", "mem"], **FAST}
SLOW = {**ARGS, **NETS, "steps": 150, "patience": 200, "detector_steps": 60}


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True

    def frames(self) -> list[str]:
        return [frame.strip() for frame in self.getvalue().split("\r") if frame.strip()]


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


def looks(run) -> list[dict]:
    """Looks at the counts while `run` runs, without a pause."""
    found, over = [json.loads(_genias.progress())], threading.Event()

    def look() -> None:
        while not over.wait(0.0005):
            found.append(json.loads(_genias.progress()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        run()
    finally:
        over.set()
        thread.join()
    return [*found, json.loads(_genias.progress())]


def shown(run, *, every=0.01, **options) -> list[str]:
    file = io.StringIO()
    with pg.progress(file=file, every=every, **options):
        run()
    return file.getvalue().splitlines()


def test_a_file_gets_lines(hosts):
    lines = shown(lambda: hosts.genias.fit(**SLOW))
    done = [int(line.split("/")[0]) for line in lines]
    assert all("/3 groups" in line for line in lines)
    assert done == sorted(done)
    assert lines[-1].startswith("3/3 groups in 0:")


@pytest.mark.usefixtures("no_tqdm")
def test_a_terminal_has_one_line(hosts):
    screen = Screen()
    with pg.progress(file=screen, every=0.01):
        hosts.genias.fit(**SLOW)
    assert screen.getvalue().count("\n") == 1
    frames = screen.frames()
    shares = [int(frame.split("%")[0]) for frame in frames]
    assert shares == sorted(shares)
    assert any("VAE" in frame and "psi" in frame and "left" in frame for frame in frames)
    assert any("detector" in frame and "/180, loss" in frame for frame in frames)
    assert frames[-1].startswith("100% | 3/3 groups in 0:")


def test_the_bar_of_tqdm(hosts):
    screen = Screen()
    with pg.progress(file=screen, every=0.01):
        hosts.genias.fit(**SLOW)
    assert screen.getvalue().count("\n") == 1
    assert "#| 3/3 groups in 0:" in screen.frames()[-1]
    # Where nothing is fitted, nothing is drawn.
    screen = Screen()
    with pg.progress(file=screen):
        pass
    assert not screen.getvalue()


def test_steps_and_counts_rise(hosts):
    found = looks(lambda: hosts.genias.fit(**SLOW))
    first, last = found[0], found[-1]
    for name in ("groups", "vae", "detector"):
        for count in ("planned", "done"):
            counts = [look[name][count] for look in found]
            assert counts == sorted(counts)
            assert counts[-1] - counts[0] == 3
    assert last["running"] == []
    assert last["vae"]["seconds"] > first["vae"]["seconds"]
    trainings: dict[int, list[dict]] = {}
    for look in found:
        for training in look["running"]:
            trainings.setdefault(training["id"], []).append(training)
    # On a busy machine a short one may begin and end between two looks.
    assert 4 <= len(trainings) <= 6
    for seen in trainings.values():
        steps = [training["step"] for training in seen]
        assert steps == sorted(steps)
        told = [training for training in seen if training["step"]]
        assert {training["steps"] for training in told} <= {
            150 if seen[0]["phase"] == "vae" else 180
        }
        for training in told:
            assert training["loss"] > 0
            assert (training["psi"] is None) == (training["phase"] == "detector")


def test_watching_changes_no_byte(hosts):
    plain = hosts.genias.fit(**ARGS)
    pg.clear_cache()
    before = pg.fit_count()
    with pg.progress(file=io.StringIO(), every=0.001):
        watched = hosts.genias.fit(**ARGS)
    assert pg.fit_count() == before + 3
    assert watched.equals(plain)


VERBS = {
    "generate": (lambda frame: frame.genias.generate(**ARGS), ["vae"]),
    "pairs": (lambda frame: frame.genias.pairs(**ARGS), ["vae"]),
    "score": (lambda frame: frame.genias.score(**ARGS, **NETS), ["vae", "detector"]),
    "label": (lambda frame: frame.genias.label(**ARGS, **NETS), ["vae", "detector"]),
    "fit": (
        lambda frame: frame.genias.fit(**{**ARGS, "detector": "reconstruction"}),
        ["vae"],
    ),
    "reconstruct": (
        lambda frame: frame.select(both().genias.reconstruct(**FAST).over("host")),
        ["vae"],
    ),
    "inject": (lambda frame: frame.genias.inject(by="host", features="cpu"), []),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_counts_what_it_trains(hosts, verb):
    run, phases = VERBS[verb]
    found = looks(lambda: run(hosts))
    for name in ("vae", "detector"):
        count = _progress._Count(found[-1][name], found[0][name])
        assert count.planned == count.done == (3 if name in phases else 0)
    # A second time, everything is in the cache. No look but the last: it may fall between groups.
    lines = shown(lambda: run(hosts), every=60)
    assert [line.split(" in ")[0] for line in lines] == (["3/3 groups"] if phases else [])
    assert all(line.endswith("3 of them fitted before") for line in lines)


def test_models_that_are_handed_in(hosts):
    models = hosts.genias.fit(**{**ARGS, "detector": "reconstruction"})
    assert (
        shown(lambda: hosts.genias.generate(by="host", features=["cpu", "mem"], models=models))
        == []
    )
    lines = shown(lambda: hosts.genias.fit(models=models, **ARGS))
    assert lines[-1].startswith("3/3 groups")
    assert not lines[-1].endswith("before")


def test_groups_without_a_window_are_done(hosts):
    short = pl.concat([hosts, hosts.head(5).with_columns(host=pl.lit("short"))])
    assert shown(lambda: short.genias.score(**ARGS))[-1].startswith("4/4 groups")


def test_equal_groups_and_threads_count_all_groups(hosts):
    twin = pl.concat([hosts, hosts.with_columns(host=pl.col("host") + "x")])

    def at_once() -> None:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda _: twin.genias.generate(**ARGS | {"steps": 150}), range(2)))

    line = shown(at_once)[-1]
    assert line.startswith("12/12 groups")
    assert line.endswith("9 of them fitted before")


def test_a_query_that_fails(hosts):
    wild = {**ARGS, "learning_rate": 1e30, "clip": None, "steps": 60}
    file = io.StringIO()
    with pytest.raises(pl.exceptions.ComputeError), pg.progress(file=file):
        hosts.genias.fit(**wild)
    assert file.getvalue().splitlines()[-1].startswith("stopped: 0/3 groups")
    # What it left undone is not waited for.
    assert shown(lambda: hosts.genias.fit(**ARGS))[-1].startswith("3/3 groups")


def test_nothing_in_a_pipe_and_nothing_where_disabled(hosts, capfd):
    for options in ({}, {"disable": True}, {"disable": True, "file": Screen()}):
        pg.clear_cache()
        with pg.progress(**options):
            hosts.genias.fit(**ARGS)
        if "file" in options:
            assert options["file"].getvalue() == ""
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    with pg.progress(disable=False):
        hosts.genias.fit(**ARGS)
    assert "3/3 groups" in capfd.readouterr().err


def test_a_closed_file_does_not_stop_a_fit(hosts):
    file = io.StringIO()
    with pg.progress(file=file, every=0.01):
        file.close()
        assert hosts.genias.fit(**SLOW).height == 3


def test_a_notebook_is_drawn_in(hosts, capfd, monkeypatch):
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with pg.progress(every=float("inf")):
        hosts.genias.fit(**ARGS)
    assert "3/3 groups" in capfd.readouterr().err


@pytest.mark.parametrize("every", [0, -1.0, float("nan")])
def test_every_is_checked(every):
    with pytest.raises(ValueError, match="`every`"), pg.progress(every=every):
        pass


def tally(**counts) -> dict:
    return {"planned": 0, "done": 0, "cached": 0, "abandoned": 0, "seconds": 0.0, **counts}


def state(now: dict, elapsed: float, first: dict | None = None) -> _progress._State:
    nothing = {"groups": tally(), "vae": tally(), "detector": tally(), "running": []}
    return _progress._State({**nothing, **(first or {})}, {**nothing, **now}, elapsed)


def test_time_left_by_hand():
    running = {"id": 9, "step": 100, "steps": 400, "loss": 0.25, "psi": 3.0, "seconds": 5.0}
    now = {
        "groups": tally(planned=8),
        # Of 3 done, 1 was in the cache: 2.25 trainings in 45 s.
        "vae": tally(planned=8, done=3, cached=1, seconds=40.0),
        "detector": tally(planned=8),
        "running": [{**running, "phase": "vae"}],
    }
    at = state(now, 30.0)
    # 4.75 + 8 trainings of 20 s, and 45 s of them in 30 s.
    assert at.left == pytest.approx(12.75 * 20 / 1.5)
    assert at.share == pytest.approx(3.25 / 16)
    assert at.text == "0/8 groups, 2:50 left | VAE 3/8: step 100/400, loss 0.25, psi 3.00"
    # The detector's cost is its own as soon as there is one.
    now["vae"] = tally(planned=8, done=8, cached=1, seconds=140.0)
    now["detector"] = tally(planned=8, done=1, seconds=9.0)
    now["groups"] = tally(planned=8, done=1)
    now["running"] = [{**running, "phase": "detector", "psi": None, "seconds": 1.0}]
    assert state(now, 75.0).left == pytest.approx(6.75 * 8 / 2)
    assert state(now, 75.0).text.endswith("0:27 left | detector 1/8: step 100/400, loss 0.25")


def test_only_what_came_since_the_first_look_counts():
    first = {"groups": tally(planned=10, done=6, cached=2, abandoned=1)}
    now = {"groups": tally(planned=14, done=9, cached=3, abandoned=1)}
    groups = state(now, 1.0, first).groups
    # Three were under way, four were announced since.
    assert (groups.planned, groups.done, groups.cached) == (7, 3, 1)
    assert state(now, 1.0, first).last_text(failed=False) == (
        "3/7 groups in 0:01, 1 of them fitted before"
    )
    now = {"groups": tally(planned=14, done=9, cached=3, abandoned=5)}
    assert (
        state(now, 3723.0, first)
        .last_text(failed=True)
        .startswith("stopped: 3/7 groups in 1:02:03")
    )
    assert state({}, 1.0).left is None
    assert state({}, 1.0).share == 0.0


INTERRUPTED = """
import io, json, os, signal, sys, threading, time
import polars as pl, polars_genias as pg
from polars_genias import _genias
sys.path.insert(0, sys.argv[1])
from conftest import FAST, both, make_hosts

hosts = make_hosts(hosts=4, rows=2000)
LONG = {**FAST, "features": ["cpu", "mem"], "by": "host"}
endless = {**LONG, "steps": 10**9, "patience": 10**9}
detector = {**LONG, "steps": 2, "detector_steps": 10**9}
columns = {name: endless[name] for name in endless if name not in ("features", "by")}
runs = {
    "fit": ("vae", lambda lf: lf.genias.fit(**endless)),
    "generate": ("vae", lambda lf: lf.genias.generate(**endless)),
    "pairs": ("vae", lambda lf: lf.genias.pairs(**endless)),
    "score": ("vae", lambda lf: lf.genias.score(detector="ensemble", **endless)),
    "label": ("vae", lambda lf: lf.genias.label(detector="ensemble", **endless)),
    "reconstruct": ("vae", lambda lf: lf.select(
        both().genias.reconstruct(**columns).over("host").struct.unnest())),
    "embed": ("vae", lambda lf: lf.group_by("host").agg(both().genias.embed(**columns))),
    "in groups": ("vae", lambda lf: lf.group_by("host").agg(both().genias.fit(**columns))),
    "classifier": ("detector", lambda lf: lf.genias.fit(detector="classifier", **detector)),
    "carla": ("detector", lambda lf: lf.genias.score(detector="carla", **detector)),
    "ensemble": ("detector", lambda lf: lf.genias.label(detector="ensemble", **detector)),
}

def interrupt(phase, at):
    while not any(
        training["phase"] == phase and training["step"] > 0
        for training in json.loads(_genias.progress())["running"]
    ):
        time.sleep(0.01)
    at.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

for name, (phase, query) in runs.items():
    at, file = [], io.StringIO()
    thread = threading.Thread(target=interrupt, args=(phase, at))
    thread.start()
    try:
        with pg.progress(file=file, every=0.05):
            pg.sink_parquet(query(hosts.lazy()), sys.argv[2])
        outcome = "ended"
    except KeyboardInterrupt:
        outcome = "KeyboardInterrupt"
    seconds = time.monotonic() - at[0]
    thread.join()
    print(json.dumps([name, outcome, seconds, file.getvalue().splitlines()[-1]]), flush=True)
# Nothing is left running, and the process is as good as before.
left = json.loads(_genias.progress())["running"]
print(json.dumps([len(left), hosts.genias.fit(**LONG).height]))
"""


def test_an_interrupt_stops_every_verb(tmp_path):
    old = tmp_path / "out.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(old)
    here = os.path.dirname(__file__)  # noqa: PTH120
    command = [sys.executable, "-c", INTERRUPTED, here, str(old)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    *runs, after = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) == 11
    for name, outcome, seconds, line in runs:
        assert outcome == "KeyboardInterrupt", name
        assert seconds < 2, name
        assert line.startswith("stopped: 0/"), name
    assert after == [0, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert pl.read_parquet(old)["x"].item() == 1
