"""What commands read and where they write: files, globs and partitioned folders of Parquet."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _frames as frames
from polars_genias._files import replacing, sink_parquet
from polars_genias.cli._run import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSIDE = "/**/*.parquet"


def scan(paths: Sequence[str], where: str | None = None) -> pl.LazyFrame:
    """The rows of files, globs, folders and addresses such as ``s3://``, one after another.

    Folders and globs over ``key=value`` parts have the keys as columns. `where` is an SQL
    condition.
    """
    if len(paths) > 1 and all(Path(path).is_file() for path in paths):
        keys = any(_keys_in(path) for path in paths)
        frame = pl.scan_parquet(list(paths), glob=False, hive_partitioning=keys)
    else:
        frame = pl.concat([_scan(path) for path in paths])
    return frame if where is None else frame.filter(_condition(where))


def _scan(path: str) -> pl.LazyFrame:
    if _is_remote(path):
        return pl.scan_parquet(path)
    if Path(path).is_file():
        return pl.scan_parquet(path, glob=False)
    if Path(path).is_dir():
        # Not the folder itself: what a killed process left in it would be read, too.
        pattern = glob.escape(path.rstrip("/") or "/") + _INSIDE
        if not _found(pattern):
            return pl.scan_parquet(path, glob=False)
    else:
        pattern = path
        if any(Path(found).is_dir() for found in glob.iglob(path, recursive=True)):  # noqa: PTH207
            pattern = path.rstrip("/") + _INSIDE
        if not _found(pattern):
            says = "no file matches" if glob.has_magic(path) else "no such file or folder:"
            msg = f"{says} {path}"
            raise ValueError(msg)
    return pl.scan_parquet(pattern, hive_partitioning=bool(_keys_in(_found(pattern))))


def _is_remote(path: str) -> bool:
    return "://" in path


def _found(pattern: str) -> str:
    """The first file that a pattern matches; empty where there is none."""
    return next(glob.iglob(pattern, recursive=True), "")  # noqa: PTH207


def _keys_in(path: str) -> list[str]:
    """The keys of the ``key=value`` parts of a file's path."""
    parts = Path(path).parts[:-1]
    return [found[1] for part in parts if (found := re.match(r"([^=]+)=", part))]


def hive_keys(path: str) -> list[str]:
    """By which keys a folder is partitioned."""
    if not Path(path).is_dir():
        return []
    first = _found(glob.escape(path.rstrip("/")) + _INSIDE)
    return _keys_in(str(Path(first).relative_to(path))) if first else []


def _condition(where: str) -> pl.Expr:
    try:
        return pl.sql_expr(where)
    except pl.exceptions.PolarsError as error:
        msg = f"--where {where!r}: {error}"
        raise UsageError(msg) from error


@dataclass(frozen=True)
class Output:
    """A file, or a folder with a ``key=value`` folder per value of `keys`, that is to be written.

    Links are followed, so that what they point at is replaced and not they.
    """

    path: Path
    keys: list[str]

    def write(self, frame: pl.LazyFrame) -> None:
        """Run the query; what was there stays until all of it is written."""
        if not self.keys:
            sink_parquet(frame, self.path)
            return
        schema = frame.collect_schema()
        for key in self.keys:
            frames.require(schema, "partition_by", key)
        with replacing(self.path) as beside:
            beside.mkdir()
            frame.sink_parquet(_by_key(beside, self.keys), mkdir=True)
            if not any(beside.iterdir()):
                msg = "there are no rows, and so no partition to write"
                raise ValueError(msg)


def _by_key(folder: Path, keys: list[str]) -> Any:
    """Where Polars writes a file per key; the class was renamed between its releases."""
    polars: Any = pl
    if hasattr(pl, "PartitionBy"):
        return polars.PartitionBy(folder, key=keys, include_key=False)
    return polars.PartitionByKey(folder, by=keys, include_key=False)


def output(path: str, partition_by: Sequence[str], usual: Sequence[str], overwrite: bool) -> Output:
    """What `path` stands for: a folder if keys are given, if it ends in a slash, or if it is one.

    Raises
    ------
    UsageError
        For an address, and a folder without keys.
    ValueError
        For what exists and may not be replaced.
    """
    if _is_remote(path):
        msg = f"{path}: an output is a local path; copy it when it is whole"
        raise UsageError(msg)
    target = Path(path).resolve()
    keys = list(partition_by)
    if not keys and (path.endswith("/") or target.is_dir()):
        keys = list(usual)
        if not keys:
            msg = f"{path}: give --partition-by, the columns that name its folders, or a file"
            raise UsageError(msg)
    replaceable(target, overwrite=overwrite, folder=bool(keys))
    return Output(target, keys)


def replaceable(path: Path, *, overwrite: bool, folder: bool = False) -> None:
    """Refuses an output that exists, unless it may be replaced and holds nothing else.

    Raises
    ------
    ValueError
        Saying what is in the way.
    """
    if not path.exists():
        return
    if not overwrite:
        msg = f"{path} exists; --overwrite replaces it when the new one is whole"
        raise ValueError(msg)
    if path.is_dir() != folder:
        kinds = ("a folder", "a file") if folder else ("a file", "a folder")
        msg = f"{path}: the output is {kinds[0]}, and {kinds[1]} is in its place"
        raise ValueError(msg)
    if folder:
        for inside in path.rglob("*"):
            if inside.is_file() and not re.match(r"[._]|.*\.parquet$", inside.name):
                msg = f"{path} holds other files than Parquet ({inside}) and is not replaced"
                raise ValueError(msg)
