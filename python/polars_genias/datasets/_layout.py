"""Converts the parts of an archive to the long table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

ROLES = ("series", "split", "t", "timestamp", "label")
"""Columns that are not features."""


class Series(NamedTuple):
    """One series: the rows of its two parts, from `rows`."""

    name: str
    train: pl.DataFrame
    test: pl.DataFrame


def features(data: pl.DataFrame | pl.LazyFrame) -> list[str]:
    """Names of the feature columns of a table in the benchmark layout.

    Parameters
    ----------
    data
        The table, or a query for it.

    Returns
    -------
    list of str
        Every column without another role.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import datasets
    >>> datasets.features(pl.DataFrame({"series": ["a"], "t": [0], "value": [0.5]}))
    ['value']
    """
    return [name for name in data.lazy().collect_schema().names() if name not in ROLES]


def rows(
    values: pl.DataFrame,
    path: Path,
    label: pl.Series | None = None,
    timestamp: pl.Series | None = None,
) -> pl.DataFrame:
    """Rows of one file: time, features under their common names, labels (false where unknown)."""
    columns = _features(values, path).get_columns()
    for part in (label, timestamp):
        if part is not None and len(part) != values.height:
            msg = f"{path}: expected {values.height} rows as in the values, there are {len(part)}"
            raise ValueError(msg)
    if label is None:
        label = pl.repeat(False, values.height, dtype=pl.Boolean, eager=True)
    if timestamp is not None:
        columns.insert(0, timestamp.cast(pl.Datetime("us")).alias("timestamp"))
    return pl.DataFrame([*columns, label.alias("label")])


def _features(values: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Values as Float32, with gaps filled forward, and backward at the start.

    Raises
    ------
    ValueError
        For no column, a column without a value, and a value that Float32 can't hold.
    """
    if values.is_empty():
        msg = f"{path}: expected rows of values, there are none"
        raise ValueError(msg)
    single = values.select(pl.all().cast(pl.Float32).fill_nan(None))
    for column in single:
        if column.is_infinite().any():
            msg = f"{path}: column {column.name!r} has a value that is not finite in Float32"
            raise ValueError(msg)
        if column.null_count() == single.height:
            msg = f"{path}: column {column.name!r} has no value"
            raise ValueError(msg)
    names = ["value"] if single.width == 1 else [f"f{i:02}" for i in range(single.width)]
    whole = single.select(pl.all().forward_fill().backward_fill())
    return whole.rename(dict(zip(whole.columns, names, strict=True)))


def inside(
    position: pl.Series, spans: Iterable[tuple[int | datetime, int | datetime]]
) -> pl.Series:
    """Whether a position lies in one of the spans, ends included."""
    found = pl.repeat(False, len(position), dtype=pl.Boolean, eager=True)
    for first, last in spans:
        found |= position.is_between(first, last)
    return found


def cut(name: str, whole: pl.DataFrame, train: int) -> Series:
    """A series whose first `train` rows are the train part."""
    return Series(name, whole.head(train), whole.slice(train))


def table(series: Iterable[Series], source: Path) -> pl.DataFrame:
    """The long table, sorted by series, split and position.

    Raises
    ------
    ValueError
        If there is no series, or two have different columns.
    """
    parts: list[pl.DataFrame] = []
    for one in sorted(series, key=lambda each: each.name):
        for split in ("test", "train"):  # in the order of their names
            part = one.test if split == "test" else one.train
            if parts and part.columns != parts[0].columns[3:]:
                msg = (
                    f"{source}: {split} of {one.name!r} has {len(features(part))} features, "
                    f"expected {len(features(parts[0]))} as in the other parts"
                )
                raise ValueError(msg)
            parts.append(
                part.select(
                    pl.lit(one.name).alias("series"),
                    pl.lit(split).alias("split"),
                    pl.int_range(pl.len(), dtype=pl.Int64).alias("t"),
                    pl.all(),
                )
            )
    if not parts:
        msg = f"{source}: expected at least one series, there is none"
        raise ValueError(msg)
    return pl.concat(parts, rechunk=True)
