"""Training data for a detector."""

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

    from polars_genias._options import PairsOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def pairs(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[PairsOptions],
) -> Frame: ...
@overload
def pairs(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[PairsOptions],
) -> pl.Expr: ...
@with_options("pairs")
def pairs(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Return windows without and with an anomaly: training data for a detector.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`. If the model is in a column, `window` must be given: the dtype of the
        result depends on it.
    **options
        See `PairsOptions`; `window_stride` is the number of rows between windows.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        One row per window: ``start`` (its first row in the series), ``normal`` and ``anomalous``
        (Arrays of shape ``W``; ``(W, D)`` for several features, and always for frames; their dtype
        is that of the features, or Float64 if these differ), ``mask`` (Boolean, of the same shape:
        which values differ) and ``kind`` (String, as ``anomaly_kind`` of `generate`). For columns:
        a struct of these.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(64)}).select(cpu=(pl.col("t") / 3).sin())
    >>> out = wave.genias.pairs(window=16, steps=20, window_stride=8)
    >>> out["start"].to_list()
    [0, 8, 16, 24, 32, 40, 48]
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        return like(data, frames.pairs_frame(at, options, models=model, strict=strict))
    options = with_sizes(model, options, "window")
    return expression(
        "pairs",
        data,
        options,
        order_by=order_by,
        model=model,
        label=label,
        strict=strict,
        changes_length=True,
    )
