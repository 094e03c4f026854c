"""Rows over time: features, generated anomalies, labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from polars_genias import _frames as frames
from polars_genias._features import boolean, require
from polars_genias._names import column
from polars_genias.plots import _look as look
from polars_genias.plots._thin import drawable, spans, thin, time_axis, where_changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias._types import Features

_X = "__x"
_SCORE = "anomaly_score"
_LABEL = "is_anomaly"
_FLAGGED = "anomaly_label"
_MADE = {_SCORE, _LABEL, _FLAGGED, "anomaly_id", "anomaly_kind", "anomaly_strength"}
"""Columns that the verbs add to those of the series."""


def plot_series(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    features: Features | None = None,
    order_by: str | None = None,
    label: str | Sequence[str] | None = None,
    score: str | Sequence[str] | None = None,
    flagged: str | None = None,
    threshold: float | None = None,
    suffix: str = "_synthetic",
    units: Mapping[str, str] | None = None,
    most: int = 8,
    width: int = 820,
    height: int = 90,
    title: str | None = None,
) -> alt.VConcatChart:
    """Draw one series: a panel per feature and score, one above the other, over the same time.

    The series as it was is grey; generated values, where they differ, are drawn in front of it;
    labelled rows are shaded. What can be found by the names that the verbs give need not be named.
    Of a frame with several groups, filter one.

    Parameters
    ----------
    data
        Rows of one series, as `generate`, `inject`, `score` or `label` gave them, or as they were
        before.
    features
        The columns to draw. By default those that have a synthetic one beside them, or else every
        numeric column that has no other role.
    order_by
        The time: a temporal or numeric column. By default rows are numbered.
    label
        Boolean columns whose true rows are shaded. By default ``is_anomaly``, where there is one.
    score
        Score columns, a panel each. By default ``anomaly_score``, where there is one.
    flagged
        Boolean column of the rows that a detector flagged, drawn as a bar under the first score. By
        default ``anomaly_label``, where there is one.
    threshold
        Drawn as a dashed line across the scores.
    suffix
        What the names of synthetic columns end in.
    units
        Units of features and scores, for the titles of their axes.
    most
        Largest number of features; of more, those with the most generated values are drawn.
    width, height
        Of a panel, in pixels.
    title
        Over the chart.

    Returns
    -------
    VConcatChart
        The chart.

    Raises
    ------
    ValueError
        For a column that is missing or of another type, and for rows at the same time.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> from polars_genias import plots
    >>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.inject(features="cpu", order_by="t", kind="mean", count=1, length=20)
    >>> chart = plots.plot_series(out, order_by="t", units={"cpu": "%"})
    >>> len(chart.vconcat)
    1
    """
    schema = data.lazy().collect_schema()
    labels = _found(schema, "label", label, _LABEL)
    scores = _found(schema, "score", score, _SCORE)
    flags = _found(schema, "flagged", flagged, _FLAGGED)
    if len(labels) > len(look.PASTELS):
        msg = f"parameter `label` = {labels}: at most {len(look.PASTELS)} columns can be shaded"
        raise ValueError(msg)
    for role, names in (("label", labels), ("flagged", flags)):
        for name in names:
            boolean(schema, role, name)
    if features is None:
        features = _default_features(schema, suffix, {*labels, *scores, *flags, order_by})
    at = frames.inputs(data, features, None, order_by)
    rows = _rows(at, [*labels, *scores, *flags], suffix)
    drawn = _most_hit(rows, list(at.features.values()), suffix, most)
    units = dict(units or {})

    fill = _fill(labels, flags)
    shades = [
        _spans(rows, name, fill, width, opacity=0.8, stroke=colour)
        for name, colour in zip(labels, look.PASTELS, strict=False)
    ]
    changed = any(f"{name}{suffix}" in rows.columns for name in drawn)
    x_title = order_by or "row"
    if order_by is not None and schema[order_by] == pl.Duration:
        x_title += " (s)"
    last = (scores or drawn)[-1]
    panels = []
    for name in drawn:
        x, y = _x(rows, x_title if name == last else None), _y(look.with_unit(name, units))
        lines = _lines(rows, name, suffix, x, y, width, changed=changed)
        panels.append(alt.layer(*shades, *lines))
    for name in scores:
        text = look.with_unit(name.replace("_", " "), units)
        x, y = _x(rows, x_title if name == last else None), _y(text)
        layers = [*shades, _line(rows, name, width, look.BLUE).encode(x, y)]
        if threshold is not None:
            text = f"threshold {threshold:.4g}"
            layers += [look.level(threshold), look.note(threshold, text, width)]
        if name == scores[0] and flags:
            bar = _spans(rows, flags[0], fill, width, opacity=1, stroke=look.BLUE)
            layers.append(bar.encode(y=alt.value(height - 5), y2=alt.value(height)))
        panels.append(alt.layer(*layers))
    sized = [panel.properties(width=width, height=height, view=look.NO_FRAME) for panel in panels]
    stacked = alt.vconcat(*sized, spacing=8).resolve_scale(x="shared")
    chart: alt.VConcatChart = look.features_titled(stacked, title, len(drawn), len(at.features))
    return chart


def _found(
    schema: pl.Schema, role: str, names: str | Sequence[str] | None, usual: str
) -> list[str]:
    """The columns that were named, or the one that the verbs would have made."""
    if names is None:
        return [usual] if usual in schema else []
    named = [names] if isinstance(names, str) else list(names)
    for name in named:
        require(schema, role, name)
    return named


def _default_features(schema: pl.Schema, suffix: str, taken: set[str | None]) -> list[str] | None:
    """Columns with a synthetic one beside them, or numeric ones without another role."""
    both = [name for name in schema if f"{name}{suffix}" in schema]
    if both:
        return both
    chosen = [
        name
        for name, dtype in schema.items()
        if dtype.is_numeric() and name not in _MADE and name not in taken
    ]
    return chosen or None


def _rows(at: frames.Inputs, others: list[str], suffix: str) -> pl.DataFrame:
    """What is drawn, in time order: only the columns that are needed are read."""
    names = list(at.features.values())
    made = [f"{name}{end}" for name in names for end in (suffix, "_mask")]
    needed = dict.fromkeys([*names, *(n for n in made if n in at.schema), *others, *at.order_by])
    rows = at.frame.select(column(name) for name in needed).collect()
    if not at.order_by:
        return rows.with_row_index(_X).with_columns(pl.col(_X).cast(pl.Float64))
    time = at.order_by[0]
    rows = rows.with_columns(time_axis(rows, time).alias(_X)).drop_nulls(_X).sort(_X)
    if rows[_X].is_duplicated().any():
        twice = rows.filter(pl.col(_X).is_duplicated())[time][0]
        msg = (
            f"parameter `order_by` = {time!r}: several rows at {twice}; of a frame with several"
            " groups, filter one"
        )
        raise ValueError(msg)
    return rows


def _most_hit(rows: pl.DataFrame, names: list[str], suffix: str, most: int) -> list[str]:
    """At most `most` of the features, those with the most generated values, in their order."""
    if len(names) <= most:
        return names
    hits = {
        name: rows.select(_changed(rows, name, suffix).sum()).item()
        if f"{name}{suffix}" in rows.columns
        else 0
        for name in names
    }
    return look.most_hit(hits, most)


def _changed(rows: pl.DataFrame, name: str, suffix: str) -> pl.Expr:
    """Whether a row's value was generated: by the mask, or where both values differ."""
    if f"{name}_mask" in rows.columns:
        return column(f"{name}_mask").fill_null(value=False)
    return column(name).ne_missing(column(f"{name}{suffix}"))


def _type(rows: pl.DataFrame) -> str:
    """Altair's letter for the time axis."""
    return "T" if rows.schema[_X].is_temporal() else "Q"


def _x(rows: pl.DataFrame, title: str | None) -> alt.X:
    """The time axis, which says the time where it has a title."""
    said = title is not None
    style = look.times if rows.schema[_X].is_temporal() else look.numbers
    axis = style(grid=False, labelOverlap=True, tickCount=10, labels=said, ticks=said)
    return alt.X(
        f"{_X}:{_type(rows)}", title=title, scale=alt.Scale(nice=False, zero=False), axis=axis
    )


def _y(title: str) -> alt.Y:
    # The same room for labels in every panel, so that the panels begin below each other.
    axis = look.numbers(tickCount=3, minExtent=42, titleLimit=120)
    return alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis)


def _line(rows: pl.DataFrame, name: str, width: int, colour: str) -> alt.Chart:
    drawn = thin(rows.select(_X, value=drawable(name)), _X, width)
    line: alt.Chart = alt.Chart(drawn).mark_line(strokeWidth=1.2, color=colour, clip=True)
    return line


def _lines(
    rows: pl.DataFrame, name: str, suffix: str, x: alt.X, y: alt.Y, width: int, *, changed: bool
) -> list[alt.Chart]:
    """One feature as it was, and as it was generated where that differs."""
    if not changed:
        return [_line(rows, name, width, look.GREY).encode(x, y)]
    before = rows.select(_X, value=drawable(name))
    after = before.clear()
    if f"{name}{suffix}" in rows.columns:
        after = rows.select(
            _X, value=where_changed(_changed(rows, name, suffix), f"{name}{suffix}")
        )
    before, after = (thin(line, _X, width) for line in (before, after))
    names = ("as it was", "generated")
    return look.before_after(before, after, x, y, names=names, key=look.legend())


def _fill(labels: list[str], flags: list[str]) -> alt.Fill:
    """The colours of labelled and of flagged rows, in one legend."""
    names = [name.replace("_", " ") for name in (*labels, *flags)]
    colours = [*look.PASTELS[: len(labels)], *([look.BLUE] if flags else [])]
    scale = alt.Scale(domain=names, range=colours)
    key = look.legend(symbolStrokeWidth=0)
    return alt.Fill("rows:N", scale=scale, sort=names, legend=key, title=None)


def _spans(rows: pl.DataFrame, label: str, fill: alt.Fill, width: int, **mark: Any) -> alt.Chart:
    """Rectangles where `label` is true, at least as wide as their outline."""
    found = spans(rows, _X, label, width).with_columns(rows=pl.lit(label.replace("_", " ")))
    outlined = alt.Chart(found).mark_rect(strokeWidth=1, **mark)
    rectangles: alt.Chart = outlined.encode(alt.X(f"start:{_type(rows)}"), alt.X2("end"), fill)
    return rectangles
