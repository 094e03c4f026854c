"""Inputs of commands: Parquet files, globs, partitioned folders and pipes."""

from __future__ import annotations

import glob
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from polars_genias import _names as names
from polars_genias._files import is_remote
from polars_genias._replace import recover, temporary_folder
from polars_genias.cli import _keys, _schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATH = f"{names.OWN}path"
_ENDING = ".parquet"


@dataclass(frozen=True)
class File:
    """A file, and the keys in its path."""

    path: str
    keys: Mapping[str, str | None]


@dataclass(frozen=True)
class Source:
    """One INPUT of the command line."""

    given: str
    files: list[File]
    folder: Path | None = None
    """The input folder, with links resolved."""
    pattern: str | None = None
    """The input glob."""
    remote: bool = False
    spooled: bool = False


_spool: list[Path] = []
"""Folder for the contents of pipes while a command runs."""


@contextmanager
def spooling() -> Iterator[None]:
    """Provides a folder for the contents of pipes, and removes it at the end."""
    with temporary_folder() as folder:
        _spool.append(folder)
        try:
            yield
        finally:
            _spool.pop()


def find(paths: Sequence[str]) -> list[Source]:
    """The files of every INPUT.

    Raises
    ------
    ValueError
        If an input does not exist, is an empty folder, a device or a socket, or if a file lies
        outside of the folders of its keys.
    """
    several = len(paths) > 1 and all(Path(path).is_file() for path in paths)
    return [_source(path, several=several) for path in paths]


def _source(given: str, *, several: bool) -> Source:
    if is_remote(given):
        return Source(given, [], remote=True)
    path = Path("/dev/stdin" if given == "-" and not Path(given).exists() else given)
    if not path.exists():
        recover(path.absolute())
    if path.is_dir():
        return Source(given, _in_folder(given), folder=path.resolve())
    if path.is_file():
        return Source(given, [File(_utf8(given), _keys.keys_in(given) if several else {})])
    if path.exists():
        return Source(given, [File(str(spooled(path)), {})], spooled=True)
    return Source(given, _of_glob(given), pattern=given)


def spooled(path: Path) -> Path:
    """The contents of a pipe as a file.

    Raises
    ------
    ValueError
        For a device or a socket.
    """
    if not stat.S_ISFIFO(path.stat().st_mode):
        msg = f"{path} is neither a file, a folder nor a pipe, and is not read"
        raise ValueError(msg)
    target = _spool[-1] / f"{len(list(_spool[-1].iterdir()))}{_ENDING}"
    with path.open("rb") as pipe, target.open("wb") as file:
        shutil.copyfileobj(pipe, file, 1 << 20)
    if not target.stat().st_size:
        msg = f"{path}: nothing came through the pipe"
        raise ValueError(msg)
    return target


def _utf8(path: str) -> str:
    """The path, which must be UTF-8 for Polars."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        msg = f"{os.fsencode(path)!r}: a path must be UTF-8"
        raise ValueError(msg) from error
    return str(Path(path).absolute())


def _in_folder(given: str) -> list[File]:
    inside = _walk(given)
    if not inside:
        msg = f"{given}: there is no file in this folder"
        raise ValueError(msg)
    return _keyed(inside, given)


def _of_glob(given: str) -> list[File]:
    found = sorted(glob.glob(given, recursive=True))  # noqa: PTH207
    inside = [file for path in found for file in (_walk(path) if Path(path).is_dir() else [path])]
    if not inside:
        says = "no file matches" if glob.has_magic(given) else "no such file or folder:"
        msg = f"{says} {given}"
        raise ValueError(msg)
    return _keyed(list(dict.fromkeys(inside)), fixed(given))


def fixed(pattern: str) -> str:
    """The folder before the first wildcard of a glob."""
    parts = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return str(Path(*parts))


def _walk(folder: str) -> list[str]:
    """The files named ``*.parquet`` in a folder, or all files if there are none.

    Hidden files are left out: a killed writer may have left them.
    """
    found, seen = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(parent)
        folders[:] = [name for name in folders if not name.startswith(".")]
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [str(Path(parent, name)) for name in files if not name.startswith(".")]
    named = [path for path in found if path.lower().endswith(_ENDING)]
    return sorted(named or found)


def _raise(error: OSError) -> None:
    raise error


def _keyed(paths: list[str], base: str) -> list[File]:
    """Files with the keys of their paths below `base`; all must have the same keys."""
    files = [File(_utf8(path), _keys.keys_in(os.path.relpath(path, base))) for path in paths]
    most = max(files, key=lambda file: len(file.keys))
    for file in files:
        if set(file.keys) != set(most.keys):
            msg = (
                f"{file.path} lies outside the folders of {', '.join(most.keys)} that hold other "
                f"files, as {most.path}: move it, or name what to read"
            )
            raise ValueError(msg)
    return files


def keys(sources: Sequence[Source]) -> list[str]:
    """The partition keys of the first input."""
    first = sources[0]
    return list(first.files[0].keys) if first.folder is not None else []


def scan(
    sources: Sequence[Source],
    where: pl.Expr | None = None,
    types: Mapping[str, pl.DataType] | None = None,
) -> pl.LazyFrame:
    """The concatenated rows of all inputs, with the keys of folders as columns.

    Raises
    ------
    ValueError
        If schemas are incompatible, or a file is not Parquet; names the files.
    """
    types = types or {}
    files = [file for source in sources for file in source.files]
    values = _values(files, types)
    remaining = _chosen(files, values, where)
    by_path = {file.path: number for number, file in enumerate(files)}
    parts = []
    for source in sources:
        if source.remote:
            parts.append(_remote(source.given, types))
        parts += _parts([f for f in source.files if f.path in remaining], values, by_path)
    unknown = [key for key in types if all(key not in part.schema for part in parts)]
    if unknown:
        msg = f"parameter `key_types` = {unknown[0]!r}: no such key; there are {values.columns}"
        raise ValueError(msg)
    rows = _schemas.together(parts)
    return rows if where is None else rows.filter(where)


def _chosen(files: Sequence[File], values: pl.DataFrame, where: pl.Expr | None) -> set[str]:
    """The files whose keys do not contradict a condition."""
    everything = {file.path for file in files}
    asked = set() if where is None else set(where.meta.root_names())
    if where is None or not asked or any(not asked <= set(file.keys) for file in files):
        return everything
    kept = values.with_row_index(_PATH).filter(where)[_PATH].to_list()
    return {files[number].path for number in kept or [0]}


def _values(files: Sequence[File], types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The keys of files, one row each; null for missing keys."""
    found = dict.fromkeys(key for file in files for key in file.keys)
    return pl.DataFrame(
        {key: _keys.typed(key, [file.keys.get(key) for file in files], types) for key in found}
    )


def _parts(
    files: Sequence[File], values: pl.DataFrame, by_path: Mapping[str, int]
) -> list[_schemas.Part]:
    """Files in order, as one scan per stretch with the same schema."""
    of_file = zip(_schemas.schemas([file.path for file in files]), files, strict=True)
    parts = []
    for (schema, keys), run in groupby(of_file, lambda pair: (pair[0], list(pair[1].keys))):
        paths = [file.path for _, file in run]
        names.refuse_own(schema)
        numbers = [by_path[path] for path in paths]
        columns = [values[numbers][key] for key in keys]
        frame = _scanned(paths, columns)
        dtypes = schema | {column.name: column.dtype for column in columns}
        parts.append(_schemas.Part(frame, dtypes, paths[0]))
    return parts


def _scanned(paths: list[str], keys: list[pl.Series]) -> pl.LazyFrame:
    if not keys:
        return pl.scan_parquet(paths, glob=False, hive_partitioning=False)
    frame = pl.scan_parquet(paths, glob=False, hive_partitioning=False, include_file_paths=_PATH)
    of_path = [
        pl.col(_PATH).replace_strict(paths, key, return_dtype=key.dtype).alias(key.name)
        for key in keys
    ]
    return frame.with_columns(of_path).drop(_PATH)


def _remote(address: str, types: Mapping[str, pl.DataType]) -> _schemas.Part:
    """The data at a remote address. Its keys are text: values are unknown before the query."""
    plain = pl.scan_parquet(address, hive_partitioning=False).collect_schema()
    found = pl.scan_parquet(address).collect_schema()
    keys = {name: types.get(name, pl.String()) for name in found if name not in plain}
    frame = pl.scan_parquet(address, hive_schema=keys) if keys else pl.scan_parquet(address)
    return _schemas.Part(frame, dict(frame.collect_schema()), address)
