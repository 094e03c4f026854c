"""Distributions of scores."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from polars_genias._features import boolean, require
from polars_genias._names import column
from polars_genias.plots import _look as look


def plot_scores(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    score: str = "anomaly_score",
    label: str | None = None,
    threshold: float | None = None,
    log: bool = False,
    bins: int = 60,
    width: int = 520,
    height: int = 220,
    title: str | None = None,
) -> alt.LayerChart:
    """Draw the distribution of scores, separately for anomalous and other rows.

    Heights are shares of each kind of rows, since anomalous rows are rare. Rows without a score or
    a label are left out.

    Parameters
    ----------
    data
        Rows with scores, as from `score`.
    score
        The score column.
    label
        Boolean column of true anomalies, such as ``is_anomaly``; without it all rows are one kind.
    threshold
        Threshold, drawn as a dashed line; the title shows how many rows are above it.
    log
        Whether to use a log scale; scores must then be positive.
    bins
        Number of bars between the lowest and the highest score.
    width, height
        Size of the chart in pixels.
    title
        Title of the chart.

    Returns
    -------
    LayerChart
        The chart.

    Raises
    ------
    ValueError
        For a column that is missing or has another dtype, no scores, fewer than one bin, or a
        score <= 0 on a log scale.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import plots
    >>> rows = pl.DataFrame({"anomaly_score": [0.1, 0.2, 0.9], "known": [False, False, True]})
    >>> chart = plots.plot_scores(rows, label="known", threshold=0.5)
    >>> chart.title.text
    'threshold 0.5: 100 % of anomalous rows, 0 % of normal rows above it'
    """
    if bins < 1:
        msg = f"parameter `bins` = {bins}: must be >= 1"
        raise ValueError(msg)
    rows = _rows(data, score, label)
    lowest = rows.select(pl.col("score").min()).item()
    if log and lowest <= 0:
        msg = f"parameter `log` = True: column {score!r} has the score {lowest}, <= 0"
        raise ValueError(msg)
    counted = histogram(rows, bins, log=log)
    kinds = counted["rows"].unique(maintain_order=True).to_list()
    colours = {"normal": look.GREY, "anomalous": look.VERMILION, "all": look.BLUE}
    scale = alt.Scale(domain=kinds, range=[colours[kind] for kind in kinds])
    key = None if label is None else look.legend(symbolOpacity=0.6)
    name = score.replace("_", " ")
    x = alt.X(
        "low:Q",
        title=f"{name} (log scale)" if log else name,
        scale=alt.Scale(type="log" if log else "linear", zero=False, nice=False),
        axis=look.numbers(grid=False, tickCount=8, labelOverlap=True),
    )
    y = alt.Y(
        "share:Q",
        title="share of rows" if label is None else "share of the rows of each kind",
        stack=None,
        axis=look.axis(format=".0%", tickCount=5),
    )
    bars = alt.Chart(counted).mark_rect(opacity=0.5, strokeWidth=0)
    layers: list[Any] = [
        bars.encode(
            x,
            alt.X2("high"),
            y,
            alt.Y2Datum(0),
            alt.Fill("rows:N", scale=scale, sort=kinds, legend=key, title=None),
            tooltip=[
                "rows",
                *(alt.Tooltip(f"{end}:Q", format=".4~g") for end in ("low", "high")),
                "count",
                alt.Tooltip("share:Q", format=".2%"),
            ],
        )
    ]
    subtitle = None
    if threshold is not None:
        subtitle = _above(rows, threshold)
        rule = alt.Chart(pl.DataFrame({"low": [float(threshold)]}))
        layers.append(rule.mark_rule(strokeDash=[5, 4], color=look.INK, strokeWidth=1.4).encode(x))
    chart: alt.LayerChart = alt.layer(*layers).properties(
        width=width, height=height, view=look.NO_FRAME
    )
    titled: alt.LayerChart = look.titled(chart, title, subtitle)
    return titled


def _rows(data: pl.DataFrame | pl.LazyFrame, score: str, label: str | None) -> pl.DataFrame:
    """Columns ``score`` and ``rows`` (their kind) of the rows with both."""
    frame = data.lazy()
    schema = frame.collect_schema()
    require(schema, "score", score)
    if not schema[score].is_numeric():
        msg = f"parameter `score` = {score!r}: must be a numeric column, not {schema[score]}"
        raise ValueError(msg)
    kind = pl.lit("all")
    if label is not None:
        boolean(schema, "label", label)
        known = column(label)
        kind = pl.when(known).then(pl.lit("anomalous")).when(~known).then(pl.lit("normal"))
    value = column(score).cast(pl.Float64)
    rows = frame.select(score=value, rows=kind).filter(pl.col("score").is_finite()).drop_nulls()
    found = rows.collect()
    if found.is_empty():
        msg = f"parameter `score` = {score!r}: no row has a score"
        raise ValueError(msg)
    return found


def histogram(rows: pl.DataFrame, bins: int, *, log: bool) -> pl.DataFrame:
    """Shares of the rows of each kind per bin of equal width (or equal ratio).

    Returns
    -------
    DataFrame
        Columns ``rows`` (normal first), ``low``, ``high``, ``count``, ``share``; empty bins are
        left out.
    """
    value = pl.col("score").log() if log else pl.col("score")
    low, high = rows.select(low=value.min(), high=value.max()).row(0)
    if high == low:
        low, high = low - 0.5, high + 0.5
    step = (high - low) / bins
    number = ((value - low) / step).floor().clip(0, bins - 1)
    edges = {"low": low + pl.col("bin") * step, "high": low + (pl.col("bin") + 1) * step}
    return (
        rows.group_by("rows", number.alias("bin"))
        .agg(count=pl.len())
        .with_columns(share=pl.col("count") / pl.col("count").sum().over("rows"))
        .select(
            "rows",
            *((edge.exp() if log else edge).alias(name) for name, edge in edges.items()),
            "count",
            "share",
        )
        .sort("rows", "low", descending=[True, False])
    )


def _above(rows: pl.DataFrame, threshold: float) -> str:
    """A text with the shares of rows of each kind above the threshold."""
    above = rows.group_by("rows").agg(above=(pl.col("score") > threshold).mean() * 100)
    shares = dict(above.iter_rows())
    named = [
        f"{shares[kind]:.3g} % of {kind} rows"
        for kind in ("anomalous", "normal", "all")
        if kind in shares
    ]
    return f"threshold {threshold:.4g}: {', '.join(named)} above it"
