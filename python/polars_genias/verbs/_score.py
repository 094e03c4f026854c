"""Scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame, of_frames

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
    history: Frame | None = None,
    only_last: int | None = None,
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
    history: Any = None,
    only_last: int | None = None,
    **options: Any,
) -> Any:
    """Score every row: higher is more anomalous.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `generate`; `label` only matters if a model is fitted.
    name
        Name of the new column, for frames; by default ``anomaly_score``.
    history
        Frames: rows before those of `data`, with the columns that the verb reads. They are context
        for the first rows, and are not returned: the first rows of a day get the scores that they
        get with the day before.
    only_last
        Frames: return only this many rows at the end of each series; the others are context.
    **options
        See `ScoreOptions`. ``detector`` is by default the one that the model was fitted with;
        ``"reconstruction"`` (squared error of the VAE) and ``"amplitude"`` (largest z-score) are
        in every model. ``aggregate``: how the windows that cover a row are combined.
        ``per_feature=True`` gives every feature its own score (with ``"reconstruction"`` or
        ``"amplitude"``). ``as_="pvalue"`` gives the probability of a score as high in a normal row,
        against a reference of normal rows that follows the rows; the default name of the new column
        is then ``anomaly_pvalue``. ``as_="row"`` gives the scores that labels follow: those of
        ``"evidence"`` do not count what is near. ``explain=True`` adds the features to blame
        (`explain` lists them per alarm), ``bounds=0.95`` what each row should have been (`expect`).

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Float32 per row; null for a row with a null, or without a window. With ``per_feature``,
        frames get ``{feature}_score`` columns, and an expression is a struct. With ``explain``,
        frames also get ``{feature}_blame`` (Float32: the share of each feature in what is unusual;
        the shares of a row add up to 1, or are all 0), ``anomaly_evidence`` (what contributes most
        to the score; see ``docs/explain.md``) and ``anomaly_nearest`` (UInt32: the most similar
        row of the training series, in time order, from 0). With ``bounds``, they also get the
        columns of `expect`. An expression is then a struct of these, with the names ``score`` (or
        ``pvalue``), ``evidence`` and ``nearest`` for those without a feature.

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
        context = frames.Context(history, only_last)
        given = {"models": models, "strict": strict, "context": context}
        if options.get("per_feature"):
            adds = [f"{feature}_score" for feature in at.features]
            result = frames.beside("score", at, options, adds=adds, suffix="_score", **given)
        else:
            is_p = options.get("as_") == "pvalue"
            name = name or ("anomaly_pvalue" if is_p else "anomaly_score")
            result = frames.scored(at, options, name=name, **given)
        return like(data, result, keeps_rows=only_last is None)
    model = either(model, models)
    of_frames(history=history, only_last=only_last)
    return expression(
        "score", data, options, order_by=order_by, model=model, label=label, strict=strict
    )
