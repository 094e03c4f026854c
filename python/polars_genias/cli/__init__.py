"""The command line: ``genias COMMAND``, or ``python -m polars_genias COMMAND``.

Only the script imports this package; every command imports its dependencies when it is called.
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
    "demo": "run the whole job on generated data",
    "fit": "fit a model per group",
    "generate": "add generated anomalies to the rows, with labels",
    "inject": "add classical anomalies to the rows, with labels; needs no model",
    "events": "list the anomalies of generate, one row each",
    "pairs": "write windows without and with an anomaly",
    "score": "score every row; higher is more anomalous",
    "label": "label every row as anomalous or not",
    "alarms": "list the alarms of label, one row each",
    "explain": "list the features to blame for each alarm, one row each",
    "expect": "add what every row should have been, with bounds",
    "sensitivity": "what label would catch: how small, how late, at how many false alarms",
    "nightly": "label the partitions that have no labels yet, with stored models",
    "evaluate": "compute metrics of scored or labelled rows per group",
    "describe": "describe a table of models",
    "plot": "draw rows, scores, pairs or models",
}

_MODULES = dict.fromkeys(
    (
        "fit",
        "generate",
        "inject",
        "events",
        "pairs",
        "score",
        "label",
        "alarms",
        "explain",
        "expect",
        "sensitivity",
    ),
    "_verbs",
) | {name: f"_{name}" for name in ("demo", "nightly", "evaluate", "describe", "plot")}

_EPILOG = """\
genias COMMAND --help shows the options. Exit codes: 0 success; 1 error in the data or the work;
2 error in the command line; 3 as many alarms as nightly --fail-if-alarms; 130 interrupted; 143 and
129 ended by SIGTERM and SIGHUP. An output is replaced when the new one is complete: until then, and
after an error, the old one stays.
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
    """Restarts Python in UTF-8 mode if the locale is not UTF-8: Polars needs UTF-8 paths."""
    if sys.platform == "win32" or sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8":
        return
    program = ["-m", "polars_genias"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    command = [sys.executable, "-X", "utf8", *program, *sys.argv[1:]]
    os.execv(sys.executable, [os.fsencode(word) for word in command])  # noqa: S606


def _no_command(given: list[str]) -> None:
    """Handles ``--help`` and ``--version``, and rejects everything else; raises SystemExit."""
    from polars_genias import __version__

    commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
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
