"""Thinning of long series, and stretches of labelled rows."""

from __future__ import annotations

import polars as pl

from polars_genias._names import column as named

MOST_BINS = 1200
"""Maximum number of pixel columns of a chart."""
_MOST_SPANS = 1000


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


def thin(rows: pl.DataFrame, x: str, bins: int, keep: pl.Series | None = None) -> pl.DataFrame:
    """The rows that draw the same line: the lowest and the highest value of every bucket of time.

    The first and the last row are kept, and one row of every bucket without a value, where the line
    has a gap. A frame of at most two rows per bucket is returned unchanged.

    Parameters
    ----------
    rows
        Column `x`, sorted and without nulls, and ``value``.
    x
        The time.
    bins
        Number of buckets of equal length.
    keep
        Rows to keep as well, if they are no more than there are buckets.
    """
    if rows.height <= 2 * bins:
        return rows
    value = pl.col("value")
    row = pl.col("row")
    picked = (
        rows.lazy()
        .select("value", bin=pixel(x, bins), row=pl.int_range(pl.len(), dtype=pl.UInt32))
        .group_by("bin")
        .agg(
            row.get(value.arg_min()).alias("lowest"),
            row.get(value.arg_max()).alias("highest"),
            pl.when(value.count() == 0).then(row.first()).alias("gap"),
        )
        .select("lowest", "highest", "gap")
        .collect()
    )
    ends = pl.Series([0, rows.height - 1], dtype=pl.UInt32)
    parts = [*picked.get_columns(), ends]
    if keep is not None and keep.sum() <= bins:
        parts.append(keep.arg_true())
    kept = pl.concat([part.alias("row").cast(pl.UInt32) for part in parts])
    return rows.select(pl.all().gather(kept.drop_nulls().unique().sort()))


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
