"""Processes large frames in batches of groups, so that memory depends on the batch.

``GENIAS_MEMORY_MB`` limits the number of rows per batch. A smaller frame is a single batch, and
only its length is computed beforehand.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from polars_genias import _names as names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polars_genias._frames import Inputs

_MEMORY_MB = 256
"""Default of ``GENIAS_MEMORY_MB``."""
_ROW = f"{names.OWN}row"
_FIRST, _LAST, _ROWS, _BATCH = (f"{names.OWN}{name}" for name in ("first", "last", "rows", "batch"))


class Asked(Protocol):
    """The part of a result that a query needs, for some groups; `kept` are additional columns."""

    def __call__(self, part: Inputs, kept: Sequence[str] = ()) -> pl.LazyFrame: ...


def in_batches(at: Inputs, asked: Asked, *, keeps_rows: bool) -> Iterator[pl.DataFrame]:
    """Yield the results of all groups, equal to those of a single call on all groups.

    `keeps_rows`: whether the result has the rows of the input, in their order; otherwise it is
    ordered by groups.
    """
    most = _most_rows(at)
    groups = _groups(at, most) if at.by and _length(at.frame) > most else None
    if groups is None or groups[_BATCH].n_unique() == 1:
        yield collected(asked(at))
        return
    one_after_another = groups.select((_last_row() == pl.col(_LAST)).all()).item()
    parts = [
        part.select(safe_keys(at)) for part in groups.partition_by(_BATCH, maintain_order=True)
    ]
    if keeps_rows and not one_after_another:
        yield from _merged(at, parts, asked, most)
        return
    for part in parts:
        yield collected(asked(only(at, part)))


def collected(query: pl.LazyFrame) -> pl.DataFrame:
    """The rows of a query, by the engine that does not copy columns."""
    return query.collect(engine="in-memory")


def only(at: Inputs, keys: pl.DataFrame) -> Inputs:
    """The groups with these keys; columns are named as in `safe_keys`."""
    first, frame = at.by[0], at.frame
    if _is_plain(at.schema[first]):
        # Unlike a join, a condition reaches the source.
        values = keys.to_series(0).unique().implode()
        frame = frame.filter(names.column(first).is_in(values, nulls_equal=True))
        if len(at.by) == 1:
            return replace(at, frame=frame)
    frame = names.renamed(frame, at.shields).join(
        keys.lazy(), on=safe_keys(at), how="semi", nulls_equal=True, maintain_order="left"
    )
    return replace(at, frame=names.restored(frame, at.shields))


def safe_keys(at: Inputs) -> list[str]:
    """The names of the keys in `at.shielded`."""
    return [at.shields.get(name, name) for name in at.by]


def _is_plain(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype.is_temporal() or dtype in (pl.String, pl.Boolean)


def _most_rows(at: Inputs) -> int:
    """Maximum number of input rows per batch."""
    given = os.environ.get("GENIAS_MEMORY_MB", str(_MEMORY_MB))
    try:
        bytes_ = float(given) * 2**20
    except ValueError:
        bytes_ = -1.0
    if not bytes_ > 0:
        msg = f"environment variable GENIAS_MEMORY_MB = {given!r}: must be a number > 0"
        raise ValueError(msg)
    # The input columns and, per feature, the values read, the new values, and a mask.
    width = sum(map(_width, at.schema.values())) + 24 * len(at.features)
    return max(1, int(bytes_ / width))


def _width(dtype: pl.DataType) -> int:
    """Approximate bytes per value in memory."""
    return 8 if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean else 24


def _length(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())


def _groups(at: Inputs, most: int) -> pl.DataFrame:
    """The keys in order of first appearance, with the position of their rows and their batch."""
    safe = safe_keys(at)
    rows = pl.col(_ROW)
    found = (
        at.shielded.select(safe)
        .with_row_index(_ROW)
        .group_by(safe)
        .agg(rows.min().alias(_FIRST), rows.max().alias(_LAST), pl.len().alias(_ROWS))
        .sort(_FIRST)
    )
    before = pl.col(_ROWS).cast(pl.UInt64).cum_sum() - pl.col(_ROWS)
    return found.with_columns((before // most).alias(_BATCH)).collect(engine="streaming")


def _last_row() -> pl.Expr:
    """The last row of a group with consecutive rows."""
    return pl.col(_FIRST) + pl.col(_ROWS) - 1


def _merged(
    at: Inputs, parts: Sequence[pl.DataFrame], asked: Asked, most: int
) -> Iterator[pl.DataFrame]:
    """Yield the results of all parts in the order of the rows, through temporary files."""
    numbered = replace(at, frame=at.frame.with_row_index(_ROW))
    with tempfile.TemporaryDirectory(prefix="genias-") as folder:
        for number, part in enumerate(parts):
            asked(only(numbered, part), [_ROW]).sink_parquet(Path(folder, f"{number:06}.parquet"))
        waiting = pl.scan_parquet(Path(folder, "*.parquet"))
        end = waiting.select(pl.col(_ROW).max()).collect().item()
        for start in range(0, 0 if end is None else end + 1, most):
            here = pl.col(_ROW).is_between(start, start + most, closed="left")
            yield waiting.filter(here).sort(_ROW).drop(_ROW).collect()
