"""Tables of models as rows of what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

import polars_genias as pg
from polars_genias._models import _model_column, _open

if TYPE_CHECKING:
    from pathlib import Path


def described(path: Path) -> pl.DataFrame:
    """The keys of every model of a file, and what `describe` says of it."""
    opened = _open(path)
    if isinstance(opened, bytes):
        opened = pl.LazyFrame({"model": [opened]})
    column = _model_column(opened, [])
    return opened.with_columns(pg.describe(column)).unnest(column).collect()
