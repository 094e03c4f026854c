"""Partitioned folders: a Parquet file for each value of the keys, in ``key=value/``."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _names as names
from polars_genias._features import require
from polars_genias._replace import files_in
from polars_genias.cli import _keys
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias.cli._output import Request

PART = f"{names.OWN}part"
"""Column with the number of a row's partition."""
_REMAINS = re.compile(r"\.genias-[0-9a-f]{12}|\..+\.[0-9a-f]{32}(\.old)?")
"""Names of files and folders left by killed processes."""


def check(schema: pl.Schema, keys: Sequence[str]) -> None:
    """Raises ValueError for a key that is no column, or whose values cannot name folders."""
    for key in keys:
        require(schema, "partition_by", key)
        dtype = schema[key]
        if dtype.is_nested() or dtype.base_type() in (pl.Binary, pl.Object, pl.Duration):
            msg = f"parameter `partition_by` = {key!r}: values of {dtype} cannot name folders"
            raise ValueError(msg)
    if keys and not set(schema) - set(keys):
        msg = f"parameter `partition_by` = {list(keys)}: no column is left for the files"
        raise ValueError(msg)


def chosen(asked: Request, *, folder: bool) -> list[str]:
    """The keys of an output `folder`: those asked for, else the usual ones; empty for a file.

    Raises
    ------
    UsageError
        For a folder without keys.
    """
    keys = list(asked.partition_by)
    if not keys and folder:
        keys = list(asked.usual)
        if not keys and asked.parquet:
            msg = f"{asked.path}: give --partition-by, the columns that name its folders, or a file"
            raise UsageError(msg)
    names.refuse_twice("partition_by", keys)
    return keys


def write(
    frame: pl.LazyFrame, folder: Path, keys: Sequence[str], metadata: Mapping[str, str]
) -> None:
    """Run the query into a new folder.

    Polars writes a folder per number, since it reads some names as patterns and confuses some
    values; the folders are renamed at the end.

    Raises
    ------
    ValueError
        If there are no rows, or a value of a key is too long for a folder name.
    """
    folder.mkdir()
    parts = Numbered(frame, keys)
    parts.frame.sink_parquet(_by_part(folder), mkdir=True, metadata=dict(metadata) or None)
    written = list(folder.iterdir())
    if not written:
        msg = "there are no rows, so there is no partition to write"
        raise ValueError(msg)
    for part in written:
        _rename(part, folder / parts.folders[int(part.name.partition("=")[2])])


def _by_part(folder: Path) -> Any:
    """A Polars sink with a file per part; the class was renamed between releases."""
    polars: Any = pl
    if hasattr(pl, "PartitionBy"):
        return polars.PartitionBy(folder, key=PART, include_key=False)
    return polars.PartitionByKey(folder, by=PART, include_key=False)


def _rename(part: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.rename(path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        msg = f"parameter `partition_by`: {path.name[:60]}... is too long for a folder name"
        raise ValueError(msg) from error


class Numbered:
    """The rows of a query with the number of their partition, instead of its keys.

    `folders` has the folder of every number once the query has run.
    """

    def __init__(self, frame: pl.LazyFrame, keys: Sequence[str]) -> None:
        shields = names.shields(keys)
        safe = [shields.get(key, key) for key in keys]
        numbers = _Numbers(keys)
        texts = pl.struct(pl.col(key).cast(pl.String).alias(f"{i}") for i, key in enumerate(safe))
        parts = texts.map_batches(numbers, return_dtype=pl.String, is_elementwise=True)
        self.frame = names.renamed(frame, shields).with_columns(parts.alias(PART)).drop(safe)
        self.folders = numbers.folders


class _Numbers:
    """Numbers the values of keys, in batches of rows."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.folders: list[str] = []
        self._numbers: dict[tuple[str | None, ...], int] = {}
        self._lock = threading.Lock()

    def __call__(self, values: pl.Series) -> pl.Series:
        """The number of each row's values, as text."""
        rows = values.struct.unnest()
        different = rows.unique(maintain_order=True)
        numbers = [str(self._number(row)) for row in different.iter_rows()]
        different = different.with_columns(pl.Series(PART, numbers, dtype=pl.String))
        on = rows.columns
        found = rows.join(different, on=on, how="left", nulls_equal=True, maintain_order="left")
        return found[PART].alias(values.name)

    def _number(self, row: tuple[str | None, ...]) -> int:
        with self._lock:
            if row not in self._numbers:
                self._numbers[row] = len(self.folders)
                parts = [_keys.folder(k, value) for k, value in zip(self.keys, row, strict=True)]
                self.folders.append(str(Path(*parts)))
            return self._numbers[row]


def check_layout(folder: Path, keys: Sequence[str]) -> None:
    """Raises ValueError for a folder whose files are not partitioned by these keys."""
    for found in files_in(folder):
        here = list(_keys.keys_in(str(found.relative_to(folder))))
        if found.suffix == ".parquet" and not found.name.startswith(".") and here != list(keys):
            msg = f"{found}: the folder is not partitioned by {', '.join(keys)}; write to another"
            raise ValueError(msg)


def carry(old: Path, new: Path, keys: Sequence[str], *, hidden_only: bool) -> None:
    """Links the files of the old folder that the new one does not replace.

    These are all files outside of the new partitions; with `hidden_only`, only hidden files. Files
    left by killed processes are skipped. Files are linked, not copied.

    Raises
    ------
    ValueError
        If a partition contains other files than Parquet.
    """
    if not old.is_dir():
        return
    replaced = {_values(found.relative_to(new)) for found in files_in(new)}
    for found in files_in(old):
        inside = found.relative_to(old)
        if any(_REMAINS.fullmatch(part) for part in inside.parts):
            continue
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden_only and not hidden:
            continue
        if not hidden and not hidden_only and _values(inside) in replaced and keys:
            if found.suffix == ".parquet":
                continue
            msg = f"{found.parent} is not replaced: it holds {found.name}"
            raise ValueError(msg)
        _link(found, new / inside)


def _values(inside: Path) -> tuple[tuple[str, str | None], ...]:
    return tuple(_keys.keys_in(str(inside)).items())


def _link(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_symlink():
        new.symlink_to(old.readlink())
        return
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
