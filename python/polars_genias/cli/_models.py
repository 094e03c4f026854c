"""Descriptions of tables of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars_genias as pg
from polars_genias import _names as names
from polars_genias._files import is_remote
from polars_genias._models import (
    companion,
    is_parquet,
    model_column,
    model_table,
    model_value,
)
from polars_genias.cli import _inputs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import polars as pl

_MODEL = f"{names.OWN}described"


def find(given: argparse.Namespace) -> _inputs.Source | None:
    """The path of the models given by ``--models``, if any.

    Raises
    ------
    ValueError
        If the path does not exist.
    """
    path = getattr(given, "models", None)
    return None if path is None else at(path)


def at(path: str, role: str = "parameter `models`: ") -> _inputs.Source:
    """The models at a path or an address.

    Raises
    ------
    ValueError
        If the path does not exist.
    """
    if not (is_remote(path) or path == "-" or Path(path).exists()):
        msg = f"{role}no such file: {path}"
        raise ValueError(msg)
    return _inputs.find([path])[0]


def opened(
    source: _inputs.Source, types: Mapping[str, pl.DataType] | None = None
) -> pl.LazyFrame | bytes:
    """A table of models, or one model's bytes."""
    if source.remote:
        return _inputs.scan([source])
    only = Path(source.files[0].path)
    if source.folder is None and not is_parquet(only):
        return only.read_bytes()
    keys = source.files[0].keys
    return _inputs.scan([source], types={k: v for k, v in (types or {}).items() if k in keys})


def described(models: pl.LazyFrame | bytes) -> pl.DataFrame:
    """The keys of every model, and its row of `describe`."""
    table = model_table(models)
    column = model_column(table, [])
    about = pg.describe(model_value(table, column)).alias(_MODEL)
    beside = [column, companion(table, column)]
    table = table.with_columns(about).drop(name for name in beside if name is not None)
    return table.unnest(_MODEL).collect()
