"""The command line, called as users call it: as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl

import polars_genias as pg
from conftest import FAST

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


def genias(*given, code=0, cwd=None, env=None):
    """Runs a command in a pipe; stdout. A failure is one line, without a traceback."""
    done = subprocess.run(
        command(*given),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        timeout=120,
        env=os.environ | (env or {}),
    )
    assert done.returncode == code, done.stderr
    if code == 0:
        assert done.stderr == ""  # quiet in a pipe
        return done.stdout
    assert done.stdout == ""
    assert done.stderr.startswith("genias"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


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
