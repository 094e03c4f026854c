"""Charts of the verbs' results, drawn with Altair: the extra ``plot``.

Every function takes a DataFrame or a LazyFrame and returns an Altair chart. A chart displays in a
notebook, combines with others (``|`` and ``&``), and is written by `save` as HTML, SVG or PNG
without a browser. Nothing is fitted here: the functions draw results of `generate`, `inject`,
`score`, `label`, `pairs` and `fit`.

Series can have any length. Lines are thinned to the lowest and the highest value of short stretches
of time, and histograms are counted before drawing, so a chart stays small.

Examples
--------
>>> import polars as pl
>>> import polars_genias as pg
>>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
>>> augmented = wave.genias.inject(features="cpu", order_by="t", count=2, length=20)
>>> chart = augmented.genias.plot(order_by="t", units={"cpu": "%"})
>>> len(chart.vconcat)
1
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Union

try:
    import altair as alt
except ModuleNotFoundError as error:
    if error.name != "altair":
        raise
    msg = 'charts need the extra `plot`: pip install "polars-genias[plot]"'
    raise ModuleNotFoundError(msg, name="altair") from error

from pathlib import Path

from polars_genias.plots import _look as look
from polars_genias.plots import _moves as moves
from polars_genias.plots._ablation import plot_ablation
from polars_genias.plots._history import plot_history
from polars_genias.plots._latent import plot_latent
from polars_genias.plots._moves import Panels
from polars_genias.plots._pairs import plot_pairs
from polars_genias.plots._scores import plot_scores
from polars_genias.plots._sensitivity import plot_compare, plot_sensitivity
from polars_genias.plots._series import plot_series

if TYPE_CHECKING:
    import polars as pl

Kind = Literal[
    "series", "pairs", "latent", "history", "scores", "ablation", "sensitivity", "compare"
]
"""Kinds of charts of `plot`."""

Chart = Union[alt.Chart, alt.LayerChart, alt.ConcatChart, alt.HConcatChart, alt.VConcatChart]
"""Any of Altair's charts."""

_FUNCTIONS = {
    "series": plot_series,
    "pairs": plot_pairs,
    "latent": plot_latent,
    "history": plot_history,
    "scores": plot_scores,
    "ablation": plot_ablation,
    "sensitivity": plot_sensitivity,
    "compare": plot_compare,
}


def plot(data: pl.DataFrame | pl.LazyFrame, kind: Kind = "series", **options: Any) -> Chart:
    """Draw a frame; ``.genias.plot`` calls this function.

    Parameters
    ----------
    data
        The rows; the required columns depend on `kind`.
    kind
        ``"series"``: rows over time with anomalies and scores. ``"scores"``: distribution of the
        scores. ``"pairs"``: results of `pairs`. ``"latent"``: windows in the latent space of a
        model. ``"history"``: training history of a table of models. ``"ablation"``: a table of
        table of results. ``"sensitivity"`` and ``"compare"``: what these verbs gave.
    **options
        Options of the function ``plot_{kind}``.

    Returns
    -------
    Chart
        The chart of that function.

    Raises
    ------
    ValueError
        For an unknown kind or a missing column.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> rows = pl.LazyFrame({"anomaly_score": [0.1, 0.2, 0.9], "known": [False, False, True]})
    >>> chart = rows.genias.plot("scores", label="known", threshold=0.5)
    """
    if kind not in _FUNCTIONS:
        msg = f"parameter `kind` = {kind!r}: must be one of {list(_FUNCTIONS)}"
        raise ValueError(msg)
    draw: Any = _FUNCTIONS[kind]
    chart: Chart = draw(data, **options)
    return chart


def dark(chart: Chart) -> Chart:
    """Return the chart in the colours of a dark page.

    Parameters
    ----------
    chart
        A chart of this module.

    Returns
    -------
    Chart
        A new chart on a dark background. Combine charts before, not after.

    Examples
    --------
    >>> import polars as pl
    >>> from polars_genias import plots
    >>> chart = plots.plot_scores(pl.DataFrame({"anomaly_score": [0.1, 0.2, 0.9]}))
    >>> plots.dark(chart).background
    '#1b1e24'
    """
    made: Chart = moves.from_spec(look.in_dark(chart.to_dict()))
    made.background = look.DARK
    return made


def save(
    chart: Chart,
    path: str | Path,
    *,
    scale: float = 2.0,
    theme: Literal["light", "dark"] = "light",
) -> Path:
    """Write a chart as HTML, SVG or PNG, depending on the suffix of `path`, without a browser.

    Parameters
    ----------
    chart
        A chart of this module, or any other Altair chart.
    path
        The file to write or to replace; its folder is created if it does not exist. HTML is
        self-contained (about 800 kB of scripts) and can be read offline. SVG and PNG do not
        contain the overview strip.
    scale
        PNG: image pixels per pixel of the chart.
    theme
        ``"dark"``: as by `dark`.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        For another suffix or theme.

    Examples
    --------
    >>> import polars as pl
    >>> import tempfile
    >>> from polars_genias import plots
    >>> chart = plots.plot_scores(pl.DataFrame({"anomaly_score": [0.1, 0.2, 0.9]}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plots.save(chart, f"{folder}/scores.svg").name
    'scores.svg'
    """
    path = Path(path)
    given: dict[str, dict[str, Any]] = {
        ".html": {"format": "html", "inline": True},
        ".svg": {"format": "svg"},
        ".png": {"format": "png", "scale_factor": scale},
    }
    ending = path.suffix.lower()
    if ending not in given:
        msg = f"parameter `path` = {str(path)!r}: must end in .html, .svg or .png"
        raise ValueError(msg)
    if theme not in ("light", "dark"):
        msg = f"parameter `theme` = {theme!r}: must be 'light' or 'dark'"
        raise ValueError(msg)
    drawn = dark(chart) if theme == "dark" else chart
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending != ".html":
        drawn = moves.from_spec(moves.still(drawn.to_dict()))
    drawn.save(str(path), **given[ending])
    if ending == ".html" and theme == "dark":
        page = path.read_text(encoding="utf-8")
        body = f"<style>\n    body {{ background: {look.DARK}; }}"
        path.write_text(page.replace("<style>", body, 1), encoding="utf-8")
    return path


__all__ = [
    "Chart",
    "Kind",
    "Panels",
    "dark",
    "plot",
    "plot_ablation",
    "plot_compare",
    "plot_history",
    "plot_latent",
    "plot_pairs",
    "plot_scores",
    "plot_sensitivity",
    "plot_series",
    "save",
]
