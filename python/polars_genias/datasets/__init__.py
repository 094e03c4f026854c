"""Public benchmark archives, converted from their own files to one long Parquet layout.

Every table has the columns ``series`` (String), ``split`` (``train`` or ``test``), ``t`` (Int64,
from 0 within series and split), ``timestamp`` (Datetime in microseconds, for archives that have
times), the features (Float32, finite: ``value``, or ``f00``, ``f01``, ... in the archive's order)
and ``label`` (Boolean, true = anomalous; false in ``train`` where unknown). Rows are sorted by
``series, split, t``.

Missing values of a file are filled forward, and backward at the start. ``docs/datasets.md`` lists
the folder, split and labels of each archive. Nothing is downloaded. `demo` needs no archive: its
rows are part of the package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from polars_genias._files import sink_parquet
from polars_genias.datasets._demo import demo
from polars_genias.datasets._layout import ROLES, features
from polars_genias.datasets._multivariate import gecco, msl, smap, smd, swan, swat
from polars_genias.datasets._univariate import kpi, nab, ucr, yahoo

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = [
    "ARCHIVES",
    "ROLES",
    "convert",
    "demo",
    "features",
    "gecco",
    "kpi",
    "msl",
    "nab",
    "read",
    "smap",
    "smd",
    "swan",
    "swat",
    "ucr",
    "yahoo",
]

ARCHIVES: dict[str, Callable[[str | Path], pl.DataFrame]] = {
    "gecco": gecco,
    "kpi": kpi,
    "msl": msl,
    "nab": nab,
    "smap": smap,
    "smd": smd,
    "swan": swan,
    "swat": swat,
    "ucr": ucr,
    "yahoo": yahoo,
}
"""The reader of each archive, by name."""


def read(name: str, source: str | Path) -> pl.DataFrame:
    """Read an archive's own files.

    Parameters
    ----------
    name
        One of `ARCHIVES`.
    source
        The archive's folder (or its only file).

    Returns
    -------
    DataFrame
        All series, in the layout of this module.

    Raises
    ------
    ValueError
        For an unknown name, or for a file that is missing or not as expected.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "001_UCR_Anomaly_toy_3_5_5.txt"
    ...     _ = file.write_text("0 1 0 1 9 1")
    ...     table = datasets.read("ucr", folder)
    >>> table.filter("label").rows()
    [('001_toy', 'test', 1, 9.0, True)]
    """
    if name not in ARCHIVES:
        msg = f"parameter `name` = {name!r}: no such archive; there are {sorted(ARCHIVES)}"
        raise ValueError(msg)
    return ARCHIVES[name](source)


def convert(name: str, source: str | Path, target: str | Path) -> Path:
    """Write an archive as one Parquet file; an old one stays until the new one is complete.

    Parameters
    ----------
    name
        One of `ARCHIVES`.
    source
        The archive's folder (or its only file).
    target
        The Parquet file to write or to replace (zstd).

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    ValueError
        As `read`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import polars as pl
    >>> from polars_genias import datasets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "001_UCR_Anomaly_toy_3_5_5.txt").write_text("0 1 0 1 9 1")
    ...     path = datasets.convert("ucr", folder, f"{folder}/ucr.parquet")
    ...     pl.scan_parquet(path).collect_schema().names()
    ['series', 'split', 't', 'value', 'label']
    """
    return sink_parquet(read(name, source).lazy(), Path(target), compression="zstd")
