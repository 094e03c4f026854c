"""Style of all charts: colours, axes, titles, and shared layers.

Styles are set on marks and axes and not in a chart's ``config``, because Altair cannot combine
charts with a ``config``.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

# Okabe and Ito's palette, which colour-blind readers can distinguish, and a neutral grey.
GREY = "#767b84"
VERMILION = "#d55e00"
BLUE = "#0072b2"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
PURPLE = "#cc79a7"
CATEGORIES = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY]
"""Default colours, in order."""
PASTELS = ["#f8dfa8", "#c9e6f8", "#bfe6d9", "#f0dbe6"]
"""Orange, sky, green and purple, light enough for areas behind lines."""
SHADES = [*PASTELS, "#fbd3bf", "#f6f0b5", "#d9dbe0", "#d3cdf0"]
"""As `PASTELS`, and vermilion, yellow, grey and violet."""
INK = "#30343b"
QUIET = "#5b6068"
FAINT = "#e3e6ea"

_AXIS: dict[str, Any] = {
    "labelFontSize": 11,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "labelColor": INK,
    "titleColor": INK,
    "gridColor": FAINT,
    "domainColor": GREY,
    "tickColor": GREY,
}


def axis(**given: Any) -> alt.Axis:
    """An axis with legible labels."""
    return alt.Axis(**(_AXIS | given))


def numbers(**given: Any) -> alt.Axis:
    """An axis of plain numbers: 0.25, 800, 12k, 1.5e-6."""
    say = (
        "format(datum.value, abs(datum.value) >= 1e4 ? '.3~s' : "
        "datum.value && abs(datum.value) < 1e-3 ? '.2~e' : '.4~r')"
    )
    return axis(**({"labelExpr": say} | given))


def log_ticks(values: pl.Series, digits: tuple[int, ...] = (1, 2, 5)) -> list[float]:
    """These digits times every power of ten between the values, or the ends of their range."""
    low, high = pl.select(low=values.min(), high=values.max()).row(0)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) > 1 else [low, high]


def times(**given: Any) -> alt.Axis:
    """An axis of times with a 24-hour clock."""
    day, time = "%a %d", "%H:%M"
    units = {"week": day, "day": day, "date": day, "hours": time, "minutes": time}
    return axis(**({"format": units, "formatType": "time"} | given))


def legend(**given: Any) -> alt.Legend:
    """A legend in the style of the axes, by default above the chart."""
    style: dict[str, Any] = {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "orient": "top",
        "labelLimit": 300,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 80,
        "symbolOpacity": 1,
    }
    return alt.Legend(**(style | given))


def title(text: str | None, subtitle: str | list[str] | None = None, **given: Any) -> Any:
    """A left-aligned title; without a text only the subtitle."""
    style: dict[str, Any] = {
        "anchor": "start",
        "fontSize": 14,
        "fontWeight": "bold",
        "color": INK,
        "subtitleFontSize": 12,
        "subtitleColor": QUIET,
        "offset": 8,
    }
    if text is None:
        alone = {"fontSize": 12, "fontWeight": "normal", "color": QUIET}
        return alt.TitleParams(subtitle or "", **(style | alone | given))
    if subtitle:
        style["subtitle"] = subtitle
    return alt.TitleParams(text, **(style | given))


def panel_title(text: str) -> Any:
    """The title of one panel of several."""
    return title(text, fontSize=12, fontWeight="normal", offset=4, frame="group")


NO_FRAME = alt.ViewBackground(stroke="transparent")


def most_hit(hits: dict[str, int], most: int) -> list[str]:
    """At most `most` of the features, those with the most hits, in their order."""
    chosen = set(sorted(hits, key=lambda name: -hits[name])[:most])
    return [name for name in hits if name in chosen]


def features_titled(chart: Any, text: str | None, drawn: int, of: int) -> Any:
    """A chart with a title, which notes if not all features are drawn."""
    note = f"{drawn} of {of} features" if drawn < of else None
    return chart.properties(title=title(text, note)) if text or note else chart


def with_unit(name: str, units: dict[str, str]) -> str:
    """A name as the title of an axis: ``cpu (%)``."""
    return f"{name} ({units[name]})" if name in units else name


def level(value: float, **given: Any) -> alt.Chart:
    """A dashed line at a value of the y axis, such as a threshold or chance."""
    style: dict[str, Any] = {"strokeDash": [5, 4], "color": INK, "strokeWidth": 1.2} | given
    rule = alt.Chart(pl.DataFrame({"level": [value]})).mark_rule(**style)
    encoded: alt.Chart = rule.encode(alt.Y("level:Q"))
    return encoded


def note(value: float, text: str, width: int, *, below: bool = False) -> alt.Chart:
    """A text at the right end of a `level`, by default above it."""
    words = alt.Chart(pl.DataFrame({"level": [value], "text": [text]})).mark_text(
        align="right",
        baseline="top" if below else "bottom",
        dy=3 if below else -3,
        fontSize=11,
        color=INK,
    )
    encoded: alt.Chart = words.encode(alt.Y("level:Q"), alt.Text("text:N"), x=alt.value(width))
    return encoded


def before_after(
    before: pl.DataFrame,
    after: pl.DataFrame,
    x: alt.X,
    y: alt.Y,
    *,
    names: tuple[str, str],
    key: alt.Legend | None,
) -> list[alt.Chart]:
    """Two lines: the original series (grey), and its changed parts in front of it (vermilion).

    Both frames have the column of `x` and a column ``value``. Lines break at nulls.
    """
    scale = alt.Scale(domain=list(names), range=[GREY, VERMILION])
    colour = alt.Color("line:N", scale=scale, sort=list(names), legend=key, title=None)
    layers = []
    for rows, name, width in zip((before, after), names, (1.2, 1.8), strict=True):
        line = alt.Chart(rows.with_columns(line=pl.lit(name))).mark_line(strokeWidth=width)
        layers.append(line.encode(x, y, colour))
    return layers
