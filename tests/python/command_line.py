"""The command line, called as users call it.

A process for each of hundreds of commands would import Polars hundreds of times: `genias` runs the
script's function in this process. Signals, pipes and environments are tested with `command`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path

import polars as pl

import polars_genias as pg
from conftest import FAST
from polars_genias import cli

ROOT = Path(__file__).parents[2]
FEATURES = ["cpu", "mem"]
ROLES = {"features": FEATURES, "by": "host", "order_by": "t"}
FITTED = FAST | {"steps": 4, "detector": "reconstruction"}


def arguments(**options):
    """Options of a verb as on the command line."""
    given = []
    for name, value in options.items():
        text = ",".join(value) if isinstance(value, list) else str(value)
        given += [f"--{name.replace('_', '-')}", text]
    return given


ROLE_ARGUMENTS = arguments(**ROLES)
FIT_ARGUMENTS = [*ROLE_ARGUMENTS, *arguments(**FITTED)]
GENERATE = {name: FITTED[name] for name in FITTED if name in pg.GenerateOptions.__annotations__}
INJECT = ["--by", "host", "--order-by", "t", "--features", "cpu", "--count", "1", "--length", "5"]


def command(*given):
    return [sys.executable, "-m", "polars_genias", *map(str, given)]


def genias(*given, code=0, cwd=None):
    """Runs a command as in a pipe; stdout. A failure is one line, without a traceback."""
    done, stdout, stderr = in_this_process([str(word) for word in given], cwd)
    assert done == code, stderr
    if code == 0:
        assert stderr == ""  # quiet in a pipe
        return stdout
    assert stdout == ""
    assert stderr.startswith("genias"), stderr
    assert stderr.count("\n") == 1, stderr
    return stderr


def in_this_process(given, cwd=None):
    """Exit code, stdout and stderr of the script's function; warnings go to stderr."""
    stdout, stderr = io.StringIO(), io.StringIO()
    before = Path.cwd()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(stdout))
        stack.enter_context(contextlib.redirect_stderr(stderr))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")
        warnings.showwarning = show_warning
        stack.callback(os.chdir, before)
        os.chdir(cwd or before)
        try:
            code = cli.main(given)
        except SystemExit as ended:
            code = ended.code or 0
    return code, stdout.getvalue(), stderr.getvalue()


def show_warning(message, category, filename, lineno, _file=None, line=None):
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def refused(*given, cwd=None, code=1):
    """The error of a command that leaves everything as it was."""
    before = contents(cwd)
    error = genias(*given, code=code, cwd=cwd)
    assert contents(cwd) == before
    return error


def contents(folder):
    """Every file of a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(Path(folder).rglob("*"))
    }


def write_partitions(rows, folder, key="host"):
    for (value,), part in rows.group_by(key, maintain_order=True):
        (folder / f"{key}={value}").mkdir(parents=True)
        part.drop(key).write_parquet(folder / f"{key}={value}" / "part-0.parquet")


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def rows_of(folder):
    """All rows of a partitioned folder, keys as text."""
    found = []
    for path in sorted(Path(folder).rglob("*.parquet")):
        keys = dict(part.split("=", 1) for part in path.relative_to(folder).parts[:-1])
        texts = [pl.lit(value, pl.String).alias(key) for key, value in keys.items()]
        found.append(pl.read_parquet(path, hive_partitioning=False).with_columns(texts))
    return pl.concat(found)
