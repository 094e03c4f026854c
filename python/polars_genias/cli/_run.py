"""Runs a command: exit code, one-line errors, progress and summary."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import re
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

import polars_genias as pg
from polars_genias.cli import _arguments, _inputs, _signals
from polars_genias.cli._errors import EndedBySignal, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """A parser with one-line errors."""

    def __init__(self, command: str, usage: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"genias {command}",
            usage=f"genias {command} {usage}",
            description=description,
            epilog=epilog or None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        run = self.add_argument_group("run")
        run.add_argument("--json", action="store_true", help="a summary as JSON on stdout")
        run.add_argument("--quiet", action="store_true", help="no progress on a terminal")
        run.add_argument("--debug", action="store_true", help="errors with their traceback")

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            near = difflib.get_close_matches(unknown[1], self._option_string_actions, 1)
            message = f"no option {unknown[1]}" + (f"; did you mean {near[0]}?" if near else "")
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def guarded(parser: Parser, run: Callable[[Any], int | None], arguments: Sequence[str]) -> int:
    """Parse and run a command, and return its exit code."""
    given = parser.parse_intermixed_args(_arguments.normalised(arguments))
    given.command = parser.prog.split()[-1]
    code = INTERRUPTED
    try:
        with _signals.listening() as ended:
            code = _run(parser, run, given, ended)
    except KeyboardInterrupt:  # at the very end, after all output
        return code
    return code


def _run(
    parser: Parser,
    run: Callable[[Any], int | None],
    given: argparse.Namespace,
    ended: _signals.Ended,
) -> int:
    code: int | None = 0
    try:
        with _inputs.spooling():
            code = run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UsageError as error:
        return _failed(parser, given, error, USAGE)
    except KeyboardInterrupt as error:
        return _interrupted(parser, given, error, ended)
    # Panics of Polars are not Exceptions.
    except (Exception, pl.exceptions.PanicException) as error:
        if ended.number is not None:
            return _interrupted(parser, given, error, ended)
        return _failed(parser, given, error, FAILED)
    return code or 0


def _interrupted(
    parser: Parser, given: argparse.Namespace, error: BaseException, ended: _signals.Ended
) -> int:
    if ended.number is None:
        return _failed(parser, given, error, INTERRUPTED)
    return _failed(parser, given, EndedBySignal(ended.name), 128 + ended.number)


def _failed(parser: Parser, given: argparse.Namespace, error: BaseException, code: int) -> int:
    if given.debug:
        traceback.print_exception(error)
    hint = f" (see {parser.prog} --help)" if code == USAGE else ""
    with suppress(OSError):  # the terminal is closed
        print(f"{parser.prog}: {_one_line(parser, error)}{hint}", file=sys.stderr)
    return code


def _one_line(parser: Parser, error: BaseException) -> str:
    """The text of an error, without the query plan, and with the names of options."""
    if isinstance(error, KeyboardInterrupt):
        how = f"ended by {error}" if isinstance(error, EndedBySignal) else "interrupted"
        return f"{how}; an incomplete output was removed"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split("\n\n")[0].split())
    text = text.removeprefix("the plugin failed with message: ")
    options = parser._option_string_actions

    def as_option(match: re.Match[str]) -> str:
        option = "--" + match[1].replace("_", "-")
        return option if option in options else match[0]

    return re.sub(r"parameter `(\w+)`", as_option, text) or type(error).__name__


def drawing(module: str, needs: str) -> Any:
    """Import a drawing module of the package.

    Raises
    ------
    ModuleNotFoundError
        With the missing module and its extra, before any work.
    """
    try:
        importlib.import_module("altair")
        return importlib.import_module(f"{pg.__name__}.{module}")
    except ModuleNotFoundError as error:
        msg = f'{needs} {error.name}: pip install "polars-genias[plot]"'
        raise ModuleNotFoundError(msg, name=error.name) from error


def progress(given: argparse.Namespace) -> AbstractContextManager[Any]:
    """Shows the progress of a query on a terminal."""
    return pg.progress(disable=True if given.quiet else None)


def on_terminal(given: argparse.Namespace) -> bool:
    """Whether to print the end of a command to a terminal."""
    return sys.stderr.isatty() and not given.quiet


def finished(given: argparse.Namespace, line: str, summary: dict[str, Any]) -> None:
    """Ends a command with a line on a terminal, or JSON if requested."""
    if on_terminal(given):
        print(f"genias {given.command}: {line}", file=sys.stderr)
    if given.json:
        print_json(summary)


def print_json(value: Any) -> None:
    """Write JSON to stdout; values without a JSON type become text."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, default=str)
    print(text)


def print_table(table: pl.DataFrame) -> None:
    """Write a complete table to stdout, independent of the width of the terminal."""
    layout: dict[str, Any] = {
        "tbl_rows": -1,
        "tbl_cols": -1,
        "tbl_width_chars": 2000,
        "fmt_str_lengths": 60,
        "fmt_table_cell_list_len": 10,
        "float_precision": 3,
        "tbl_hide_dataframe_shape": True,
        "tbl_hide_column_data_types": True,
        "tbl_formatting": "UTF8_BORDERS_ONLY",
    }
    with pl.Config(**layout):
        print(table)
