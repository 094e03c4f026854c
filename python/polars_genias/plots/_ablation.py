"""Charts of results per option value and seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import polars as pl

from polars_genias._features import require
from polars_genias.plots import _look as look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plot_ablation(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    option: str,
    figures: Mapping[str, str] | Sequence[str] | str,
    against: str | None = None,
    colour: str | None = None,
    colours: Mapping[str, str] | None = None,
    levels: Mapping[str, float] | None = None,
    domain: tuple[float, float] | None = None,
    columns: int = 3,
    width: int = 220,
    height: int = 170,
    title: str | None = None,
) -> alt.ConcatChart:
    """Draw measured figures over the values of an option, one panel per figure.

    A numeric option gives a point per row (a seed) and a line through the means; other options give
    bars of the means and a point per row. A second option, `against`, gives a grid of means.

    Parameters
    ----------
    data
        One row per run: values of the options, and figures.
    option
        The column of the option, on the x axis.
    figures
        Columns of figures; a mapping gives each one's title.
    against
        The column of a second option, on the y axis.
    colour
        A column that separates several lines, or groups of bars, in one panel.
    colours
        Colours of its values; by default a palette for colour-blind readers.
    levels
        Figures with a dashed line at a value, such as the chance level.
    domain
        Range of the axis or of the colours of figures; by default that of the data.
    columns
        Panels per row.
    width, height
        Size of a panel in pixels.
    title
        Title of the chart.

    Returns
    -------
    ConcatChart
        The chart.

    Raises
    ------
    ValueError
        For a missing column or a figure that is not numeric.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import plots
    >>> runs = pl.DataFrame(
    ...     {"steps": [100, 100, 400, 400], "seed": [0, 1, 0, 1], "auc_pr": [0.3, 0.4, 0.5, 0.6]}
    ... )
    >>> chart = plots.plot_ablation(runs, option="steps", figures={"auc_pr": "AUC-PR"})
    """
    named = _figures(figures)
    rows = _rows(data, named, {"option": option, "against": against, "colour": colour})
    panels = []
    for figure, text in named.items():
        if against is not None:
            layers = _grid(rows, option, against, figure, domain)
        else:
            layers = _marks(rows, option, figure, colour, dict(colours or {}), domain)
            if figure in (levels or {}):
                layers.append(look.level((levels or {})[figure], color=look.GREY))
        panels.append(
            alt.layer(*layers).properties(
                width=width, height=height, view=look.NO_FRAME, title=look.panel_title(text)
            )
        )
    chart = alt.concat(*panels, columns=columns, spacing=18)
    if against is not None:
        chart = chart.resolve_scale(color="independent")
    titled: alt.ConcatChart = look.titled(chart, title)
    return titled


def _figures(figures: Mapping[str, str] | Sequence[str] | str) -> dict[str, str]:
    if isinstance(figures, str):
        figures = [figures]
    if isinstance(figures, (list, tuple)):
        return {name: name.replace("_", " ") for name in figures}
    return dict(figures)  # type: ignore[arg-type]


def _rows(
    data: pl.DataFrame | pl.LazyFrame, figures: dict[str, str], roles: dict[str, str | None]
) -> pl.DataFrame:
    """The columns that are drawn."""
    frame = data.lazy()
    schema = frame.collect_schema()
    names = {role: name for role, name in roles.items() if name is not None}
    for role, name in names.items():
        require(schema, role, name)
    for name in figures:
        require(schema, "figures", name)
        if not schema[name].is_numeric():
            msg = (
                f"parameter `figures`: column {name!r} has dtype {schema[name]}, not a numeric one"
            )
            raise ValueError(msg)
    return frame.select(*dict.fromkeys([*names.values(), *figures])).collect()


def _marks(
    rows: pl.DataFrame,
    option: str,
    figure: str,
    colour: str | None,
    colours: dict[str, str],
    domain: tuple[float, float] | None,
) -> list[Any]:
    """Means as a line or as bars, and a point per row."""
    numeric = rows.schema[option].is_numeric()
    order = rows[option].unique(maintain_order=True).to_list()
    scale = alt.Scale(zero=not numeric) if domain is None else alt.Scale(domain=list(domain))
    axis = look.numbers(tickCount=5)
    x: Any
    if numeric:
        x = alt.X(
            f"{option}:Q", axis=look.numbers(grid=False, tickCount=6), scale=alt.Scale(zero=False)
        )
    else:
        x = alt.X(f"{option}:N", title=None, sort=order, axis=look.axis(labelAngle=-25))
    encoded: list[Any] = [x]
    bar_colour: dict[str, Any] = {"color": look.BLUE}
    if colour is not None:
        kinds = rows[colour].unique(maintain_order=True).to_list()
        range_ = [colours.get(kind, look.CATEGORIES[i % 7]) for i, kind in enumerate(kinds)]
        key = alt.Scale(domain=kinds, range=range_)
        encoded.append(
            alt.Color(f"{colour}:N", scale=key, sort=kinds, legend=look.legend(), title=None)
        )
        bar_colour = {}
        if not numeric:
            encoded.append(alt.XOffset(f"{colour}:N", sort=kinds))
    base = alt.Chart(rows).encode(*encoded)
    mean = alt.Y(f"mean({figure}):Q", title=None, scale=scale, axis=axis)
    each = alt.Y(f"{figure}:Q", title=None)
    if numeric:
        return [
            base.mark_line(strokeWidth=2, **bar_colour).encode(mean),
            base.mark_point(size=28, filled=True, opacity=0.65, tooltip=True, **bar_colour).encode(
                each
            ),
        ]
    points = alt.Chart(rows).encode(*(part for part in encoded if not isinstance(part, alt.Color)))
    return [
        base.mark_bar(opacity=0.75, **bar_colour).encode(mean),
        points.mark_point(size=22, filled=True, color=look.INK, tooltip=True).encode(each),
    ]


def _grid(
    rows: pl.DataFrame, option: str, against: str, figure: str, domain: tuple[float, float] | None
) -> list[Any]:
    """Means of a figure over two options, one cell each, with its value."""
    means = rows.group_by(option, against, maintain_order=True).agg(pl.col(figure).mean())
    value = pl.col(figure)
    ends = means.select(low=pl.min_horizontal(value.min(), 0), high=value.max()).row(0)
    low, high = domain or ends
    dark = low + 0.5 * (high - low)
    base = alt.Chart(means).encode(
        alt.X(f"{option}:O", axis=look.axis(labelAngle=0)),
        alt.Y(f"{against}:O", sort="descending", axis=look.axis()),
    )
    fill = alt.Color(
        f"{figure}:Q", legend=None, scale=alt.Scale(scheme="blues", domain=[low, high])
    )
    ink = alt.condition(alt.datum[figure] > dark, alt.value("white"), alt.value(look.INK))
    text = base.mark_text(fontSize=12).encode(alt.Text(f"{figure}:Q", format=".2f"), color=ink)
    return [base.mark_rect().encode(fill), text]
