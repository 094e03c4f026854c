"""Failures of many kinds, injected into every step of writing: the output is the old one or whole.

`python tests/python/test_cli_failures.py 200` runs so many random trials.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from command_line import INJECT, contents, write_partitions
from conftest import make_hosts
from failing import FAILURES
from polars_genias._replace import recover

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).with_name("failing.py")
SHORT = [*INJECT, "--seed", "1"]
SCENARIOS = {
    "file": ["rows.parquet", "out.parquet", "--overwrite"],
    "new file": ["rows.parquet", "new/out.parquet"],
    "file in place": ["out.parquet", "out.parquet", "--overwrite"],
    "folder": ["rows.parquet", "out/", "--overwrite"],
    "new folder": ["rows.parquet", "new/out/"],
    "folder in place": ["metrics", "metrics/", "--overwrite"],
    "partitions": ["rows.parquet", "out/", "--overwrite", "partitions", "--where", "host = 'h0'"],
}
"""What replaces what: a file, a folder, an input, some partitions, and nothing."""


@dataclass(frozen=True)
class Scenario:
    """A command, what it finds, and what it leaves where nothing fails."""

    given: list[str]
    before: Path
    after: dict[str, bytes]
    lines: int

    @property
    def output(self) -> str:
        return self.given[1].rstrip("/")


def run(failure, step, given, cwd, **env):
    call = [sys.executable, SCRIPT, failure, str(step), "inject", *given, *SHORT]
    return subprocess.run(
        call, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=120
    )


def scenarios(folder):
    """All scenarios, of which the outputs and the number of steps are known."""
    before = folder / "before"
    before.mkdir()
    rows = make_hosts(hosts=2, rows=40)
    rows.write_parquet(before / "rows.parquet")
    rows.write_parquet(before / "out.parquet")
    write_partitions(rows, before / "metrics")
    run("count", -1, ["rows.parquet", "out/"], before, COUNTED=str(folder / "lines"))
    made = {}
    for name, given in SCENARIOS.items():
        after = folder / f"after-{name}"
        shutil.copytree(before, after)
        done = run("count", -1, given, after, COUNTED=str(folder / "lines"))
        assert done.returncode == 0, done.stderr
        lines = int((folder / "lines").read_text())
        made[name] = Scenario(given, before, seen(after / given[1]), lines)
    return made


def seen(output):
    """An output as readers see it: rows by file, since bytes may depend on the threads."""
    if output.is_file():
        return {"": pl.read_parquet(output).write_json()}
    return {
        name: pl.read_parquet(output / name, hive_partitioning=False).write_json()
        for name in contents(output)
        if name.endswith(".parquet")
    }


def step_of(failure, scenario, chance):
    if failure == "rename":
        return chance.randint(1, 3)
    if failure == "file-size":
        return chance.choice([0, 10, 500, 1500, 3000])
    if failure == "kill-in-query":
        return chance.randint(0, 60)
    return chance.randint(1, scenario.lines)


def trial(scenario, failure, step, folder):
    """One failure: nothing is lost, nothing is half, and the next run begins with nothing."""
    work = folder / "work"
    shutil.copytree(scenario.before, work)
    try:
        done = run(failure, step, scenario.given, work)
        _check(scenario, failure, work, done)
    finally:
        shutil.rmtree(work)
    return done.returncode


def _check(scenario, failure, work, done):
    output = work / scenario.output
    old = seen(scenario.before / scenario.output)
    if output.exists() or "without-exchange" not in failure:
        assert seen(output) in (old, scenario.after), done.stderr
    _a_minute_later(output.parent)
    recover(output)
    now = seen(output)
    assert now in (old, scenario.after), done.stderr
    if done.returncode == 0:
        assert now == scenario.after
    # Nothing else has changed, and nothing of the working folder is left but a new empty one.
    others = {name: data for name, data in contents(work).items() if not _mine(name, scenario)}
    before = contents(scenario.before)
    assert others == {name: before[name] for name in before if not _mine(name, scenario)}
    assert not [at for at in work.rglob(".genias-*/*") if at.name != "record.json"]


def _a_minute_later(folder):
    """Ages working folders into which a thread wrote while its process ended."""
    for at in folder.glob(".genias-*"):
        if not (at / "record.json").exists() and list(at.iterdir()):
            os.utime(at, (0, 0))


def _mine(name, scenario):
    made = [scenario.output, ".genias-", "new"]
    return any(name == part or name.startswith((f"{part}/", ".genias-")) for part in made)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return scenarios(tmp_path_factory.mktemp("failures"))


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_leaves_the_old_output_or_the_new_one(known, tmp_path, failure):
    """Two random trials of each kind; `test_two_hundred_failures` and the script do more."""
    chance = random.Random(failure)
    for name in chance.sample(sorted(known), 2):
        trial(known[name], failure, step_of(failure, known[name], chance), tmp_path)


@pytest.mark.many
def test_two_hundred_failures(known, tmp_path):
    many(known, 200, tmp_path, seed=0)


def many(known, trials, folder, seed):
    """Random trials; how many ended with which exit code."""
    chance = random.Random(seed)
    codes: dict[str, dict[int, int]] = {failure: {} for failure in FAILURES}
    for number in range(trials):
        failure = FAILURES[number % len(FAILURES)]
        scenario = known[chance.choice(sorted(known))]
        code = trial(scenario, failure, step_of(failure, scenario, chance), folder)
        codes[failure][code] = codes[failure].get(code, 0) + 1
    return codes


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as here:
        numbers = [int(text) for text in sys.argv[1:]] or [200]
        found = many(scenarios(Path(here)), numbers[0], Path(here), (*numbers, 0)[1])
        for kind, ended in found.items():
            print(f"{kind:24}", ", ".join(f"exit {c}: {n}" for c, n in sorted(ended.items())))
