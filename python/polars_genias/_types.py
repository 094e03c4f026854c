"""Types of the verbs' arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, Union

import polars as pl


class Table(Protocol):
    """A frame of Polars, pandas, pyarrow, DuckDB or another library that exports Arrow."""

    @property
    def columns(self) -> Any:
        """Its columns, or their names."""


Frame = TypeVar("Frame", bound=Table)
"""Type of the input frame and of the result."""

IntoColumn = Union[str, pl.Expr, pl.Series]
"""A column: its name, or an expression."""

Keys = Union[str, Sequence[str]]
"""One column name or several."""

Features = Union[str, Sequence[str], Mapping[str, str], pl.Expr]
"""Feature columns: names, a selector of Polars, or a mapping that gives the name under which the
model knows each."""

IntoModel = Union[bytes, Path, str, pl.Expr]
"""One model: bytes, a file, or a column (its name or an expression)."""

IntoModels = Union[bytes, Path, str, pl.Expr, Table]
"""Models of a frame: a table of them, a file (Parquet table, or one model), bytes, a column."""

Where = Union[str, pl.Expr]
"""Rows that anomalies may be put on: a Boolean column (its name), or an expression of one."""
