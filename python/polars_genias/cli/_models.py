"""Tables of models as rows of what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

import polars_genias as pg
from polars_genias._models import model_column, opened

if TYPE_CHECKING:
    from pathlib import Path


def described(path: Path) -> pl.DataFrame:
    """The keys of every model of a file, and what `describe` says of it."""
    models = opened(path)
    if isinstance(models, bytes):
        models = pl.LazyFrame({"model": [models]})
    column = model_column(models, [])
    return models.with_columns(pg.describe(column)).unnest(column).collect()
