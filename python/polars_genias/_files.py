"""Atomic replacement of Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from polars_genias._replace import replacing

if TYPE_CHECKING:
    import polars as pl


def is_remote(path: str) -> bool:
    """Whether a path is an address such as ``s3://``."""
    return "://" in path


@overload
def sink_parquet(frame: pl.LazyFrame, path: Path, **options: Any) -> Path: ...


@overload
def sink_parquet(frame: pl.LazyFrame, path: str, **options: Any) -> str | Path: ...


def sink_parquet(frame: pl.LazyFrame, path: str | Path, **options: Any) -> str | Path:
    """Write a query to one Parquet file; an existing file stays until the new one is complete.

    The query writes to a temporary file next to `path`, which is then renamed. An error or an
    interrupt removes it. The new file keeps the mode and owner of the file that it replaces.

    Parameters
    ----------
    frame
        The query.
    path
        The file to write or to replace; its folder is created if it does not exist. At an address
        such as ``s3://bucket/key.parquet``, the store shows the file when its upload is complete.
    **options
        As for ``LazyFrame.sink_parquet``.

    Returns
    -------
    Path
        `path`; the text of an address.

    Raises
    ------
    ValueError
        If `path` is a pipe, a socket, a device or a file of another user, or if another process
        changes it while the query runs.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pg.sink_parquet(pl.LazyFrame({"x": [1.0]}), f"{folder}/out.parquet")
    ...     pl.read_parquet(path)["x"].item()
    1.0
    """
    if is_remote(str(path)):
        frame.sink_parquet(path, **options)
        return path
    path = Path(path)
    with replacing(path) as beside:
        frame.sink_parquet(beside, **options)
    return path
