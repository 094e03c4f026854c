"""Style of all charts: colours, axes, titles, and shared layers.

Styles are set on marks and axes and not in a chart's ``config``, because Altair cannot combine
charts with a ``config``.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

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
BAND = "#cfe3f2"
"""An area behind lines, in a light blue."""

_DARK = {
    GREY: "#9aa0aa",
    VERMILION: "#ff8a3d",
    BLUE: "#5cb6f2",
    ORANGE: "#f5b942",
    SKY: "#7cc8f2",
    GREEN: "#2fc79a",
    PURPLE: "#e39ac0",
    INK: "#e4e7ec",
    QUIET: "#b3b9c3",
    FAINT: "#343a44",
    BAND: "#24435a",
    **dict(
        zip(
            SHADES,
            (
                *("#5a4a1c", "#1f4a61", "#1d4f40", "#553448"),
                *("#5c3422", "#53501f", "#454a54", "#3f3a66"),
            ),
            strict=True,
        )
    ),
    "#f2f6fa": "#1f2a36",
    "#ffffff": "#1b1e24",
}
"""Colours of the light theme, and what stands for them in the dark one."""
DARK = "#1b1e24"
"""Background of the dark theme."""

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


Style = dict[str, Any]
"""Properties of a part of a chart, by their names in Vega-Lite."""


def axis(**given: Any) -> Style:
    """An axis with legible labels."""
    return _AXIS | given


def numbers(**given: Any) -> Style:
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


def legend(**given: Any) -> Style:
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
    return style | given


def title(text: str | None, subtitle: str | list[str] | None = None, **given: Any) -> Any:
    """A left-aligned title; without a text only the subtitle."""
    return alt.TitleParams(**titling(text, subtitle, **given))


def titling(text: str | None, subtitle: str | list[str] | None = None, **given: Any) -> Style:
    """The properties of a `title`."""
    style: Style = {
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
        return {"text": subtitle or ""} | style | alone | given
    if subtitle:
        style["subtitle"] = subtitle
    return {"text": text} | style | given


def panel_title(text: str, **given: Any) -> Style:
    """The title of one panel of several."""
    style: Style = {"fontSize": 12, "fontWeight": "normal", "offset": 4, "frame": "group"}
    return titling(text, **(style | given))


_LONG = 24
"""Characters of a name that is short enough as it is."""


def distinct(names: Sequence[str]) -> tuple[list[str], str | None]:
    """Long names without the words at their beginning and end that all of them share.

    Returns
    -------
    tuple of a list of str and a str
        The short names, and what was left out, as ``"app.pod.*.total"``; None for nothing.
    """
    words = [re.findall(r"[^._/:| -]+[._/:| -]*|^[._/:| -]+", name) for name in names]
    shortest = min(map(len, words), default=0)
    if len(names) < 2 or shortest < 2 or max(map(len, names)) <= _LONG:
        return list(names), None
    first = words[0]
    head = _same(words, range(shortest - 1))
    tail = _same(words, range(-1, head - shortest, -1))
    short = ["".join(own[head : len(own) - tail]).rstrip("._/:| -") for own in words]
    if not head + tail or len(set(short)) < len(set(names)):
        return list(names), None
    return short, f"{''.join(first[:head])}*{_before(names[0], short[0], first, head)}"


def _same(words: list[list[str]], places: range) -> int:
    """In how many places, from the first one on, all lists have the same word."""
    count = 0
    for place in places:
        if len({own[place] for own in words}) > 1:
            break
        count += 1
    return count


def _before(name: str, short: str, words: list[str], head: int) -> str:
    """What follows the short name in the whole one."""
    return name[len("".join(words[:head])) + len(short) :]


NO_FRAME: Style = {"stroke": "transparent"}


def most_hit(hits: dict[str, int], most: int) -> list[str]:
    """At most `most` of the features, those with the most hits, in their order."""
    chosen = set(sorted(hits, key=lambda name: -hits[name])[:most])
    return [name for name in hits if name in chosen]


def titled(chart: Any, text: str | None, note: str | None = None) -> Any:
    """A chart with a title and a subtitle, if there are any."""
    return chart.properties(title=title(text, note)) if text or note else chart


def features_titled(chart: Any, text: str | None, drawn: int, of: int) -> Any:
    """A chart with a title, which notes if not all features are drawn."""
    return titled(chart, text, f"{drawn} of {of} features" if drawn < of else None)


def data(rows: pl.DataFrame) -> Style:
    """Rows as text in the specification: smaller and faster than a list of values by name."""
    numbers = {name: "number" for name, dtype in rows.schema.items() if dtype.is_numeric()}
    return {"values": rows.write_csv(), "format": {"type": "csv", "parse": numbers}}


def in_dark(spec: Any) -> Any:
    """A specification with the colours of the dark theme."""
    if isinstance(spec, dict):
        return {name: of if name == "datasets" else in_dark(of) for name, of in spec.items()}
    if isinstance(spec, list):
        return [in_dark(of) for of in spec]
    return _DARK.get(spec, spec) if isinstance(spec, str) else spec


def with_unit(name: str, units: dict[str, str]) -> str:
    """A name as the title of an axis: ``cpu (%)``."""
    return f"{name} ({units[name]})" if name in units else name


def level(value: float, **given: Any) -> alt.Chart:
    """A dashed line at a value of the y axis, such as a threshold or chance."""
    style: dict[str, Any] = {"strokeDash": [5, 4], "color": INK, "strokeWidth": 1.2} | given
    rule = alt.Chart(pl.DataFrame({"level": [value]})).mark_rule(**style)
    encoded: alt.Chart = rule.encode(alt.Y("level:Q"))
    return encoded


def note(value: float, text: str, *, below: bool = False) -> alt.Chart:
    """A text at the right end of a `level`, by default above it."""
    words = alt.Chart(pl.DataFrame({"level": [value], "text": [text]})).mark_text(
        align="right",
        baseline="top" if below else "bottom",
        dy=3 if below else -3,
        fontSize=11,
        color=INK,
    )
    encoded: alt.Chart = words.encode(alt.Y("level:Q"), alt.Text("text:N"), x=alt.value("width"))
    return encoded


def before_after(
    before: pl.DataFrame,
    after: pl.DataFrame,
    x: alt.X,
    y: alt.Y,
    *,
    names: tuple[str, str],
    key: Style | None,
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
