"""Reconstructions and latent means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._models import with_sizes
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import EmbedOptions, ModelOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def reconstruct(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    suffix: str = "_expected",
    strict: bool = False,
    **options: Unpack[ModelOptions],
) -> Frame: ...
@overload
def reconstruct(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    suffix: str = "",
    strict: bool = False,
    **options: Unpack[ModelOptions],
) -> pl.Expr: ...
@with_options("reconstruct")
def reconstruct(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    suffix: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Reconstruct every row with the model, in input units.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`.
    suffix
        Appended to the names of the features; ``_expected`` for frames, empty for columns.
    **options
        See `ModelOptions`: how a model is fitted if none is given.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the input with ``{feature}{suffix}`` per feature. For columns: a struct with one
        field per feature. Float32 for Float32, else Float64: the mean over the windows that cover
        a row, null without a window. A feature that is constant in training gives its constant.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.reconstruct(window=16, steps=20)
    >>> out.columns
    ['cpu', 'cpu_expected']
    >>> bool((out["cpu_expected"] - out["cpu"]).abs().max() < 0.5)
    True
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        suffix = "_expected" if suffix is None else suffix
        adds = [f"{feature}{suffix}" for feature in at.features]
        given = {"models": model, "suffix": suffix, "strict": strict}
        result = frames.beside("reconstruct", at, options, adds=adds, **given)
        return like(data, result, keeps_rows=True)
    given = {"label": label, "suffix": suffix or "", "strict": strict}
    return expression("reconstruct", data, options, order_by=order_by, model=model, **given)


@with_options("embed")
def embed(
    column: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[EmbedOptions],
) -> pl.Expr:
    """Compute the latent mean of every window.

    Parameters
    ----------
    column, model, order_by, label, strict
        As in `generate` for a column. If the model is in a column, `latent` must be given: the
        dtype of the result depends on it.
    **options
        See `EmbedOptions`; `window_stride` is the number of rows between windows.

    Returns
    -------
    Expr
        ``Array(Float32, latent)`` per window without nulls.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.select(pg.embed("cpu", window=16, steps=20, latent=3, window_stride=8))
    >>> out["cpu"].dtype, len(out)
    (Array(Float32, shape=(3,)), 7)
    """
    options = with_sizes(model, options, "window", "latent")  # type: ignore[assignment]
    given = {"label": label, "strict": strict, "changes_length": True}
    return expression("embed", column, options, order_by=order_by, model=model, **given)
