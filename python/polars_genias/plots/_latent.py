"""Maps of windows in the latent space of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import altair as alt
import numpy as np
import polars as pl

from polars_genias import _frames as frames
from polars_genias import verbs
from polars_genias._models import model_bytes, with_sizes
from polars_genias._names import column, renamed
from polars_genias.plots import _look as look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from polars_genias._types import Features, IntoModels

_COLOURS = {"normal": look.GREY, "generated": look.VERMILION, "known anomaly": look.BLUE}
_SHAPES = {"normal": "circle", "generated": "triangle-up", "known anomaly": "square"}
_METHODS = {"pca": "PCA", "tsne": "t-SNE"}


def plot_latent(
    data: pl.DataFrame | pl.LazyFrame,
    *,
    models: IntoModels,
    features: Features | None = None,
    order_by: str | None = None,
    label: str | None = None,
    method: Literal["pca", "tsne"] = "pca",
    windows: int = 400,
    log: bool | None = None,
    seed: int = 0,
    width: int = 420,
    height: int = 360,
    title: str | None = None,
    **options: Any,
) -> alt.Chart:
    """Draw a map of windows by their latent means: normal, generated, and known anomalies.

    Normal windows and windows with a generated anomaly come from `pairs`. Known anomalies are
    windows whose middle row is labelled.

    Parameters
    ----------
    data
        Rows of one series. Filter one group of a frame with several.
    models
        The model: bytes, a file, or a table of one model.
    features, order_by
        As in `pairs`.
    label
        Boolean column of known anomalies.
    method
        ``"pca"``: the two main directions of the latent means, relative to the mean of the normal
        windows. ``"tsne"``: an embedding that keeps neighbours together, whose distances and axes
        have no meaning; needs scikit-learn.
    windows
        Approximate maximum number of windows of each kind.
    log
        Whether both axes are logarithmic beyond the range of most normal windows. By default where
        a window is more than ten times as far away as most of these.
    seed
        Seed of the generated anomalies and of t-SNE.
    width, height
        Size of the chart in pixels.
    title
        Title of the chart.
    **options
        Options of `pairs` for its anomalies, such as ``strength``.

    Returns
    -------
    Chart
        The chart.

    Raises
    ------
    ValueError
        For a missing column, an unknown method, several models, or no window.
    ModuleNotFoundError
        For t-SNE without scikit-learn.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> from polars_genias import plots
    >>> wave = pl.DataFrame({"t": range(200)}).select(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.genias.fit(window=16, steps=20)
    >>> chart = plots.plot_latent(wave, models=model, windows=50)
    """
    if method not in _METHODS:
        msg = f"parameter `method` = {method!r}: must be one of {list(_METHODS)}"
        raise ValueError(msg)
    if windows < 2:
        msg = f"parameter `windows` = {windows}: must be >= 2"
        raise ValueError(msg)
    at = frames.inputs(data, features, None, order_by, label)
    model = model_bytes(models)
    means = latent_means(at, model, windows, seed, options)
    values = means["mean"].to_numpy()
    places, about = _pca(values) if method == "pca" else _tsne(values, seed)
    points = means.select("windows", x=pl.Series(places[:, 0]), y=pl.Series(places[:, 1]))
    # In random order, so that no kind covers another.
    points = points.sample(fraction=1, shuffle=True, seed=0)
    middle = points.filter(pl.col("windows") == "normal").select(pl.col("x", "y").mean())
    if method == "pca" and middle["x"].item() is not None:
        points = points.with_columns(pl.col(name) - middle[name].item() for name in ("x", "y"))
    return _chart(points, about, width, height, title, log=log)


def latent_means(
    at: frames.Inputs, model: bytes, windows: int, seed: int, options: dict[str, Any]
) -> pl.DataFrame:
    """Latent means of windows: columns ``windows`` (their kind) and ``mean`` (Array)."""
    size = int(with_sizes(model, {}, "window")["window"])
    needed = [*at.features.values(), *at.order_by, *([at.label] if at.label else [])]
    rows = at.frame.select(column(name) for name in dict.fromkeys(needed)).collect()
    if at.order_by:
        rows = rows.sort(column(name) for name in at.order_by)
    pairs = verbs.pairs(
        rows,
        models=model,
        features=at.features,
        order_by=at.order_by or None,
        label=at.label,
        window_stride=max(1, (rows.height - size) // windows),
        seed=seed,
        **options,
    )
    kinds = {"normal": pairs["normal"], "generated": pairs["anomalous"]}
    if at.label is not None:
        kinds["known anomaly"] = _known(rows, at, at.label, size, windows)
    means = [
        _embedded(found, list(at.features), size, model).select(
            pl.lit(kind).alias("windows"), "mean"
        )
        for kind, found in kinds.items()
        if len(found)
    ]
    if not means:
        msg = f"no window of {size} rows without nulls to draw"
        raise ValueError(msg)
    return pl.concat(means)


def _known(rows: pl.DataFrame, at: frames.Inputs, label: str, size: int, windows: int) -> pl.Series:
    """Windows whose middle row is labelled, without those with a null."""
    values = [column(name).cast(pl.Float64) for name in at.features.values()]
    whole = pl.all_horizontal(value.is_finite().fill_null(value=False) for value in values)
    begins = whole.cast(pl.UInt32).rolling_sum(size).shift(1 - size) == size
    known = begins & column(label).shift(-(size // 2))
    starts = rows.select(pl.arg_where(known.fill_null(value=False))).to_series()
    shielded = renamed(rows.lazy(), at.shields)
    cut = shielded.select(verbs.windows(at.values, size)).collect().to_series()
    return cut.gather(starts.gather_every(max(1, len(starts) // windows)))


def _embedded(windows: pl.Series, features: list[str], size: int, model: bytes) -> pl.DataFrame:
    """The latent means (column ``mean``) of windows, concatenated to a series."""
    values = windows.to_numpy().reshape(-1, len(features))
    rows = pl.DataFrame({name: values[:, i] for i, name in enumerate(features)})
    struct = pl.struct(column(name) for name in features)
    return rows.select(mean=verbs.embed(struct, model=model, window_stride=size))


def _pca(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """The rows in their two main directions, and the shares of variance of these."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(values), 2))
    shares = np.zeros(2)
    found = min(2, len(sizes))
    # The sign of a direction is arbitrary: its largest component is made positive.
    signs = np.sign(right[np.arange(found), np.abs(right[:found]).argmax(axis=1)])
    places[:, :found] = left[:, :found] * sizes[:found] * signs
    total = float((sizes**2).sum())
    shares[:found] = sizes[:found] ** 2 / total if total > 0 else 0.0
    return places, f"PCA of the latent means: {shares[0]:.0%} and {shares[1]:.0%} of their variance"


def _tsne(values: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], str]:
    """t-SNE coordinates of the rows (van der Maaten and Hinton, JMLR 2008)."""
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError as error:
        msg = 'method="tsne" needs scikit-learn: pip install scikit-learn'
        raise ModuleNotFoundError(msg, name=error.name) from error
    perplexity = min(30.0, (len(values) - 1) / 3)
    # With few points, threads that wait for each other are far slower on a busy machine.
    with threadpool_limits(1):
        found = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    about = f"t-SNE of the latent means, perplexity {perplexity:.0f}: distances have little meaning"
    return np.asarray(found, dtype=np.float64), about


_FAR = 10
"""So many times as far as most normal windows, windows are drawn on a logarithmic scale."""


def _distances(points: pl.DataFrame) -> tuple[float, float]:
    """How far most normal windows are from the middle, along an axis, and the farthest window."""
    place = pl.col("x", "y").abs()
    normal = points.filter(pl.col("windows") == "normal")
    near = normal.select(pl.max_horizontal(place.quantile(0.9))).item()
    return near or 0.0, points.select(pl.max_horizontal(place.max())).item()


def _chart(
    points: pl.DataFrame,
    about: str,
    width: int,
    height: int,
    title: str | None,
    *,
    log: bool | None,
) -> alt.Chart:
    kinds = [kind for kind in _COLOURS if kind in points["windows"]]
    axes = "PC" if about.startswith("PCA") else "t-SNE "
    scale = alt.Scale(domain=kinds, range=[_COLOURS[kind] for kind in kinds])
    shapes = alt.Scale(domain=kinds, range=[_SHAPES[kind] for kind in kinds])
    key = look.legend(symbolSize=60)
    axis = look.numbers(tickCount=5, labelOverlap=True)
    place = alt.Scale(zero=False)
    near, far = _distances(points)
    if far > _FAR * near if log is None else log:
        place = alt.Scale(type="symlog", constant=max(near, 1e-6))
    chart: alt.Chart = (
        alt.Chart(points)
        .mark_point(filled=True, size=24, opacity=0.55)
        .encode(
            alt.X("x:Q", title=f"{axes}1", scale=place, axis=axis),
            alt.Y("y:Q", title=f"{axes}2", scale=place, axis=axis),
            alt.Color("windows:N", scale=scale, sort=kinds, legend=key, title=None),
            alt.Shape("windows:N", scale=shapes, sort=kinds, legend=key, title=None),
            tooltip=["windows", *(alt.Tooltip(f"{at}:Q", format=".3~g") for at in "xy")],
        )
        .properties(width=width, height=height, view=look.NO_FRAME, title=look.title(title, about))
    )
    return chart
