"""The command line: ``genias COMMAND``, or ``python -m polars_genias COMMAND``.

Only the script imports this package, and every command imports what it needs when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "make data, and go through the whole job with it",
    "fit": "fit a model per group",
    "generate": "put generated anomalies into the rows, with labels",
    "inject": "put classical anomalies into the rows, with labels; needs no model",
    "events": "a row for each anomaly that generate would put there",
    "pairs": "windows, beside the same windows with an anomaly",
    "score": "score every row: higher is more anomalous",
    "label": "label every row as anomalous or not",
    "alarms": "a row for each alarm whose rows label would mark",
    "nightly": "label the partitions that have no labels yet, with models that are kept",
    "evaluate": "metrics per group of scored or labelled rows",
    "describe": "what is in a table of models",
    "plot": "draw rows, scores, pairs or models",
}

_MODULES = dict.fromkeys(
    ("fit", "generate", "inject", "events", "pairs", "score", "label", "alarms"), "_verbs"
) | {name: f"_{name}" for name in ("demo", "nightly", "evaluate", "describe", "plot")}

_EPILOG = """\
genias COMMAND --help says more. Exit codes: 0 done; 1 the data or the work failed; 2 the command
line is wrong; 3 nightly has as many alarms as --fail-if-alarms says; 130 interrupted; 143 and 129
ended by SIGTERM and SIGHUP. An output appears when it is whole: until then, and after an error, what
was there stays.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    if arguments is None:
        _in_utf8()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in COMMANDS:
        _no_command(given)
        return 2
    from polars_genias.cli import _run

    command = given[0]
    module = importlib.import_module(f"polars_genias.cli.{_MODULES[command]}")
    return _run.guarded(module.parser(command), module.run, given[1:])


def _in_utf8() -> None:
    """Starts Python anew, where the locale is not UTF-8: Polars takes paths as UTF-8 only."""
    if sys.platform == "win32" or sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    program = ["-m", "polars_genias"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    command = [sys.executable, "-X", "utf8", *program, *sys.argv[1:]]
    os.execv(sys.executable, [os.fsencode(word) for word in command])  # noqa: S606


def _no_command(given: list[str]) -> None:
    """Answers ``--help`` and ``--version``, and refuses everything else; leaves by SystemExit."""
    from polars_genias import __version__

    commands = "\n".join(f"  {name:<10}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="genias",
        usage="genias COMMAND ...",
        description="Realistic, labelled time-series anomalies and anomaly scores, on Parquet.\n\n"
        f"commands:\n{commands}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"genias {__version__}")
    if given[:1] in (["--help"], ["-h"], ["--version"]):
        parser.parse_args(given[:1])
    wrong = f"no command {given[0]!r}" if given else "a command is needed"
    parser.exit(2, f"genias: {wrong}: one of {', '.join(COMMANDS)} (see genias --help)\n")
