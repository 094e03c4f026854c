"""Labels, and the alarms that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    import polars as pl
    from typing_extensions import Unpack

    from polars_genias._options import LabelOptions
    from polars_genias._types import Features, Frame, IntoColumn, IntoModel, IntoModels, Keys
    from polars_genias.verbs._call import Order


@overload
def label(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    name: str = "anomaly_label",
    strict: bool = False,
    update: bool = False,
    **options: Unpack[LabelOptions],
) -> Frame: ...
@overload
def label(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    update: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.Expr: ...
@with_options("label")
def label(
    data: Any,
    *,
    model: Any = None,
    models: Any = None,
    features: Any = None,
    by: Any = None,
    order_by: Any = None,
    label: Any = None,
    name: str = "anomaly_label",
    strict: bool = False,
    update: bool = False,
    **options: Any,
) -> Any:
    """Label every row: whether it lies in an alarm.

    A label is a promise about false alarms. Scores become probabilities (`score` with
    ``as_="pvalue"``) by those of normal rows, which follow the rows that are labelled. An alarm
    starts where a score is too improbable and goes on while it is improbable; it is as long as
    what it reports.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `score`. `label` names the known anomalies of the training data, not the result.
    name
        Frames: name of the new column.
    update
        Whether the models come back with what they have seen, for the rows that come next: frames
        get a column ``model`` that holds the model of each group at its last row and null
        elsewhere, an expression is a struct of ``label`` and ``model``.
    **options
        See `LabelOptions` and ``docs/alarms.md``. ``false_alarm_rate``: share of the rows of a
        normal series that may lie in alarms, by default 0.001, 10 of 10,000. Or
        ``alarms_per_day``, with a temporal `order_by`. ``adapt``: how fast what is normal follows
        the rows. ``join``, ``min_rows``, ``cooldown``, ``min_change``: what one alarm is.
        Or a line instead of a promise: ``threshold``, a score or ``"pot"`` (the score that a
        normal row passes once in a thousand, by peaks over threshold), or ``quantile``, of the
        scores of held-out normal rows; rows that score above it are labelled, and nothing follows.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Boolean per row; null where there is no score.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
    >>> wave.genias.label(window=16, steps=20, threshold=1e9)["anomaly_label"].any()
    False
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        given = {"models": model, "strict": strict, "update": update}
        result = frames.labelled(at, options, name=name, **given)
        return like(data, result, keeps_rows=True)
    given = {"model": model, "label": label, "strict": strict, "update": update}
    return expression("label", data, options, order_by=order_by, **given)


@overload
def alarms(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> Frame: ...
@overload
def alarms(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[LabelOptions],
) -> pl.Expr: ...
@with_options("alarms")
def alarms(
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
    """What alarms there are: one row for each whose rows `label` marks.

    With the same rows, models and options these are the alarms of that verb.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `label`.
    **options
        As in `label`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the columns `by`, ``id`` (from 1 in each series), ``start`` (row of the series, in
        time order, from 0), ``length`` (rows), ``peak`` (its oddest row), per column of `order_by`
        ``{column}_start``, ``{column}_end`` and ``{column}_peak`` (its values at these rows),
        ``severity`` (0 to 1, the same in every group: -log10(p) / 12), ``p`` (least probability of
        a score as high in a normal row), ``direction`` (``"up"``, ``"down"`` or ``"both"``: where
        the first feature went), ``features`` (names of those to blame, the first of them first),
        ``shares`` (what each has of it, in (0, 1]), ``expected`` and ``actual`` (of the first
        feature at the peak), ``change`` (largest movement of a feature from what was expected, in
        its unit) and ``open`` (whether it goes on after the last row). From ``direction`` to
        ``change`` they are null or empty for detectors other than ``"evidence"``. Columns: a
        struct of these, one row per alarm.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.DataFrame({"t": range(900)}).with_columns(cpu=(pl.col("t") / 3).sin())
    >>> model = wave.head(600).genias.fit(order_by="t", window=32, detector="evidence")
    >>> odd = wave.with_columns(
    ...     cpu=pl.when(pl.col("t").is_between(700, 709)).then(pl.col("cpu") + 4).otherwise("cpu")
    ... )
    >>> table = odd.tail(300).genias.alarms(order_by="t", models=model)
    >>> table.select("t_start", "t_end", "direction").row(0)
    (700, 709, 'up')
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model)
        return like(data, frames.alarms_frame(at, options, models=model, strict=strict))
    given = {"label": label, "strict": strict, "changes_length": True}
    return expression("alarms", data, options, order_by=order_by, model=model, **given)
