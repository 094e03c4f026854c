"""Parquet files that are either the old ones or whole."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def sink_parquet(frame: pl.LazyFrame, path: str | Path, **options: Any) -> Path:
    """Write a query to one Parquet file; whatever was at `path` stays until the new file is whole.

    The query runs into a file beside `path`, which is then renamed. An error or an interrupt
    removes it.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        frame.sink_parquet(beside, **options)
        beside.replace(path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
    return path
