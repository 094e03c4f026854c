"""Concatenates files with different schemas: missing columns are null, numbers get a supertype."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _names as names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Schema = dict[str, pl.DataType]
_INTEGERS = {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_UNITS = ("ns", "us", "ms")


@dataclass(frozen=True)
class Part:
    """Rows with one schema, and their file or address."""

    frame: pl.LazyFrame
    schema: Schema
    source: str


def schemas(paths: Sequence[str]) -> list[Schema]:
    """The schema of every file.

    Raises
    ------
    ValueError
        If a file is not Parquet; names it.
    """
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(_schema, paths))


def _schema(path: str) -> Schema:
    try:
        with Path(path).open("rb") as file:  # Polars would read a path as a glob
            return dict(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{path}: not a Parquet file, or a damaged one ({str(error).splitlines()[0]})"
        raise ValueError(msg) from error


def together(parts: Sequence[Part]) -> pl.LazyFrame:
    """The concatenated rows of all parts.

    Raises
    ------
    ValueError
        If types are incompatible; names the column, the two types and the two files.
    """
    if len(parts) == 1:
        return parts[0].frame
    schema = _common(parts)
    return pl.concat([_as(part, schema) for part in parts])


def _common(parts: Iterable[Part]) -> Schema:
    schema: Schema = {}
    first: dict[str, str] = {}
    for part in parts:
        for name, dtype in part.schema.items():
            if name not in schema:
                schema[name], first[name] = dtype, part.source
                continue
            both = supertype(schema[name], dtype)
            if both is None:
                msg = (
                    f"column {name!r} is {schema[name]} in {first[name]} and {dtype} in "
                    f"{part.source}: convert one of them, or read them separately"
                )
                raise ValueError(msg)
            schema[name] = both
    return schema


def supertype(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """A type for the values of both to which Polars converts, or None."""
    if one == other or other == pl.Null:
        return one
    if one == pl.Null:
        return other
    kinds = {one.base_type(), other.base_type()}
    if kinds <= {pl.String, pl.Categorical, pl.Enum}:
        return pl.String()
    if isinstance(one, (pl.Datetime, pl.Duration)) and isinstance(
        other, (pl.Datetime, pl.Duration)
    ):
        same_zone = getattr(one, "time_zone", None) == getattr(other, "time_zone", None)
        finer = min(one, other, key=lambda dtype: ("ns", "us", "ms").index(str(dtype.time_unit)))
        return finer if len(kinds) == 1 and same_zone else None
    return _of_numbers(one, other) if one.is_numeric() and other.is_numeric() else None


def _of_times(one: Any, other: Any) -> pl.DataType | None:
    if getattr(one, "time_zone", None) != getattr(other, "time_zone", None):
        return None
    finer: pl.DataType = min(one, other, key=lambda dtype: _UNITS.index(dtype.time_unit))
    return finer


def _of_numbers(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    empty = [pl.DataFrame(schema={"x": dtype}) for dtype in (one, other)]
    try:
        found = pl.concat(empty, how="vertical_relaxed").schema["x"]
    except pl.exceptions.PolarsError:
        return None
    # For UInt64 and Int64 there is Float64, which cannot hold all of their values, or Int128,
    # which other Parquet readers do not support.
    wide = one.is_integer() and other.is_integer() and str(found) not in _INTEGERS
    return None if wide else found


def _as(part: Part, schema: Schema) -> pl.LazyFrame:
    """A part converted to a schema."""
    if list(part.schema.items()) == list(schema.items()):
        return part.frame
    shields = names.shields(schema)
    columns = []
    for name, dtype in schema.items():
        here = pl.col(shields.get(name, name)) if name in part.schema else pl.lit(None)
        changed = here if part.schema.get(name) == dtype else here.cast(dtype)
        columns.append(changed.alias(shields.get(name, name)))
    mine = {name: safe for name, safe in shields.items() if name in part.schema}
    return names.restored(names.renamed(part.frame, mine).select(columns), shields)
