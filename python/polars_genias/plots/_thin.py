"""Thinning of long series, and stretches of labelled rows."""

from __future__ import annotations

import polars as pl

from polars_genias._names import column as named

MOST_BINS = 1200
"""Maximum number of pixel columns: four points each stay below Altair's limit of 5,000."""
_MOST_SPANS = 1000


def time_axis(frame: pl.DataFrame, x: str) -> pl.Expr:
    """The column `x` for Altair: Datetime without zone (wall time), or Float64.

    Raises
    ------
    ValueError
        For a dtype without an axis.
    """
    dtype = frame.schema[x]
    time = named(x)
    if isinstance(dtype, pl.Datetime):
        return time.dt.replace_time_zone(None)
    if dtype == pl.Date:
        return time.cast(pl.Datetime("us"))
    if dtype == pl.Duration:
        return time.dt.total_microseconds() / 1e6
    if dtype.is_numeric():
        return time.cast(pl.Float64)
    msg = f"parameter `order_by` = {x!r}: a column of dtype {dtype} cannot be an axis"
    raise ValueError(msg)


def drawable(column: str | pl.Expr) -> pl.Expr:
    """A numeric column in 64 bits; non-finite values are null, and break the line."""
    value = (named(column) if isinstance(column, str) else column).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)


def where_changed(hit: pl.Expr, column: str) -> pl.Expr:
    """A column in the rows of `hit` and one row on either side, null elsewhere.

    Lines then begin and end on the series, and single values are visible.
    """
    near = hit | hit.shift(1, fill_value=False) | hit.shift(-1, fill_value=False)
    return pl.when(near).then(drawable(column))


def thin(rows: pl.DataFrame, x: str, bins: int) -> pl.DataFrame:
    """The rows that draw the same line: first, last, lowest and highest per pixel column.

    This is M4 of Jugel et al., *M4: A Visualization-Oriented Time Series Data Aggregation*, VLDB
    2014. A frame of at most four rows per pixel column is returned unchanged.

    Parameters
    ----------
    rows
        Column `x`, sorted and without nulls, and ``value``.
    x
        The time.
    bins
        Number of pixel columns.
    """
    bins = min(bins, MOST_BINS)
    if rows.height <= 4 * bins:
        return rows
    value = pl.col("value")
    row = pl.int_range(pl.len())
    picked = (
        rows.lazy()
        .with_columns(bin=pixel(x, bins), row=row)
        .group_by("bin")
        .agg(
            pl.col("row").first().alias("first"),
            pl.col("row").last().alias("last"),
            pl.col("row").get(value.arg_min()).alias("lowest"),
            pl.col("row").get(value.arg_max()).alias("highest"),
        )
        .select("first", "last", "lowest", "highest")
        .unpivot()
        .select(pl.col("value").drop_nulls().unique().sort())
        .collect()
        .to_series()
    )
    return rows.select(pl.all().gather(picked))


def pixel(x: str, bins: int) -> pl.Expr:
    """The pixel column of each row."""
    place = pl.col(x).to_physical().cast(pl.Float64)
    share = (place - place.min()) / (place.max() - place.min())
    return (share.fill_nan(0) * bins).floor().clip(upper_bound=bins - 1).cast(pl.Int32)


def spans(rows: pl.DataFrame, x: str, label: str, bins: int) -> pl.DataFrame:
    """Stretches of rows whose `label` is true, from half a step before to half a step after.

    If there are very many, those less than a pixel apart are merged.

    Returns
    -------
    DataFrame
        Columns ``start`` and ``end``, of the type of `x`.
    """
    time = pl.col(x)
    half = rows.select((time.diff().median() / 2).alias("half"))
    hit = named(label).fill_null(value=False)
    found = (
        rows.with_columns(run=hit.rle_id())
        .filter(hit)
        .group_by("run", maintain_order=True)
        .agg(start=time.min(), end=time.max())
        .drop("run")
    )
    if half.item() is not None:
        found = found.with_columns(pl.col("start") - half.item(), pl.col("end") + half.item())
    if found.height > _MOST_SPANS:
        pixel = rows.select((time.max() - time.min()) / min(bins, MOST_BINS)).item()
        apart = pl.col("start") - pl.col("end").shift(1) > pixel
        found = (
            found.group_by(apart.fill_null(value=True).cum_sum().alias("run"), maintain_order=True)
            .agg(pl.col("start").min(), pl.col("end").max())
            .drop("run")
        )
    return found
