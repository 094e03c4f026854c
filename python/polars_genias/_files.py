"""Parquet files that are either the old ones or whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias._replace import replacing

if TYPE_CHECKING:
    import polars as pl


def sink_parquet(frame: pl.LazyFrame, path: str | Path, **options: Any) -> Path:
    """Write a query to one Parquet file; whatever was at `path` stays until the new file is whole.

    The query runs into a file beside `path`, which is then renamed. An error or an interrupt
    removes it. A file that is replaced leaves its mode and its owner.

    Parameters
    ----------
    frame
        The query.
    path
        The file to write or to replace; its folder is made where it is missing.
    **options
        As for ``LazyFrame.sink_parquet``.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        For a path that is a pipe, a socket or a device, a file of another user, or one that
        somebody else changes while the query runs.

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
    path = Path(path)
    with replacing(path) as beside:
        frame.sink_parquet(beside, **options)
    return path
