"""The input rows of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from polars_genias.cli import _inputs
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def read(sources: Sequence[_inputs.Source], given: argparse.Namespace) -> pl.LazyFrame:
    """The rows of all inputs for which ``--where`` holds."""
    return _inputs.scan(sources, condition(given.where), key_types(given))


def before(sources: Sequence[_inputs.Source], given: argparse.Namespace) -> pl.LazyFrame:
    """The rows of ``--history``; ``--where`` is a condition on INPUT only."""
    keys = {key for source in sources for file in source.files for key in file.keys}
    remote = any(source.remote for source in sources)
    types = {key: kind for key, kind in key_types(given).items() if remote or key in keys}
    return _inputs.scan(sources, types=types)


def key_types(given: argparse.Namespace) -> dict[str, pl.DataType]:
    """The types of keys on the command line."""
    return dict(given.key_types)


def condition(where: str | None, option: str = "where") -> pl.Expr | None:
    """``--where``, or another option, as an expression.

    Raises
    ------
    UsageError
        For invalid SQL, and for names that Polars would read as patterns.
    """
    if where is None:
        return None
    try:
        found = pl.sql_expr(where)
        patterns = found.meta.has_multiple_outputs()
    except pl.exceptions.PolarsError as error:
        msg = f"--{option} {where!r}: {error}"
        raise UsageError(msg) from error
    if patterns:
        msg = f"--{option} {where!r}: Polars reads * and ^...$ as patterns; rename the column"
        raise UsageError(msg)
    return found
