"""Labels and alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from polars_genias import _frames as frames
from polars_genias._foreign import like
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame, of_frames

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
    history: Frame | None = None,
    only_last: int | None = None,
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
    history: Any = None,
    only_last: int | None = None,
    **options: Any,
) -> Any:
    """Label every row: whether it lies in an alarm.

    Thresholds follow from an accepted rate of false alarms. Scores become p-values (`score` with
    ``as_="pvalue"``) against reference scores of normal rows, which adapt to the labelled rows. An
    alarm starts at a row below a low p-value and continues while p-values stay small; it covers
    the rows of the anomaly.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `score`. `label` names the known anomalies of the training data, not the result.
    name
        Name of the new column, for frames.
    update
        Whether to return the models with their updated reference, to label the next rows: frames
        get a column ``model`` with the model of each group in its last row and null elsewhere, an
        expression is a struct of ``label`` and ``model``.
    history, only_last
        As in `score`.
    **options
        See `LabelOptions` and ``docs/alarms.md``. ``false_alarm_rate``: accepted share
        of normal rows in alarms, by default 0.01, that is 100 in 10,000. Alternatively
        ``alarms_per_day``, with a temporal `order_by`. ``budget="fleet"``: all groups of the
        frame share one budget; ``false_groups`` is the accepted share of groups with false alarms
        only, among the groups with alarms. ``adapt``: how fast the reference follows
        the rows. ``join``, ``min_rows``, ``cooldown``, ``min_change``: the extent of an alarm.
        A fixed threshold replaces the rate: ``threshold``, a score or ``"pot"`` (the score that
        one normal row in a thousand exceeds, by peaks over threshold), or ``quantile`` of the
        scores of held-out normal rows. Rows with a higher score are labelled, without a reference.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Boolean per row; null without a score.

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
        given["context"] = frames.Context(history, only_last)
        result = frames.labelled(at, options, name=name, **given)
        return like(data, result, keeps_rows=only_last is None)
    of_frames(history=history, only_last=only_last)
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
    """List alarms: one row for each alarm of `label`.

    With the same rows, models and options, these are the alarms of that verb.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, strict
        As in `label`.
    **options
        As in `label`.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        For frames: the columns `by`, ``id`` (from 1 in each series), ``start`` (row of the series
        in time order, from 0), ``length`` (rows), ``peak`` (row with the largest deviation), for
        each column of `order_by` ``{column}_start``, ``{column}_end`` and ``{column}_peak`` (its
        values at these rows), ``severity`` (0 to 1, comparable between groups: -log10(p) / 12),
        ``p`` (smallest p-value: the probability of a score as high in a normal row), ``direction``
        (``"up"``, ``"down"`` or ``"both"``: direction of the first feature), ``features`` (names of
        the features that deviate, in descending share), ``shares`` (share of each in the deviation,
        in (0, 1]), ``expected`` and ``actual`` (values of the first feature at the peak),
        ``change`` (largest deviation of a feature from its expected value, in its unit) and
        ``open`` (whether it continues after the last row). The columns from ``direction`` to
        ``change`` are null or empty for detectors other than ``"evidence"``. For columns: a struct
        of these, one row per alarm.

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
