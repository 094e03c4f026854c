"""Tables of anomalies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import GenerateOptions, InjectOptions
    from polars_genias._types import (
        Features,
        Frame,
        IntoColumn,
        IntoModel,
        IntoModels,
        Keys,
        Where,
    )
    from polars_genias.verbs._call import Order


@overload
def events(
    data: Frame,
    *,
    of: Literal["generate"] = "generate",
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    where: Where | None = None,
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> Frame: ...
@overload
def events(
    data: IntoColumn,
    *,
    of: Literal["generate"] = "generate",
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[GenerateOptions],
) -> pl.Expr: ...
@overload
def events(
    data: Frame,
    *,
    of: Literal["inject"],
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    where: Where | None = None,
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> Frame: ...
@overload
def events(
    data: IntoColumn,
    *,
    of: Literal["inject"],
    order_by: Order = None,
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[InjectOptions],
) -> pl.Expr: ...
@with_options("events")
def events(
    data: Any,
    *,
    of: str = "generate",
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    where: Any = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """List anomalies: one row for each anomaly of `generate` or `inject`.

    With the same rows, models, options and seed, these are the anomalies of that verb.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, where, strict
        As in `generate`.
    of
        The verb: ``"generate"`` or ``"inject"``.
    **options
        As in that verb.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the columns `by`, ``id`` (as ``anomaly_id``), ``start`` (row of the series in
        time order, from 0), ``length`` (rows), for each column of `order_by` ``{column}_start`` and
        ``{column}_end`` (its values at the first and the last row), ``features`` (names of the
        features that change), ``strength`` (root mean square of the change over its rows and these
        features, in training standard deviations of each), ``asked`` (the requested strength, null
        if none was requested), ``unable`` (names of chosen features whose domain cannot show the
        anomaly), ``kind`` (as ``anomaly_kind``), ``cluster`` (number of the most similar cluster of
        the model's anomalies, from 1 for the most frequent one; null for deformations), ``psi``
        (scale of the latent noise), ``distance`` (largest deviation of a feature as drawn, in units
        of `tau`), ``redraws`` (number of redraws because no feature exceeded `tau`) and
        ``fallback`` (whether no draw exceeded it). The last five are null without a model. For
        columns: a struct of these, one row per anomaly.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> options = {"window": 16, "steps": 20, "strength": 2.0, "length": 10}
    >>> table = wave.genias.events(order_by="t", **options)
    >>> table.select("id", "length", "features").row(0)
    (1, 10, ['cpu'])
    >>> table["strength"].round(3).unique().to_list()
    [2.0]
    """
    if of not in ("generate", "inject"):
        msg = f'parameter `of` = {of!r}: must be "generate" or "inject"'
        raise ValueError(msg)
    verb = "events" if of == "generate" else "inject_events"
    model = either(model, models)
    if model is not None and of == "inject":
        msg = 'parameter `model`: no model is used with `of` = "inject"'
        raise ValueError(msg)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model, where)
        table = frames.events_frame(verb, at, options, models=model, strict=strict)
        return like(data, table)
    given = {"label": label, "where": where, "strict": strict, "changes_length": True}
    return expression(verb, data, options, order_by=order_by, model=model, **given)
