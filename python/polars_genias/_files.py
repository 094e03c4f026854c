"""Parquet files that are either the old ones or whole."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    with replacing(path) as beside:
        frame.sink_parquet(beside, **options)
    return path


@contextmanager
def replacing(path: Path, ending: str = "") -> Iterator[Path]:
    """Where to write the file or the folder that takes the place of `path` when the block ends.

    That is beside `path`, under a hidden name that ends in `ending`. After an error or an interrupt
    it is removed, and `path` is as it was. A file is replaced in one step; a folder is moved aside
    first, since no system call that is everywhere can exchange two.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{ending}")
    try:
        yield beside
        if beside.is_dir() and path.is_dir():
            _replace_folder(path, beside)
        else:
            beside.replace(path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)


def _replace_folder(path: Path, beside: Path) -> None:
    aside = beside.with_name(f"{beside.name}.old")
    path.rename(aside)
    try:
        beside.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)
