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
from polars_genias._models import at_hand, is_among, is_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from polars_genias._frames import Inputs
    from polars_genias._types import IntoModels

_MEMORY_MB = 192
"""Default of ``GENIAS_MEMORY_MB``."""
_SLICE = 100_000
"""Rows that a query gets at once."""
_ROW = f"{names.OWN}row"
_FIRST, _LAST, _ROWS, _BATCH = (f"{names.OWN}{name}" for name in ("first", "last", "rows", "batch"))


class Asked(Protocol):
    """The part of a result that a query needs, for some groups; `kept` are additional columns."""

    def __call__(self, part: Inputs, kept: Sequence[str] = ()) -> pl.LazyFrame: ...


def in_batches(
    at: Inputs, models: IntoModels | None, asked: Asked, *, keeps_rows: bool
) -> Iterator[pl.DataFrame]:
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
    with tempfile.TemporaryDirectory(prefix="genias-", ignore_cleanup_errors=True) as folder:
        at = replace(at, models=at_hand(models, at.by, Path(folder)))
        if keeps_rows and not one_after_another:
            yield from _merged(at, parts, asked, most, Path(folder))
            return
        for part in parts:
            yield from _in_slices(collected(asked(only(at, part))))


def collected(query: pl.LazyFrame) -> pl.DataFrame:
    """The rows of a query, by the engine that does not copy columns."""
    return query.collect(engine="in-memory")


def only(at: Inputs, keys: pl.DataFrame) -> Inputs:
    """The groups with these keys; columns are named as in `safe_keys`."""
    first, frame = at.by[0], at.frame
    if is_plain(at.schema[first]):
        # Unlike a join, a condition reaches the source.
        frame = frame.filter(is_among(names.column(first), keys.to_series(0)))
        if len(at.by) == 1:
            return replace(at, frame=frame, keys=keys)
    frame = names.renamed(frame, at.shields).join(
        keys.lazy(), on=safe_keys(at), how="semi", nulls_equal=True, maintain_order="left"
    )
    return replace(at, frame=names.restored(frame, at.shields), keys=keys)


def _in_slices(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield some rows at a time, so that most are processed before the next batch begins."""
    yield from rows.iter_slices(_SLICE)


def safe_keys(at: Inputs) -> list[str]:
    """The names of the keys in `at.shielded`."""
    return [at.shields.get(name, name) for name in at.by]


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
    # The input columns; per feature, the values read, the new values, and a mask; per row, its time
    # and its anomaly.
    width = sum(map(_width, at.schema.values())) + 24 * len(at.features) + 48
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
    groups = found.collect(engine="streaming")
    return groups.with_columns(pl.Series(_BATCH, _numbers(groups[_ROWS], most)))


def _numbers(rows: Iterable[int], most: int) -> list[int]:
    """The batch of each group, from their numbers of rows: at most `most` rows, or one group."""
    numbers, filled = [0], 0
    for number_of_rows in rows:
        full = filled > 0 and filled + number_of_rows > most
        numbers.append(numbers[-1] + full)
        filled = number_of_rows if full else filled + number_of_rows
    return numbers[1:]


def _last_row() -> pl.Expr:
    """The last row of a group with consecutive rows."""
    return pl.col(_FIRST) + pl.col(_ROWS) - 1


def _merged(
    at: Inputs, parts: Sequence[pl.DataFrame], asked: Asked, most: int, folder: Path
) -> Iterator[pl.DataFrame]:
    """Yield the results of all parts in the order of the rows, through files in `folder`."""
    numbered = replace(at, frame=at.frame.with_row_index(_ROW))
    for number, part in enumerate(parts):
        asked(only(numbered, part), [_ROW]).sink_parquet(folder / f"{number:06}.parquet")
    waiting = pl.scan_parquet(folder / "*.parquet")
    end = waiting.select(pl.col(_ROW).max()).collect().item()
    for start in range(0, 0 if end is None else end + 1, most):
        here = pl.col(_ROW).is_between(start, start + most, closed="left")
        yield waiting.filter(here).sort(_ROW).drop(_ROW).collect()
