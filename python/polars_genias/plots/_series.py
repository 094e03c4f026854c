"""Charts of rows over time: features, generated anomalies, labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from polars_genias import _frames as frames
from polars_genias._features import boolean, listed, require
from polars_genias._foreign import to_polars
from polars_genias._names import column
from polars_genias.plots import _look as look
from polars_genias.plots._thin import (
    MOST_BINS,
    drawable,
    pixel,
    spans,
    thin,
    time_axis,
    where_changed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias._types import Features, Keys, Table

_X = "__x"
_SCORE = "anomaly_score"
_LABEL = "is_anomaly"
_FLAGGED = "anomaly_label"
_KIND = "anomaly_kind"
_ALARM = "alarm"
_MOST_GROUPS = 12
_MADE = {_SCORE, _LABEL, _FLAGGED, "anomaly_id", "anomaly_kind", "anomaly_strength"}
_MADE |= {"anomaly_nearest"}
"""Columns that the verbs add to those of the series."""
_BOUNDS = ("_lower", "_upper")
"""Suffixes of the columns between which a feature should have been."""


def plot_series(
    data: Table,
    *,
    features: Features | None = None,
    order_by: str | None = None,
    label: str | Sequence[str] | None = None,
    score: str | Sequence[str] | None = None,
    flagged: str | None = None,
    alarms: Table | None = None,
    threshold: float | None = None,
    by: Keys | None = None,
    suffix: str = "_synthetic",
    units: Mapping[str, str] | None = None,
    most: int = 8,
    width: int = 820,
    height: int = 90,
    title: str | None = None,
) -> alt.VConcatChart:
    """Draw one series: panels for features and scores, stacked over the same time axis.

    The original series is grey, generated values are drawn in front of it, and labelled rows are
    shaded. Columns with the default names of the verbs are found automatically. For a frame with
    several groups, filter one, or give the keys in `by`.

    Parameters
    ----------
    data
        Rows of one series, or of several with `by`: an input or a result of `generate`, `inject`,
        `score`, `label` or `expect`, whose bounds are drawn as a band.
    features
        The columns to draw. By default those with a synthetic column, or else every numeric column
        without another role.
    order_by
        The time: a temporal or numeric column. By default rows are numbered.
    label
        Boolean columns whose true rows are shaded. By default ``is_anomaly``, if it exists, with
        one colour per kind if ``anomaly_kind`` has at most 8 kinds.
    score
        Score columns, one panel each. By default ``anomaly_score``, if it exists.
    flagged
        Boolean column of rows flagged by a detector, drawn as a bar below the first score, or below
        the last feature without a score. By default ``anomaly_label``, if it exists.
    alarms
        The result of `polars_genias.alarms`, drawn as this bar instead of `flagged`.
    threshold
        Threshold, drawn as a dashed line across the scores.
    by
        Key columns of the groups: one chart each, stacked.
    suffix
        Suffix of the synthetic columns.
    units
        Units of features and scores, for axis titles.
    most
        Maximum number of features; those with the most generated values are drawn.
    width, height
        Size of a panel in pixels.
    title
        Title of the chart.

    Returns
    -------
    VConcatChart
        The chart.

    Raises
    ------
    ValueError
        For a column that is missing or has another dtype, for rows at the same time, or for more
        than 12 groups.

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
    frame = to_polars(data).lazy()
    if by is not None:
        given: dict[str, Any] = {
            "features": features,
            "order_by": order_by,
            "label": label,
            "score": score,
            "flagged": flagged,
            "threshold": threshold,
            "suffix": suffix,
            "units": units,
            "most": most,
            "width": width,
            "height": height,
        }
        return _per_group(frame, listed(by), alarms, title, given)
    schema = frame.collect_schema()
    labels = _found(schema, "label", label, _LABEL)
    scores = _found(schema, "score", score, _SCORE)
    flags = _found(schema, "flagged", flagged, _FLAGGED) if alarms is None else []
    if len(labels) > len(look.PASTELS):
        msg = f"parameter `label` = {labels}: at most {len(look.PASTELS)} columns can be shaded"
        raise ValueError(msg)
    for role, names in (("label", labels), ("flagged", flags)):
        for name in names:
            boolean(schema, role, name)
    if features is None:
        features = _default_features(schema, suffix, {*labels, *scores, *flags, order_by})
    at = frames.inputs(frame, features, None, order_by)
    kind = [_KIND] if labels == [_LABEL] and _names_kinds(schema) else []
    rows = _rows(at, [*labels, *scores, *flags, *kind], suffix)
    if alarms is not None:
        rows, flags = _with_alarms(rows, to_polars(alarms, "alarms").lazy(), order_by), [_ALARM]
    if kind:
        rows, labels = _by_kind(rows, labels)
    drawn = _most_hit(rows, list(at.features.values()), suffix, most)
    units = dict(units or {})

    fill = _fill(labels, flags)
    shades = [
        _spans(rows, name, fill, width, opacity=0.8, stroke=colour)
        for name, colour in zip(labels, look.SHADES, strict=False)
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
        if flags and not scores and name == last:
            lines.insert(0, _bar(rows, flags[0], fill, width, height))
        panels.append(alt.layer(*shades, *_band(rows, name, x, y, width), *lines))
    for name in scores:
        text = look.with_unit(name.replace("_", " "), units)
        x, y = _x(rows, x_title if name == last else None), _y(text)
        layers = [*shades, _line(rows, name, width, look.BLUE).encode(x, y)]
        if threshold is not None:
            text = f"threshold {threshold:.4g}"
            layers += [look.level(threshold), look.note(threshold, text, width)]
        if name == scores[0] and flags:
            layers.append(_bar(rows, flags[0], fill, width, height))
        panels.append(alt.layer(*layers))
    sized = [panel.properties(width=width, height=height, view=look.NO_FRAME) for panel in panels]
    stacked = alt.vconcat(*sized, spacing=8).resolve_scale(x="shared")
    chart: alt.VConcatChart = look.features_titled(stacked, title, len(drawn), len(at.features))
    return chart


def _per_group(
    frame: pl.LazyFrame, by: list[str], alarms: Any, title: str | None, given: dict[str, Any]
) -> alt.VConcatChart:
    """Charts of all groups, stacked."""
    schema = frame.collect_schema()
    for name in by:
        require(schema, "by", name)
    groups = frame.select(column(name) for name in by).unique().sort(pl.all()).collect()
    if not 0 < groups.height <= _MOST_GROUPS:
        msg = (
            f"parameter `by` = {by}: {groups.height} groups; from 1 to {_MOST_GROUPS} can be drawn"
        )
        raise ValueError(msg)
    frame = _one_colour_per_kind(frame, schema)
    rest = _numbers(schema, by) if given["features"] is None else []
    charts = []
    for keys in groups.iter_rows():
        mine = [column(name).eq_missing(pl.lit(key)) for name, key in zip(by, keys, strict=True)]
        own = None if alarms is None else to_polars(alarms, "alarms").lazy().filter(mine)
        text = ", ".join(str(key) for key in keys)
        rows = frame.filter(mine).drop(rest)
        charts.append(plot_series(rows, alarms=own, title=text, **given))
    stacked = alt.vconcat(*charts, spacing=24)
    return stacked.properties(title=look.title(title, None)) if title else stacked


def _one_colour_per_kind(frame: pl.LazyFrame, schema: pl.Schema) -> pl.LazyFrame:
    """The frame with kinds as an Enum of all kinds in any group."""
    if not _names_kinds(schema):
        return frame
    kind = pl.col(_KIND).cast(pl.String)
    found = frame.select(kind.drop_nulls().unique().sort()).collect()[_KIND]
    return frame.with_columns(kind.cast(pl.Enum(found)))


def _numbers(schema: pl.Schema, by: list[str]) -> list[str]:
    """Numeric keys, which would be drawn as features."""
    return [name for name in by if schema[name].is_numeric()]


def _names_kinds(schema: pl.Schema) -> bool:
    kind = schema.get(_KIND)
    return kind is not None and kind.base_type() in (pl.String, pl.Enum, pl.Categorical)


def _by_kind(rows: pl.DataFrame, labels: list[str]) -> tuple[pl.DataFrame, list[str]]:
    """A Boolean column per kind of anomaly instead of one for all, if there are enough colours."""
    kinds = rows[_KIND].cast(pl.String).drop_nulls().unique().sort().to_list()
    given = rows.schema[_KIND]
    if isinstance(given, pl.Enum) and len(given.categories) <= len(look.SHADES):
        kinds = given.categories.to_list()  # the same colour per kind in every group
    if not 0 < len(kinds) <= len(look.SHADES) or set(kinds) & set(rows.columns):
        return rows, labels
    named = pl.col(_KIND).cast(pl.String)
    return rows.with_columns(
        (named == kind).fill_null(value=False).alias(kind) for kind in kinds
    ), kinds


def _with_alarms(rows: pl.DataFrame, alarms: pl.LazyFrame, order_by: str | None) -> pl.DataFrame:
    """The rows with a Boolean column `_ALARM`: whether an alarm covers them."""
    schema = alarms.collect_schema()
    start = "start" if order_by is None else f"{order_by}_start"
    for name in (start, "length" if order_by is None else f"{order_by}_end"):
        require(schema, "alarms", name)
    end = pl.col("start") + pl.col("length") - 1 if order_by is None else column(f"{order_by}_end")
    spans = alarms.select(start=column(start), end=end).collect().sort("start")
    place = rows.select(at=pl.col(_X).cast(pl.UInt32) if order_by is None else column(order_by))
    spans = spans.cast(place.schema["at"])
    found = place.join_asof(spans, left_on="at", right_on="start", strategy="backward")
    return rows.with_columns((found["at"] <= found["end"]).fill_null(value=False).alias(_ALARM))


def _found(
    schema: pl.Schema, role: str, names: str | Sequence[str] | None, usual: str
) -> list[str]:
    """The given columns, or the default one of the verbs."""
    if names is None:
        return [usual] if usual in schema else []
    named = [names] if isinstance(names, str) else list(names)
    for name in named:
        require(schema, role, name)
    return named


def _default_features(schema: pl.Schema, suffix: str, taken: set[str | None]) -> list[str] | None:
    """Columns with a synthetic column, or numeric columns without another role."""
    both = [name for name in schema if f"{name}{suffix}" in schema]
    if both:
        return both
    bounded = [name for name in schema if all(f"{name}{end}" in schema for end in _BOUNDS)]
    made = {f"{name}{end}" for name in bounded for end in ("_expected", *_BOUNDS)}
    made |= {f"{name}_blame" for name in schema}
    chosen = [
        name
        for name, dtype in schema.items()
        if dtype.is_numeric() and name not in _MADE | made and name not in taken
    ]
    return chosen or None


def _rows(at: frames.Inputs, others: list[str], suffix: str) -> pl.DataFrame:
    """The rows to draw in time order; only the required columns are read."""
    names = list(at.features.values())
    made = [f"{name}{end}" for name in names for end in (suffix, "_mask", *_BOUNDS)]
    needed = dict.fromkeys([*names, *(n for n in made if n in at.schema), *others, *at.order_by])
    rows = at.frame.select(column(name) for name in needed).collect()
    if not at.order_by:
        return rows.with_row_index(_X).with_columns(pl.col(_X).cast(pl.Float64))
    time = at.order_by[0]
    rows = rows.with_columns(time_axis(rows, time).alias(_X)).drop_nulls(_X).sort(_X)
    if rows[_X].is_duplicated().any():
        twice = rows.filter(pl.col(_X).is_duplicated())[time][0]
        msg = (
            f"parameter `order_by` = {time!r}: several rows at {twice}; filter one group"
            " of a frame with several"
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
    """Altair's type code for the time axis."""
    return "T" if rows.schema[_X].is_temporal() else "Q"


def _x(rows: pl.DataFrame, title: str | None) -> alt.X:
    """The time axis; its title names the time column."""
    said = title is not None
    style = look.times if rows.schema[_X].is_temporal() else look.numbers
    axis = style(grid=False, labelOverlap=True, tickCount=10, labels=said, ticks=said)
    return alt.X(
        f"{_X}:{_type(rows)}", title=title, scale=alt.Scale(nice=False, zero=False), axis=axis
    )


def _y(title: str) -> alt.Y:
    # The same width for labels in every panel, so that the panels are aligned.
    axis = look.numbers(tickCount=3, minExtent=42, titleLimit=120)
    return alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=axis)


def _line(rows: pl.DataFrame, name: str, width: int, colour: str) -> alt.Chart:
    drawn = thin(rows.select(_X, value=drawable(name)), _X, width)
    line: alt.Chart = alt.Chart(drawn).mark_line(strokeWidth=1.2, color=colour, clip=True)
    return line


def _lines(
    rows: pl.DataFrame, name: str, suffix: str, x: alt.X, y: alt.Y, width: int, *, changed: bool
) -> list[alt.Chart]:
    """The original values of one feature, and the generated ones where they differ."""
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


def _band(rows: pl.DataFrame, name: str, x: alt.X, y: alt.Y, width: int) -> list[alt.Chart]:
    """The bounds of one feature, where the frame has them: the widest per pixel column."""
    lower, upper = (f"{name}{end}" for end in _BOUNDS)
    if lower not in rows.columns or upper not in rows.columns:
        return []
    bounds = rows.select(_X, value=drawable(lower), upper=drawable(upper))
    binned = (
        bounds.lazy()
        .group_by(pixel(_X, min(width, MOST_BINS)).alias("bin"), maintain_order=True)
        .agg(pl.col(_X).first(), pl.col("value").min(), pl.col("upper").max())
        .select(_X, "value", "upper")
        .collect()
    )
    area = alt.Chart(binned).mark_area(color=look.BLUE, opacity=0.2, clip=True)
    return [area.encode(x, y, alt.Y2("upper"))]


def _fill(labels: list[str], flags: list[str]) -> alt.Fill:
    """The colours of labelled and of flagged rows, in one legend."""
    names = [name.replace("_", " ") for name in (*labels, *flags)]
    colours = [*look.SHADES[: len(labels)], *([look.BLUE] if flags else [])]
    scale = alt.Scale(domain=names, range=colours)
    key = look.legend(symbolStrokeWidth=0)
    return alt.Fill("rows:N", scale=scale, sort=names, legend=key, title=None)


def _bar(rows: pl.DataFrame, flags: str, fill: alt.Fill, width: int, height: int) -> alt.Chart:
    """A bar along the bottom of a panel for flagged rows."""
    bar = _spans(rows, flags, fill, width, opacity=1, stroke=look.BLUE)
    drawn: alt.Chart = bar.encode(y=alt.value(height - 5), y2=alt.value(height))
    return drawn


def _spans(rows: pl.DataFrame, label: str, fill: alt.Fill, width: int, **mark: Any) -> alt.Chart:
    """Rectangles where `label` is true, at least as wide as their outline."""
    found = spans(rows, _X, label, width).with_columns(rows=pl.lit(label.replace("_", " ")))
    outlined = alt.Chart(found).mark_rect(strokeWidth=1, **mark)
    rectangles: alt.Chart = outlined.encode(alt.X(f"start:{_type(rows)}"), alt.X2("end"), fill)
    return rectangles
