"""Scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import ScoreOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def score(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str | None = None,
    strict: bool = False,
    **options: Unpack[ScoreOptions],
) -> Frame: ...
@overload
def score(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[ScoreOptions],
) -> pl.Expr: ...
@with_options("score")
def score(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Any:
    """Score every row: higher is more anomalous.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`; `label` matters only where a model is fitted.
    name
        Frames: name of the new column, by default ``anomaly_score``.
    **options
        See `ScoreOptions`. ``detector`` is by default the one that the model was fitted with;
        ``"reconstruction"`` (squared error of the VAE) and ``"amplitude"`` (largest z-score) are
        in every model. ``aggregate``: how the windows that cover a row are combined. With
        ``per_feature=True`` every feature has a score of its own (of ``"reconstruction"``, or
        of ``"amplitude"``), to read where an anomaly is. ``as_="pvalue"``: the probability that a
        normal row scores as high, by the scores of normal rows, which follow the rows; the new
        column is called ``anomaly_pvalue``, where no other name is given. ``explain=True`` says
        why: `explain` says it per alarm. ``bounds=0.95`` says what rows should have been: `expect`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Float32 per row; null where no window without nulls covers it. With ``per_feature``:
        frames get ``{feature}_score`` columns, an expression is a struct. With ``explain``, also:
        ``{feature}_blame`` (Float32: the share of each feature in what is unusual; they add up to
        1, or are all 0 where nothing is), ``anomaly_evidence`` (what speaks most for the score, as
        ``docs/explain.md`` names it; null where nothing does) and ``anomaly_nearest`` (UInt32: the
        row of the training series, in time order, from 0, that stands where this one does in the
        nearest window). With ``bounds``, also the columns of `expect`. An expression is a struct of
        these, in which the first, ``anomaly_evidence`` and ``anomaly_nearest`` are ``score`` (or
        ``pvalue``), ``evidence`` and ``nearest``.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.genias.fit(window=16, steps=20)
    >>> odd = wave.with_columns(cpu=pl.when(pl.int_range(400) == 200).then(5).otherwise("cpu"))
    >>> score = odd.genias.score(models=model)["anomaly_score"]
    >>> bool(score[200] > 5 * score[100])
    True
    >>> why = odd.genias.score(models=model, explain=True)
    >>> why.columns
    ['cpu', 'anomaly_score', 'cpu_blame', 'anomaly_evidence', 'anomaly_nearest']
    >>> why["cpu_blame"][200]
    1.0
    """
    if is_frame(data):
        models = either(model, models)
        at = frames.inputs(data, features, by, order_by, label, models)
        given = {"models": models, "strict": strict}
        if options.get("per_feature"):
            adds = [f"{feature}_score" for feature in at.features]
            result = frames.beside("score", at, options, adds=adds, suffix="_score", **given)
        else:
            name = name or f"anomaly_{options.get('as_') or 'score'}"
            result = frames.scored(at, options, name=name, **given)
        return like(data, result, keeps_rows=True)
    model = either(model, models)
    return expression(
        "score", data, options, order_by=order_by, model=model, label=label, strict=strict
    )
