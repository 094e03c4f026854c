"""Fits of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import FitOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def fit(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "model",
    strict: bool = False,
    **options: Unpack[FitOptions],
) -> Frame: ...
@overload
def fit(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[FitOptions],
) -> pl.Expr: ...
@with_options("fit")
def fit(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str = "model",
    strict: bool = False,
    **options: Any,
) -> Any:
    """Fit a model to all rows of a column, or to every group of a frame.

    A model is a self-contained Binary value; the same rows, options and seed give the same bytes.

    Parameters
    ----------
    data
        A frame (Polars, pandas, pyarrow, DuckDB, or another library that exports Arrow), or a
        column (a struct of columns for several features).
    model, models
        As in `generate`: models to which a detector is added. By default a VAE is fitted first.
        With `warm`, models of any series, whose VAEs new models start from; they are read when
        `fit` is called.
    features
        Feature columns of a frame: names, a selector (``cs.float()``), or a mapping from names in
        the model to columns. By default those of `models`, else every numeric column without
        another role, except integers named like a key or a label (with a warning) and columns that
        the verbs add.
    by
        Key columns of a frame; every group is a time series.
    order_by
        Columns for the time order of the rows of a series; by default the order of the rows.
    label
        Boolean column of known anomalies, which are excluded from training.
    name
        Name of the column of models, for frames.
    strict
        Whether a series without a usable window is an error instead of a null model.
    **options
        See `FitOptions` and ``docs/parameters.md``. ``detector`` is used by `score` and `label`;
        ``negatives`` are the anomalies that it is trained against.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the keys and one model per group. For columns: one Binary value. With `share`
        or `warm`, models are stored without their VAE, and those that share one have it in a
        second column, ``{name}_backbone`` (a struct of both for columns): the verbs find it there,
        and Parquet stores equal values once. `standalone` puts both together.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> table = wave.genias.fit(window=16, steps=20)
    >>> table.select(pl.col("model").genias.describe().struct.field("window")).item()
    16
    """
    if is_frame(data):
        models = either(model, models)
        at = frames.inputs(data, features, by, order_by, label, models)
        given = {"models": models, "name": name, "strict": strict}
        return like(data, frames.fit_frame(at, options, **given))
    if options.get("warm") and either(model, models) is None:
        msg = "parameter `warm` = True: give the `model` to start from"
        raise ValueError(msg)
    return expression(
        "fit",
        data,
        options,
        order_by=order_by,
        model=either(model, models),
        label=label,
        strict=strict,
        returns_scalar=True,
    )
