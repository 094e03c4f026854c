"""Finds the files of an archive, and converts text or arrays to columns.

Every error is a ValueError with the file and the expectation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MISSING = ["", "NA", "NaN", "nan", "null"]
TRUE = ["1", "1.0", "true", "attack"]
FALSE = ["0", "0.0", "false", "normal"]
DATE_TIME = "%Y-%m-%d %H:%M:%S%.f"


def existing(path: Path, what: str) -> Path:
    """`path`, which must exist."""
    if not path.exists():
        msg = f"{path}: not found; expected {what}"
        raise ValueError(msg)
    return path


def matching(folder: Path, pattern: str, what: str) -> list[Path]:
    """Files of a folder, sorted by name; at least one."""
    found = sorted(existing(folder, f"a folder with {what}").glob(pattern))
    if not found:
        msg = f"{folder}: expected {what} ({pattern}), there is none"
        raise ValueError(msg)
    return found


def only(folder: Path, pattern: str, what: str) -> Path:
    """The only file of a folder that matches the pattern."""
    found = matching(folder, pattern, what)
    if len(found) > 1:
        msg = f"{folder}: expected one file with {what}, there are {[p.name for p in found]}"
        raise ValueError(msg)
    return found[0]


def text(path: Path, needs: Sequence[str] = (), **options: Any) -> pl.DataFrame:
    """A CSV file with all cells as text; names without surrounding spaces."""
    existing(path, "a CSV file")
    try:
        frame = pl.read_csv(path, infer_schema=False, **options)
        frame = frame.rename({name: name.strip() for name in frame.columns})
    except pl.exceptions.PolarsError as error:
        msg = f"{path}: expected a CSV file: {error}"
        raise ValueError(msg) from error
    lacking = [name for name in needs if name not in frame.columns]
    if lacking:
        msg = f"{path}: expected a column {lacking[0]!r}, there are {frame.columns}"
        raise ValueError(msg)
    return frame


def numbers(cells: pl.DataFrame, path: Path, *, decimal: str = ".") -> pl.DataFrame:
    """Cells as Float64; null for cells that mark missing values."""
    cells = cells.select(pl.all().str.strip_chars().fill_null(""))
    if decimal != ".":
        cells = cells.select(pl.all().str.replace(decimal, ".", literal=True))
    values = cells.select(pl.all().cast(pl.Float64, strict=False))
    for value, cell in zip(values, cells, strict=True):
        wrong = cell.filter(value.is_null() & ~cell.is_in(MISSING))
        if len(wrong):
            msg = f"{path}: column {cell.name!r}: expected numbers, there is {wrong[0]!r}"
            raise ValueError(msg)
    return values


def labels(cells: pl.Series, path: Path) -> pl.Series:
    """Cells as labels: 0 and 1, true and false, or normal and attack (also with spaces inside)."""
    words = cells.fill_null("").str.replace_all(r"\s", "").str.to_lowercase()
    anomalous = words.is_in(TRUE)
    wrong = cells.filter(~(anomalous | words.is_in(FALSE)))
    if len(wrong):
        msg = f"{path}: column {cells.name!r}: expected labels, there is {wrong[0]!r}"
        raise ValueError(msg)
    return anomalous


def times(cells: pl.Series, path: Path, *formats: str) -> pl.Series:
    """Cells as times, each in the first format that matches."""
    cells = cells.fill_null("").str.strip_chars()
    parsed = [cells.str.strptime(pl.Datetime("us"), form, strict=False) for form in formats]
    found = pl.select(pl.coalesce(parsed)).to_series()
    wrong = cells.filter(found.is_null())
    if len(wrong):
        msg = f"{path}: column {cells.name!r}: expected a time, there is {wrong[0]!r}"
        raise ValueError(msg)
    return found


def array(path: Path, dimensions: int, what: str) -> pl.DataFrame:
    """An array of NumPy's format, one column per feature.

    Raises
    ------
    ModuleNotFoundError
        Without NumPy.
    ValueError
        For a file that is missing, is not such an array, or has other dimensions.
    """
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        msg = f"{path}: reading .npy files needs NumPy: pip install 'polars-genias[datasets]'"
        raise ModuleNotFoundError(msg, name="numpy") from error
    existing(path, what)
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        msg = f"{path}: expected {what}: {error}"
        raise ValueError(msg) from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "biuf":
        msg = f"{path}: expected {what}, this is no array of numbers"
        raise ValueError(msg)
    if loaded.ndim != dimensions:
        msg = f"{path}: expected {what}, this array has the shape {loaded.shape}"
        raise ValueError(msg)
    return pl.DataFrame(loaded, orient="row")
