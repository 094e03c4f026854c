"""What labels would catch, and how detectors differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import polars as pl

from polars_genias._features import listed, require
from polars_genias.plots import _look as look

if TYPE_CHECKING:
    from collections.abc import Sequence


def plot_sensitivity(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    by: str | Sequence[str] | None = None,
    columns: int = 4,
    width: int = 150,
    height: int = 110,
    title: str | None = None,
) -> alt.ConcatChart:
    """Draw what `sensitivity` gave: a heat map of the share that is caught, per kind.

    Parameters
    ----------
    data
        The table of `sensitivity`.
    by
        Its key columns: a row of the heat map per series (all features together). By default a row
        per feature, over all series.
    columns
        Panels beside each other.
    width, height
        Of a panel, in pixels.
    title
        Over the chart.

    Returns
    -------
    ConcatChart
        A panel per kind and duration: strength along the x axis.

    Raises
    ------
    ValueError
        For a column that is missing.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import plots
    >>> table = pl.DataFrame(
    ...     {
    ...         "feature": ["cpu", "cpu"],
    ...         "kind": ["ramp", "ramp"],
    ...         "duration": [12, 12],
    ...         "strength": [1.0, 2.0],
    ...         "tries": [4, 4],
    ...         "caught": [1, 4],
    ...     }
    ... )
    >>> chart = plots.plot_sensitivity(table)
    """
    rows = data.lazy()
    schema = rows.collect_schema()
    for name in ("feature", "kind", "duration", "strength", "tries", "caught"):
        require(schema, "data", name)
    keys = listed(by)
    for name in keys:
        require(schema, "by", name)
    rows = rows.filter(pl.col("tries") > 0)
    if keys:
        several = pl.col("feature").is_null()
        alone = ~several.any().over(keys)
        row = pl.concat_str([pl.col(name).cast(pl.String) for name in keys], separator=", ")
        rows = rows.filter(several | alone)
    else:
        row = pl.col("feature")
        rows = rows.filter(row.is_not_null())
    panel = pl.format("{}, {} rows", pl.col("kind").str.replace_all("-", " "), "duration")
    cells = (
        rows.group_by(panel=panel, row=row, strength="strength", maintain_order=True)
        .agg(pl.col("tries", "caught").sum())
        .with_columns(rate=pl.col("caught") / pl.col("tries"))
        .with_columns(strength=pl.col("strength").round(2).cast(pl.String).fill_null("its own"))
        .collect()
    )
    panels = [
        _heat(cells.filter(panel=name), name, width, height)
        for name in cells["panel"].unique(maintain_order=True)
    ]
    chart = alt.concat(*panels, columns=columns, spacing=18)
    titled: alt.ConcatChart = look.titled(chart, title)
    return titled


def _heat(cells: pl.DataFrame, name: str, width: int, height: int) -> alt.LayerChart:
    order = cells["strength"].unique(maintain_order=True).to_list()
    base = alt.Chart(cells).encode(
        x=alt.X("strength:N", sort=order, axis=look.axis(title="strength", labelAngle=0)),
        y=alt.Y("row:N", axis=look.axis(title=None)),
        tooltip=["row", "strength", "tries", "caught", alt.Tooltip("rate:Q", format=".0%")],
    )
    scale = alt.Scale(domain=[0, 1], range=["#f2f6fa", look.BLUE], interpolate="rgb")
    legend = look.legend(title="share caught", format="%")
    tiles = base.mark_rect(stroke="#ffffff").encode(
        color=alt.Color("rate:Q", scale=scale, legend=legend)
    )
    dark = alt.condition("datum.rate > 0.55", alt.value("#ffffff"), alt.value(look.INK))
    text = base.mark_text(fontSize=10).encode(text=alt.Text("rate:Q", format=".0%"), color=dark)
    chart: alt.LayerChart = alt.layer(tiles, text).properties(
        width=width, height=height, view=look.NO_FRAME, title=look.panel_title(name)
    )
    return chart


def plot_compare(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    width: int = 360,
    height: int = 28,
    title: str | None = None,
) -> alt.HConcatChart:
    """Draw what `compare` gave: the recall of every detector, and its difference to the first one.

    Parameters
    ----------
    data
        The table of `compare`.
    width
        Of a panel, in pixels.
    height
        Of a detector, in pixels.
    title
        Over the chart.

    Returns
    -------
    HConcatChart
        Points with their 95 % intervals.

    Raises
    ------
    ValueError
        For a column that is missing.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import plots
    >>> names = ["recall", "recall_low", "recall_high"]
    >>> others = ["difference", "difference_low", "difference_high"]
    >>> values = {name: [0.4, 0.6] for name in names} | {name: [None, 0.2] for name in others}
    >>> chart = plots.plot_compare(pl.DataFrame({"detector": ["a", "b"], **values}))
    """
    rows = data.lazy().collect()
    figures = {"recall": "events caught", "difference": "difference to the first"}
    for name in ("detector", *(f"{f}{end}" for f in figures for end in ("", "_low", "_high"))):
        require(rows.schema, "data", name)
    order = rows["detector"].to_list()
    panels = [_points(rows, order, name, text) for name, text in figures.items()]
    size = {"width": width, "height": height * len(order)}
    chart = alt.hconcat(*(panel.properties(**size) for panel in panels), spacing=24)
    titled: alt.HConcatChart = look.titled(chart, title)
    return titled


def _points(rows: pl.DataFrame, order: list[str], figure: str, text: str) -> alt.LayerChart:
    base = alt.Chart(rows.drop_nulls(figure)).encode(
        y=alt.Y(
            "detector:N", sort=order, scale=alt.Scale(domain=order), axis=look.axis(title=None)
        ),
        tooltip=[
            "detector",
            *(alt.Tooltip(f"{figure}{end}:Q", format=".1%") for end in ("", "_low", "_high")),
        ],
    )
    axis = look.axis(title=text, format="%")
    span = base.mark_rule(color=look.GREY, strokeWidth=2).encode(
        x=alt.X(f"{figure}_low:Q", axis=axis), x2=f"{figure}_high:Q"
    )
    point = base.mark_point(color=look.BLUE, filled=True, size=70, opacity=1).encode(
        x=f"{figure}:Q"
    )
    chart: alt.LayerChart = alt.layer(span, point).properties(view=look.NO_FRAME)
    return chart
