"""Names for what the verbs accept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

import polars as pl

IntoColumn = Union[str, pl.Expr, pl.Series]
"""A column: its name, or an expression."""

Keys = Union[str, Sequence[str]]
"""One column name or several."""

Features = Union[str, Sequence[str], Mapping[str, str]]
"""Feature columns; a mapping gives the name under which the model knows each."""

IntoModel = Union[bytes, Path, str, pl.Expr]
"""One model: bytes, a file, or a column (its name or an expression)."""

IntoModels = Union[bytes, Path, str, pl.DataFrame, pl.LazyFrame, pl.Expr]
"""Models of a frame: a table of them, a file (Parquet table, or one model), bytes, a column."""
