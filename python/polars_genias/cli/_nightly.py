"""``genias nightly``: label the partitions of a dataset that have no labels yet."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg
from polars_genias._options import checked
from polars_genias.cli import COMMANDS, _arguments, _run
from polars_genias.cli._errors import UsageError
from polars_genias.cli._night import Job, log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ALARMED = 3
"""Exit code where there are as many alarms as `--fail-if-alarms` says."""

_EPILOG = """\
METRICS/day=2026-01-05/*.parquet -> LABELLED/day=2026-01-05/labels.parquet; MODELS is one file. Run
again, or after a night that was killed, it labels what is missing: the same bytes.
status: ok; refitted (with the reason: new, health, drift, little history); short; no_window;
infinite. Exit codes: 0 done; 1 failed, or no series got a label; 3 as many alarms as
--fail-if-alarms says.
example: genias nightly metrics labelled models.parquet --by host --order-by timestamp \\
             --alarms-per-day 0.1 --fail-if-alarms 1
"""


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    made = _run.Parser(
        command,
        "METRICS LABELLED MODELS --by COLUMNS --order-by COLUMN [options]",
        f"{COMMANDS[command].capitalize()}.",
        _EPILOG,
    )
    for name, text in (
        ("metrics", "folder with a folder key=value/ of Parquet per night"),
        ("labelled", "folder that gets the same with labels"),
        ("models", "table of models, Parquet; made on the first night"),
    ):
        made.add_argument(name, type=Path, metavar=name.upper(), help=text)
    _arguments.add_columns(made)
    job = made.add_argument_group("job")
    job.add_argument(
        "--train-days", type=int, default=7, metavar="N", help="last partitions to fit on (7)"
    )
    job.add_argument("--window", type=int, default=200, metavar="N", help="rows of a window (200)")
    job.add_argument("--seed", type=int, metavar="N", help="of the fits (0)")
    job.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="a series that fails ends the job, or gets null labels (raise)",
    )
    alarms = made.add_argument_group("alarms")
    for name, text in (
        ("alarms-per-day", "false alarms per day and series that are acceptable"),
        ("false-alarm-rate", "share of normal rows in alarms that is acceptable (0.01)"),
        ("min-change", "least movement of a feature, in its unit"),
    ):
        alarms.add_argument(f"--{name}", type=float, metavar="X", help=text)
    alarms.add_argument("--min-rows", type=int, metavar="N", help="fewest rows of an alarm")
    alarms.add_argument(
        "--fail-if-alarms", type=int, metavar="N", help="exit with 3 where there are N or more"
    )
    return made


_FITTING = ("window", "seed")
_LABELLING = ("alarms_per_day", "false_alarm_rate", "min_change", "min_rows")


def run(given: argparse.Namespace) -> int:
    """Label what is new, and say what became of it; the exit code."""
    job = _job(given)
    with _logging(given), _progress(given):
        nights = job.run()
    table = pl.concat(nights) if nights else None
    alarms = 0 if table is None else int(table["alarms"].sum())
    if given.json:
        _run.print_json(_summary(given, table, alarms))
    elif table is not None:
        _run.print_table(table)
    else:
        print("nothing new")
    if table is not None and not table["labelled"].sum():
        msg = "no series has a label: see the status of each"
        raise ValueError(msg)
    return ALARMED if given.fail_if_alarms is not None and alarms >= given.fail_if_alarms else 0


def _job(given: argparse.Namespace) -> Job:
    if not given.metrics.is_dir():
        msg = f"no such folder: {given.metrics}"
        raise ValueError(msg)
    if not given.by or len(given.order_by) != 1:
        msg = "give --by, and one column with --order-by"
        raise UsageError(msg)
    if given.fail_if_alarms is not None and given.fail_if_alarms < 1:
        msg = f"--fail-if-alarms {given.fail_if_alarms}: must be >= 1"
        raise UsageError(msg)
    features = _arguments.features(given.features)
    if isinstance(features, dict):
        msg = "--features: names without `=`; the models are fitted here"
        raise UsageError(msg)
    fitting, labelling = (_arguments.given_of(given, which) for which in (_FITTING, _LABELLING))
    try:
        checked(fitting, 1, "fit")
        checked(labelling, 1, "label")
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Job(
        *(given.metrics, given.labelled, given.models, given.by, given.order_by[0], features),
        train_days=given.train_days,
        window=given.window,
        skip=given.on_error == "skip",
        fitting=fitting,
        labelling=labelling,
    )


def _summary(given: argparse.Namespace, table: pl.DataFrame | None, alarms: int) -> dict[str, Any]:
    partitions = [] if table is None else table["partition"].unique(maintain_order=True).to_list()
    return {
        "command": given.command,
        "partitions": partitions,
        "alarms": alarms,
        "series": [] if table is None else table.to_dicts(),
    }


@contextmanager
def _logging(given: argparse.Namespace) -> Iterator[None]:
    """What the job logs goes to standard error, while it runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.WARNING if given.quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _progress(given: argparse.Namespace) -> Any:
    """How far fits are: on a terminal, and line by line in a log."""
    return pg.progress(file=sys.stderr, disable=bool(given.quiet))
