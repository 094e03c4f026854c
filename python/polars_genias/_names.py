"""Column names as data.

Polars reads some names as patterns: ``pl.col("*")`` is every column, ``pl.col("^x.*$")`` those that
match. A user who names a column means that column. `LazyFrame.rename` takes every name literally,
in all versions of Polars, so columns with such names are renamed before a query and back after it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OWN = "__genias_"
"""Prefix of columns that only exist inside a query of the package."""


def is_pattern(name: str) -> bool:
    """Whether Polars reads a name as a pattern."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def shields(names: Iterable[str]) -> dict[str, str]:
    """Other names for those that Polars would read as patterns."""
    found = dict.fromkeys(name for name in names if is_pattern(name))
    return {name: f"{OWN}column_{number}" for number, name in enumerate(found)}


def renamed(frame: pl.LazyFrame, names: Mapping[str, str]) -> pl.LazyFrame:
    """The frame with some columns renamed; unchanged if there are none."""
    return frame.rename(dict(names)) if names else frame


def restored(frame: pl.LazyFrame, names: Mapping[str, str]) -> pl.LazyFrame:
    """Undoes `renamed`."""
    return renamed(frame, {safe: name for name, safe in names.items()})


def column(name: str) -> pl.Expr:
    """The column with exactly this name.

    Raises
    ------
    ValueError
        For a pattern, in versions of Polars that cannot select a column with such a name (1.30).
    """
    if not is_pattern(name):
        return pl.col(name)
    if not _selects_literally():
        msg = f"column {name!r}: Polars {pl.__version__} reads this name as a pattern; rename it"
        raise ValueError(msg)
    return cs.by_name(name).as_expr()


@cache
def _selects_literally() -> bool:
    frame = pl.DataFrame(schema={"a": pl.Int8, "^a$": pl.Int8})
    return frame.select(cs.by_name("^a$")).columns == ["^a$"]


def refuse_own(names: Iterable[str]) -> None:
    """Raises ValueError for a column named like one of the package's own."""
    for name in names:
        if name.startswith(OWN):
            msg = f"column {name!r}: names that begin with {OWN!r} are the package's own; rename it"
            raise ValueError(msg)


def refuse_twice(role: str, names: Iterable[str]) -> None:
    """Raises ValueError if a name is given twice."""
    seen = set()
    for name in names:
        if name in seen:
            msg = f"parameter `{role}`: column {name!r} is given twice"
            raise ValueError(msg)
        seen.add(name)
