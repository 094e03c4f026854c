"""Outputs at an address such as ``s3://``.

A store shows an object when its upload is complete, so a reader never sees part of a file. A folder
consists of several objects, and ``_SUCCESS`` is written after all of them. Polars reads the
credentials from the environment, as for inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias.cli import _partitions
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    from polars_genias.cli._inputs import Source
    from polars_genias.cli._output import Request

_COMPLETE = "_SUCCESS"
"""Name of the empty object that is written last."""


@dataclass(frozen=True)
class RemoteOutput:
    """An object, or a folder with a ``key=value`` folder per value of `keys`."""

    address: str
    keys: list[str]
    mark: dict[str, str] = field(default_factory=dict)

    def check(self, _: pl.Schema, written: pl.Schema) -> None:
        """Checks that the keys can name folders.

        Raises
        ------
        ValueError
            With the column.
        """
        _partitions.check(written, self.keys)

    def write(self, frame: pl.LazyFrame) -> None:
        """Run the query; nothing is at the address before it succeeds, or no ``_SUCCESS``."""
        metadata: Any = self.mark or None
        if not self.keys:
            frame.sink_parquet(self.address, metadata=metadata)
            return
        parts = _partitions.Numbered(frame, self.keys)
        parts.frame.sink_parquet(self._folders(parts), metadata=metadata)
        if not parts.folders:
            msg = "there are no rows, so there is no partition to write"
            raise ValueError(msg)
        empty = pl.LazyFrame({"": []}, schema={"": pl.String})
        empty.sink_csv(f"{self.address}{_COMPLETE}", include_header=False)

    def _folders(self, parts: _partitions.Numbered) -> Any:
        polars: Any = pl

        def place(made: Any) -> str:
            number = int(made.partition_keys.item())
            return f"{parts.folders[number]}/{made.index_in_partition:08}.parquet"

        return polars.PartitionBy(
            self.address, key=_partitions.PART, include_key=False, file_path_provider=place
        )


def output(asked: Request, keys: list[str], mark: dict[str, str]) -> RemoteOutput:
    """The requested output, after the checks of its address.

    Raises
    ------
    UsageError
        For a folder with a version of Polars that cannot write it.
    ValueError
        If the output exists and must not be replaced, or is or contains an input.
    """
    _refuse_old_polars(asked, keys)
    address = asked.path.rstrip("/") + "/" if keys else asked.path
    for source in asked.read:
        _refuse_input(address, source)
    if keys:
        _refuse_folder(address)
    else:
        _refuse_object(asked, address)
    return RemoteOutput(address, keys, mark)


def _refuse_old_polars(asked: Request, keys: list[str]) -> None:
    by = getattr(pl, "PartitionBy", None)
    if keys and (by is None or "file_path_provider" not in signature(by).parameters):
        msg = f"{asked.path}: a folder at an address needs Polars 2"
        raise UsageError(msg)


def _refuse_input(address: str, source: Source) -> None:
    given = source.given
    inside = given.startswith(address.rstrip("/") + "/") or address.startswith(
        given.rstrip("/") + "/"
    )
    if source.remote and (given.rstrip("/") == address.rstrip("/") or inside):
        msg = f"{address} is, contains or lies in the input {given}; write to another address"
        raise ValueError(msg)


def _refuse_object(asked: Request, address: str) -> None:
    """Rejects an object that exists, unless it may be replaced."""
    try:
        pl.read_parquet_metadata(address)
    except FileNotFoundError:
        return
    except pl.exceptions.ComputeError as error:
        msg = f"{address} is not a Parquet file and is not replaced: remove it first"
        raise ValueError(msg) from error
    if asked.overwrite is None:
        msg = f"{address} exists; --overwrite replaces it when the new one is complete"
        raise ValueError(msg)
    if asked.overwrite == "partitions":
        msg = f"--overwrite partitions: {address} is a file"
        raise UsageError(msg)


def _refuse_folder(address: str) -> None:
    """Rejects a folder with Parquet files: a store cannot replace several objects at once."""
    if _has_files(address):
        msg = f"{address} exists; a folder at an address is not replaced: write to another one"
        raise ValueError(msg)


def _has_files(address: str) -> bool:
    try:
        pl.scan_parquet(f"{address}**/*.parquet").collect_schema()
    except (FileNotFoundError, pl.exceptions.ComputeError) as error:
        if isinstance(error, FileNotFoundError) or "expanded paths were empty" in str(error):
            return False
        raise
    return True
