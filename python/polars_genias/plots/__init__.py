"""Pictures of what the verbs give, drawn with Altair: the extra ``plot``.

Every function takes a DataFrame or a LazyFrame and returns an Altair chart, which shows itself in a
notebook, combines with others (``|`` and ``&``), and is written by `save` as HTML, SVG or PNG, for
which no browser is needed. Nothing is fitted here: draw what `generate`, `inject`, `score`,
`label`, `pairs` and `fit` returned.

Series of any length can be drawn. Lines are thinned to the points that decide what a column of
pixels shows, and counts are taken before drawing, so that a chart never holds more rows than Altair
allows (5,000 per layer) and its limit need not be lifted.

Examples
--------
>>> import polars as pl
>>> import polars_genias as pg
>>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
>>> augmented = wave.genias.inject(features="cpu", order_by="t", count=2, length=20)
>>> chart = augmented.genias.plot(order_by="t", units={"cpu": "%"})
>>> type(chart).__name__
'VConcatChart'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Union

try:
    import altair as alt
except ModuleNotFoundError as error:
    if error.name != "altair":
        raise
    msg = 'pictures need the extra `plot`: pip install "polars-genias[plot]"'
    raise ModuleNotFoundError(msg, name="altair") from error

from pathlib import Path

from polars_genias.plots._ablation import plot_ablation
from polars_genias.plots._history import plot_history
from polars_genias.plots._latent import plot_latent
from polars_genias.plots._pairs import plot_pairs
from polars_genias.plots._scores import plot_scores
from polars_genias.plots._sensitivity import plot_compare, plot_sensitivity
from polars_genias.plots._series import plot_series

if TYPE_CHECKING:
    import polars as pl

Kind = Literal[
    "series", "pairs", "latent", "history", "scores", "ablation", "sensitivity", "compare"
]
"""What `plot` can draw."""

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
    """Draw a frame: what ``.genias.plot`` calls.

    Parameters
    ----------
    data
        The rows; which columns are needed depends on `kind`.
    kind
        ``"series"``: rows over time with anomalies and scores. ``"scores"``: distribution of the
        scores. ``"pairs"``: what `pairs` gave. ``"latent"``: where windows lie in the latent space
        of a model. ``"history"``: a table of models, how their training went. ``"ablation"``: a
        table of results. ``"sensitivity"`` and ``"compare"``: what these verbs gave.
    **options
        Those of the function named ``plot_{kind}``.

    Returns
    -------
    Chart
        As that function.

    Raises
    ------
    ValueError
        For a kind that does not exist, or a column that is missing.

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


def save(chart: Chart, path: str | Path, *, scale: float = 2.0) -> Path:
    """Write a chart as HTML, SVG or PNG, by the ending of `path`. No browser is needed.

    Parameters
    ----------
    chart
        What a function of this module returned, or any other Altair chart.
    path
        The file to write or to replace; its folder is made where it is missing. HTML holds all that
        it needs (some 800 kB of scripts) and can be read offline.
    scale
        PNG: pixels of the picture per pixel of the chart.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        For another ending.

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
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(path), **given[ending])
    return path


__all__ = [
    "Chart",
    "Kind",
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
