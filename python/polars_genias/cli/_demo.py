"""``genias demo``: the whole job on generated data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from polars_genias.cli import COMMANDS, _run

if TYPE_CHECKING:
    import argparse


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    made = _run.Parser(
        command,
        "FOLDER [options]",
        f"{COMMANDS[command].capitalize()}. Replaces the output of an earlier demo.\n"
        'Needs the extra: pip install "polars-genias[plot]"',
        "example: genias demo demo-output --hosts 4 --rows 5000",
    )
    made.add_argument("folder", type=Path, metavar="FOLDER", help="where everything is written")
    made.add_argument("--hosts", type=int, default=12, metavar="N", help="series (12)")
    made.add_argument("--rows", type=int, default=20_000, metavar="N", help="rows of each (20000)")
    made.add_argument(
        "--steps", type=int, default=400, metavar="N", help="most of a training (400)"
    )
    return made


def run(given: argparse.Namespace) -> None:
    """Generate the data, run the job, and print the summary per host."""
    demo = _run.drawing("demo", "the demo needs")
    size = demo.Size(given.hosts, given.rows, given.steps)
    started = time.perf_counter()
    with _run.progress(given):
        table, written = demo.run_and_draw(given.folder, size)
    seconds = time.perf_counter() - started
    if given.json:
        _run.print_json(
            {
                "command": "demo",
                "written": {name: str(path) for name, path in written.items()},
                "hosts": table.to_dicts(),
                "seconds": round(seconds, 3),
            }
        )
    else:
        demo.report(table, written, size, seconds)
