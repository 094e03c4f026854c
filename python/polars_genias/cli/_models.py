"""Tables of models as rows of what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars_genias as pg
from polars_genias._models import model_column, model_table

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def described(path: Path) -> pl.DataFrame:
    """The keys of every model of a file, and what `describe` says of it."""
    models = model_table(path)
    column = model_column(models, [])
    return models.with_columns(pg.describe(column)).unnest(column).collect()
