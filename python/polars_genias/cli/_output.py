"""Outputs of commands, and what they may replace.

Checks happen before any work. An output must not be, contain or lie inside an input, unless it
replaces the input and has all of its rows and columns. `--overwrite` replaces a file, or a folder
with nothing but an earlier output of the same command; `--overwrite partitions` replaces the
partitions that are written.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from polars_genias._files import is_remote
from polars_genias._replace import Snapshot, check_kind, files_in, replacing, snapshot
from polars_genias.cli import _keys, _partitions, _relations, _remote
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polars_genias.cli._inputs import Source
    from polars_genias.cli._remote import RemoteOutput

Overwrite = Literal["output", "partitions"]

_MARK = "genias.output"
"""Metadata key with the command that wrote a Parquet file."""


@dataclass(frozen=True)
class Request:
    """The output requested by the command line."""

    command: str
    path: str
    partition_by: Sequence[str] = ()
    usual: Sequence[str] = ()
    """Default keys of an output folder."""
    overwrite: Overwrite | None = None
    sources: Sequence[Source] = ()
    models: Source | None = None
    history: Sequence[Source] = ()
    where: str | None = None
    keeps_rows: bool = False
    """Whether the output has all rows and columns of the input."""
    parquet: bool = True

    @property
    def read(self) -> list[Source]:
        """Everything that the command reads."""
        return [*self.sources, *([self.models] if self.models else []), *self.history]

    def name_of(self, source: Source) -> str:
        """What a source is on the command line."""
        if source is self.models:
            return "--models"
        return "INPUT" if source in self.sources else "--history"


@dataclass(frozen=True)
class Output:
    """An output: a file, or a folder with a ``key=value`` folder per value of `keys`.

    Links are followed: their targets are replaced.
    """

    path: Path
    keys: list[str]
    in_place: bool = False
    partitions: bool = False
    """Whether partitions that are not written stay in place."""
    mark: dict[str, str] = field(default_factory=dict)
    seen: Snapshot = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The path as text."""
        return str(self.path)

    def check(self, read: pl.Schema, written: pl.Schema) -> None:
        """Checks the schemas: no lost columns, and keys that can name folders.

        Raises
        ------
        ValueError
            With the column.
        """
        for name in read if self.in_place else ():
            if written.get(name) != read[name]:
                msg = f"{self.path} is replaced in place, and column {name!r} would be lost"
                raise ValueError(msg)
        _partitions.check(written, self.keys)

    def write(self, frame: pl.LazyFrame) -> None:
        """Run the query; an existing output stays until the new one is complete."""
        with replacing(self.path, seen=self.seen) as beside:
            if not self.keys:
                frame.sink_parquet(beside, metadata=self.mark or None)
                return
            _partitions.write(frame, beside, self.keys, self.mark)
            if self.in_place or self.partitions:
                _partitions.carry(self.path, beside, self.keys, hidden_only=self.in_place)


def output(asked: Request) -> Output | RemoteOutput:
    """The requested output, after all checks of its path.

    Raises
    ------
    UsageError
        For a folder without keys.
    ValueError
        If the output exists and must not be replaced, or is, contains or lies in an input.
    """
    if is_remote(asked.path) and asked.parquet:
        keys = _partitions.chosen(asked, folder=asked.path.endswith("/"))
        return _remote.output(asked, keys, _mark(asked.command, keys))
    return local(asked)


def local(asked: Request) -> Output:
    """The requested output at a local path.

    Raises
    ------
    UsageError
        For an address, or a folder without keys.
    ValueError
        As `output`.
    """
    if is_remote(asked.path):
        msg = f"{asked.path}: this output must be a local path; copy it afterwards"
        raise UsageError(msg)
    target = _resolved(asked.path)
    keys = _folders(asked, target)
    check_kind(target)
    in_place = _relations.check(asked, target, keys)
    if not in_place:
        _replaceable(asked, target, keys)
    mark = {} if in_place or not asked.parquet else _mark(asked.command, keys)
    partitions = asked.overwrite == "partitions" and not in_place
    return Output(target, keys, in_place, partitions, mark, snapshot(target))


def _resolved(path: str) -> Path:
    """The path with links resolved.

    Raises
    ------
    ValueError
        If it is neither a file nor a folder.
    """
    given = Path(path)
    try:
        found = given.stat()
    except OSError:
        pass
    else:
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            msg = f"{path} is a device, a pipe or a socket: an output must be a file or a folder"
            raise ValueError(msg)
    try:
        target = given.resolve()
        str(target).encode()
    except UnicodeEncodeError as error:
        msg = f"{os.fsencode(path)!r}: a path must be UTF-8"
        raise ValueError(msg) from error
    except RuntimeError as error:
        msg = f"{path}: circular links"
        raise ValueError(msg) from error
    if not target.name:
        msg = f"{path} cannot be an output"
        raise ValueError(msg)
    return target


def _folders(asked: Request, target: Path) -> list[str]:
    """The keys of an output folder; empty for a file."""
    folder = asked.path.endswith(("/", os.sep)) or target.is_dir()
    keys = _partitions.chosen(asked, folder=folder)
    if asked.overwrite == "partitions" and not keys:
        msg = f"--overwrite partitions: {asked.path} is a file; give a folder/ or --partition-by"
        raise UsageError(msg)
    return keys


def _replaceable(asked: Request, target: Path, keys: list[str]) -> None:
    """Rejects an existing output, unless it may be replaced."""
    if not target.exists():
        return
    if target.is_dir() != bool(keys):
        kinds = ("a folder", "a file") if keys else ("a file", "a folder")
        msg = f"{target}: the output is {kinds[0]}, but {kinds[1]} exists at this path"
        raise ValueError(msg)
    if target.is_dir() and not any(target.iterdir()):
        return
    if asked.overwrite is None:
        msg = f"{target} exists; --overwrite replaces it when the new one is complete"
        raise ValueError(msg)
    if asked.overwrite == "partitions":
        _partitions.check_layout(target, keys)
    elif keys:
        _refuse_foreign(asked.command, target, keys)
    elif asked.parquet:
        _refuse_no_parquet(target)


def _refuse_no_parquet(target: Path) -> None:
    with target.open("rb") as file:
        magic = file.read(4)
    if magic not in (b"", b"PAR1"):
        msg = f"{target} is not a Parquet file and is not replaced: remove it first"
        raise ValueError(msg)


def _refuse_foreign(command: str, target: Path, keys: list[str]) -> None:
    """Rejects a folder with other contents than an earlier output of the command."""
    for found in files_in(target):
        if found.is_symlink() or not _is_of(found, target, command, keys):
            msg = (
                f"{target} is not replaced: {found} is not from an earlier `genias {command}` "
                f"by {', '.join(keys)}. --overwrite partitions only replaces written partitions"
            )
            raise ValueError(msg)
    for parent, folders, _ in os.walk(target):
        for name in folders:
            if Path(parent, name).is_mount():
                msg = f"{target} is not replaced: {Path(parent, name)} is a mount point"
                raise ValueError(msg)


def _is_of(file: Path, target: Path, command: str, keys: list[str]) -> bool:
    inside = str(file.relative_to(target))
    if file.suffix != ".parquet" or list(_keys.keys_in(inside)) != keys:
        return False
    return mark_of(file) == _mark(command, keys)


def _mark(command: str, keys: Sequence[str]) -> dict[str, str]:
    return {_MARK: json.dumps({"command": command, "partition_by": list(keys)})}


def mark_of(file: Path) -> dict[str, str]:
    """The command that wrote a Parquet file, from its metadata; empty for other files."""
    try:
        with file.open("rb") as opened:  # Polars would read a path as a glob
            metadata: dict[str, Any] = pl.read_parquet_metadata(opened)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return {}
    return {_MARK: metadata[_MARK]} if _MARK in metadata else {}
