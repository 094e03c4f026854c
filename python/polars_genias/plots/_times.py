"""Axes of time: positions that Altair can draw, and their labels."""

from __future__ import annotations

from typing import Any

import polars as pl

from polars_genias._names import column as named
from polars_genias.plots import _look as look

MONTHS = 120 * 86_400_000
"""Milliseconds from which on ticks are months, labelled with their year."""


def position(frame: pl.DataFrame, x: str) -> pl.Expr:
    """The column `x` as numbers: milliseconds of the wall clock for times, else Float64.

    In the zone of the column, an hour that the clock passes twice is drawn at half its width, so
    that positions increase with time, and all other labels are those of the clock.

    Raises
    ------
    ValueError
        For a dtype without an axis.
    """
    dtype = frame.schema[x]
    time = named(x)
    if isinstance(dtype, pl.Datetime):
        return _wall(time, dtype).cast(pl.Float64) / 1_000
    if dtype == pl.Date:
        return time.cast(pl.Datetime("ms")).to_physical().cast(pl.Float64)
    if dtype == pl.Duration:
        return time.dt.total_microseconds() / 1e6
    if dtype.is_numeric():
        return time.cast(pl.Float64)
    msg = f"parameter `order_by` = {x!r}: a column of dtype {dtype} cannot be an axis"
    raise ValueError(msg)


def is_time(dtype: pl.DataType) -> bool:
    """Whether the axis of a column shows dates and times."""
    return isinstance(dtype, pl.Datetime) or dtype == pl.Date


def _wall(time: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    """Microseconds of the wall clock, with repeated hours at half their width."""
    time = time.dt.cast_time_unit("us")
    zone = dtype.time_zone
    if zone is None or zone == "UTC":
        return time.dt.replace_time_zone(None).to_physical()
    wall = time.dt.replace_time_zone(None)
    first, second = (
        wall.dt.replace_time_zone(zone, ambiguous=which, non_existent="null").to_physical()
        for which in ("earliest", "latest")
    )
    repeated = second - first
    into = wall.to_physical() % repeated
    again = pl.when(time.to_physical() == second).then(repeated // 2).otherwise(0)
    halved = wall.to_physical() - into + into // 2 + again
    return pl.when(repeated > 0).then(halved).otherwise(wall.to_physical())


def shown(time: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A time as text, with its distance from UTC where the column has a zone; else a number."""
    if isinstance(dtype, pl.Datetime):
        return time.dt.strftime("%a %d %b %Y %H:%M:%S" + (" %z" if dtype.time_zone else ""))
    if dtype == pl.Duration:
        return time.dt.total_microseconds() / 1e6
    return time.dt.strftime("%a %d %b %Y") if dtype == pl.Date else time


def title(rows: pl.DataFrame, x: str, dtype: pl.DataType) -> str:
    """The name of the time column, its unit or zone, and the year of its rows."""
    if dtype == pl.Duration:
        return f"{x} (s)"
    if not is_time(dtype) or rows.is_empty():
        return x
    years = rows.select(
        first=named(x).dt.year().min().cast(pl.String), last=named(x).dt.year().max()
    ).row(0)
    year = years[0] if years[0] == str(years[1]) else f"{years[0]} to {years[1]}"
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    return f"{x} ({', '.join(filter(None, (year, zone)))})"


def axis(length: float, **given: Any) -> look.Style:
    """An axis of times over `length` milliseconds: a 24-hour clock, days, and months."""
    value = "datum.value"
    clock = f"utcFormat({value}, utcseconds({value}) ? '%H:%M:%S' : '%H:%M')"
    below = f"utcmilliseconds({value}) ? utcFormat({value}, '%S.%L s') : {clock}"
    day = f"utcFormat({value}, '%a %d %b')"
    if length > MONTHS:
        day = f"utcFormat({value}, utcdate({value}) == 1 ? '%b %Y' : '%d %b')"
    midnight = f"{value} % 86400000 == 0"
    return look.axis(**({"labelExpr": f"{midnight} ? {day} : {below}"} | given))
