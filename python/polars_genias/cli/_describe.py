"""``genias describe``: describes a table of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from polars_genias.cli import COMMANDS, _arguments, _models, _output, _run

if TYPE_CHECKING:
    import argparse

_SHOWN = ("window", "r2", "r2_pca", "psi", "patch_rate", "detector", "threshold", "steps", "health")


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    made = _run.Parser(
        command,
        "MODELS [options]",
        f"{COMMANDS[command].capitalize()}: one line per model, explained in docs/diagnostics.md. "
        "With --json or\n--output: all fields, including options and history.",
        "example: genias describe models.parquet",
    )
    made.add_argument("models", metavar="MODELS", help="output of `fit`")
    made.add_argument("--output", metavar="FILE", help="write Parquet instead of a table")
    _arguments.add_overwrite(made)
    return made


def run(given: argparse.Namespace) -> None:
    """Print or write the description of the models."""
    source = _models.at(given.models, "")
    sources = [source]
    target = given.output and _output.output(
        _output.Request("describe", given.output, overwrite=given.overwrite, sources=sources)
    )
    about = _models.described(_models.opened(source))
    if target:
        target.write(about.lazy())
    if given.json:
        _run.print_json(about.to_dicts())
    elif not target:
        keys = about.columns[: about.columns.index("format_version")]
        shown = about[[*keys, *_SHOWN]].with_columns(pl.col("health").list.join(", "))
        _run.print_table(shown)
