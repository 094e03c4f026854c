"""Charts of pairs of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import polars as pl

from polars_genias._features import require
from polars_genias.plots import _look as look
from polars_genias.plots._thin import drawable, where_changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIDES = {"normal": "", "anomalous": "_anomalous", "mask": "_mask"}


def plot_pairs(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    features: Sequence[str] | None = None,
    count: int = 4,
    units: Mapping[str, str] | None = None,
    most: int = 4,
    width: int = 190,
    height: int = 90,
    title: str | None = None,
) -> alt.ConcatChart:
    """Draw pairs of windows: one column per pair, one row per feature.

    The normal window is grey; the rows that its anomaly changes are drawn in front of it.

    Parameters
    ----------
    data
        The result of `pairs` for a frame: columns ``start``, ``normal``, ``anomalous``, ``mask``.
    features
        Names of the features, in the order of the fit; by default they are numbered.
    count
        Number of pairs, evenly spaced over the rows.
    units
        Units of features, for axis titles.
    most
        Maximum number of features; those with the most changed values are drawn.
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
        For a missing column, no pairs, or a wrong number of feature names.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> from polars_genias import plots
    >>> wave = pl.DataFrame({"t": range(128)}).select(cpu=(pl.col("t") / 3).sin())
    >>> pairs = wave.genias.pairs(window=16, steps=20, window_stride=8)
    >>> chart = plots.plot_pairs(pairs, features=["cpu"], count=2)
    >>> len(chart.concat)
    2
    """
    if count < 1:
        msg = f"parameter `count` = {count}: must be >= 1"
        raise ValueError(msg)
    pairs, names = _chosen(data, features, count)
    by_row = unpacked(pairs, names, key="pair")
    drawn = look.most_hit({name: int(by_row[f"{name}_mask"].sum()) for name in names}, most)
    windows = {
        f"row {start:,} on": by_row.filter(pl.col("pair") == pair)
        for pair, start in pairs.select("pair", "start").iter_rows()
    }
    chart = before_after(
        list(windows.values()),
        drawn,
        titles=list(windows),
        units=units,
        width=width,
        height=height,
    )
    titled: alt.ConcatChart = look.features_titled(chart, title, len(drawn), len(names))
    return titled


def _chosen(
    data: pl.DataFrame | pl.LazyFrame, features: Sequence[str] | None, count: int
) -> tuple[pl.DataFrame, list[str]]:
    """Evenly spaced pairs, numbered, and the names of their features."""
    frame = data.lazy()
    schema = frame.collect_schema()
    for name in ("start", *_SIDES):
        require(schema, "data", name)
    dtype = schema["normal"]
    shape = dtype.shape if isinstance(dtype, pl.Array) else ()
    if len(shape) != 2:
        msg = f"column 'normal' has dtype {dtype}: must be an Array of shape (window, features)"
        raise ValueError(msg)
    names = [f"feature {i}" for i in range(shape[1])] if features is None else list(features)
    if len(names) != shape[1]:
        msg = f"parameter `features` = {names}: the pairs have {shape[1]} features"
        raise ValueError(msg)
    number = frame.select(pl.len()).collect().item()
    if number == 0:
        msg = "there are no pairs to draw: the frame is empty"
        raise ValueError(msg)
    count = min(count, number)
    # The middle of each of `count` equal parts.
    rows = pl.select((pl.int_range(count) * 2 + 1) * number // (2 * count)).to_series()
    chosen = frame.select("start", *_SIDES).with_row_index("pair")
    return chosen.filter(pl.col("pair").is_in(rows.to_list())).collect(), names


def unpacked(pairs: pl.DataFrame, features: Sequence[str], *, key: str) -> pl.DataFrame:
    """One row per pair and row of its window.

    Returns
    -------
    DataFrame
        Columns `key` and ``row``, and for each feature its normal value, ``{feature}_anomalous``
        and ``{feature}_mask``.
    """
    number, size, _ = pairs["normal"].to_numpy().shape
    columns = {
        f"{name}{suffix}": pairs[side].to_numpy()[:, :, i].ravel()
        for side, suffix in _SIDES.items()
        for i, name in enumerate(features)
    }
    rows = {key: np.repeat(pairs[key].to_numpy(), size), "row": np.tile(np.arange(size), number)}
    return pl.DataFrame(rows | columns)


def before_after(
    windows: Sequence[pl.DataFrame],
    features: Sequence[str],
    *,
    titles: Sequence[str],
    units: Mapping[str, str] | None = None,
    width: int,
    height: int = 80,
) -> alt.ConcatChart:
    """Windows from `unpacked`: one column each, and one row per feature with a shared y axis."""
    panels = []
    for name in features:
        sides = [window[column] for window in windows for column in (name, f"{name}_anomalous")]
        drawn = pl.concat(side.cast(pl.Float64) for side in sides)
        low, high = drawn.to_frame("y").select(low=pl.col("y").min(), high=pl.col("y").max()).row(0)
        room = 0.06 * (high - low)
        scale = alt.Scale(domain=[low - room, high + room], nice=False)
        for window, above in zip(windows, titles, strict=True):
            first, last = window is windows[0], name == features[-1]
            y = alt.Y(
                "value:Q",
                title=look.with_unit(name, dict(units or {})) if first else None,
                scale=scale,
                axis=look.numbers(tickCount=3, labels=first, ticks=first, titleLimit=height + 20),
            )
            axis = look.axis(tickCount=4, grid=False, labels=last, ticks=last)
            x = alt.X("row:Q", title="row of the window" if last else None, axis=axis)
            panel = alt.layer(
                *changed_lines(
                    window, name, f"{name}_anomalous", f"{name}_mask", x, y, key=look.legend()
                )
            )
            given: dict[str, Any] = (
                {} if name != features[0] else {"title": look.panel_title(above)}
            )
            panels.append(panel.properties(width=width, height=height, view=look.NO_FRAME, **given))
    return alt.concat(*panels, columns=len(windows), spacing=10)


def changed_lines(
    rows: pl.DataFrame,
    before: str,
    after: str,
    mask: str,
    x: alt.X,
    y: alt.Y,
    *,
    key: look.Style | None,
) -> list[alt.Chart]:
    """Lines over ``row``: column `before`, and `after` in front of it if `mask` is true."""
    was = rows.select("row", value=drawable(before))
    now = rows.select("row", value=where_changed(pl.col(mask).fill_null(value=False), after))
    return look.before_after(was, now, x, y, names=("normal", "anomalous"), key=key)
