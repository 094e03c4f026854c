"""What the labels of models would catch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import polars as pl

from polars_genias import _frames as frames
from polars_genias._foreign import like, to_polars
from polars_genias._table import with_options
from polars_genias.verbs._call import either, expression, is_frame

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from polars_genias._options import SensitivityOptions
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
def sensitivity(
    data: Frame,
    *,
    models: IntoModels | None = None,
    features: Features | None = None,
    by: Keys | None = None,
    order_by: Keys | None = None,
    label: str | None = None,
    where: Where | None = None,
    strict: bool = False,
    **options: Unpack[SensitivityOptions],
) -> Frame: ...
@overload
def sensitivity(
    data: IntoColumn,
    *,
    model: IntoModel | None = None,
    order_by: Order = None,
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    strict: bool = False,
    **options: Unpack[SensitivityOptions],
) -> pl.Expr: ...
@with_options("sensitivity")
def sensitivity(
    data: Any,
    *,
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
    """What `label` would catch: anomalies are put into normal rows, each by itself, and labelled.

    Every kind, strength and duration is tried on every feature, at the same random places: on rows
    without nulls or known anomalies, that are in no alarm already. An anomaly is caught where an
    alarm overlaps its rows. The same rows, models and options give the same table.

    Parameters
    ----------
    data, model, models, features, by, order_by, label, where, strict
        As in `generate`; rows should be normal but for those that `label` marks. By default a model
        is fitted to each series.
    **options
        See `SensitivityOptions`. ``kind``, ``strength``, ``duration``: what is tried, one or
        several of each. ``tries``: how often. ``false_alarm_rate`` or ``alarms_per_day``, and the
        other options of `label`: the alarms.

    Returns
    -------
    DataFrame, LazyFrame or Expr
        Frames: the columns `by`, ``feature`` (null: the tries of all features together),
        ``kind``, ``duration`` (rows), ``strength`` (asked for, in standard deviations of the
        feature in training; null for kinds without), ``tries`` (fewer than asked for where a
        feature cannot show the anomaly or there is no room), ``caught``, ``rate`` (share that is
        caught) with its 95 % interval ``rate_low`` and ``rate_high`` (Wilson), ``delay`` (median
        rows until the first one in an alarm), ``realised`` (mean strength that anomalies have),
        ``smallest`` (strength of which 80 % are caught; null beyond the largest that was tried)
        with its 90 % interval ``smallest_low`` and ``smallest_high`` (bootstrap), and, of the rows
        as they are, ``false_alarms`` (alarms without a known anomaly), ``false_alarm_rate`` (share
        of the normal rows in alarms), ``alarms_per_day`` (false ones) and ``rows_per_day`` (both
        null without one temporal `order_by`). Columns: a struct of these, one row each.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> t = pl.int_range(900)
    >>> wave = pl.select(t=t, cpu=(t / 8).sin() + (t * 7919 % 101) / 200)
    >>> model = wave.genias.fit(order_by="t", window=32)
    >>> table = wave.genias.sensitivity(
    ...     order_by="t", models=model, kind="level-shift", strength=[0.1, 3.0], tries=5
    ... )
    >>> table.select("feature", "kind", "strength", "tries", "caught").rows()
    [('cpu', 'level-shift', 0.1, 5, 0), ('cpu', 'level-shift', 3.0, 5, 5)]
    """
    model = either(model, models)
    if is_frame(data):
        at = frames.inputs(data, features, by, order_by, label, model, where)
        return like(data, frames.sensitivity_frame(at, options, models=model, strict=strict))
    given = {"label": label, "where": where, "strict": strict, "changes_length": True}
    return expression("sensitivity", data, options, order_by=order_by, model=model, **given)


def in_words(table: Any) -> Any:
    """Say in a sentence what `sensitivity` found, for every group, kind and duration.

    Parameters
    ----------
    table
        What `sensitivity` gave.

    Returns
    -------
    DataFrame or LazyFrame
        The key columns, ``feature``, ``kind``, ``duration`` and ``sentence``: a row for all
        features together, or for the one that was tried.

    Examples
    --------
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> t = pl.int_range(900)
    >>> wave = pl.select(t=t, cpu=(t / 8).sin() + (t * 7919 % 101) / 200)
    >>> model = wave.genias.fit(order_by="t", window=32)
    >>> table = wave.genias.sensitivity(
    ...     order_by="t", models=model, kind="level-shift", strength=[0.1, 3.0], tries=5
    ... )
    >>> pg.in_words(table)["sentence"].item()[:43]
    'A level shift of 1.5 deviations that lasts '
    """
    frame = to_polars(table).lazy()
    columns = frame.collect_schema().names()
    missing = [name for name in ("feature", *_OWN) if name not in columns]
    if missing:
        msg = f"parameter `table`: no table of `sensitivity`: column {missing[0]!r} is missing"
        raise ValueError(msg)
    keys = columns[: columns.index("feature")]
    group = [*keys, "kind", "duration"]
    together = pl.col("feature").is_null()
    of_all = frame.filter(pl.when(together.any().over(group)).then(together).otherwise(True))
    near = (pl.col("strength") / pl.col("smallest")).log().abs()
    largest = pl.col("strength").max().over([*group, "feature"])
    rows = (
        of_all.with_columns(largest.alias("largest"))
        .sort(near, nulls_last=True, maintain_order=True)
        .unique([*group, "feature"], keep="first", maintain_order=True)
    )
    said = rows.select(*group, "feature", sentence=_sentence()).sort(
        [*group, "feature"], nulls_last=True
    )
    return like(table, said.select(*keys, "feature", "kind", "duration", "sentence"))


_OWN = ("kind", "duration", "strength", "rate", "delay", "smallest", "rows_per_day")


def _sentence() -> pl.Expr:
    """What is caught, how late, and at how many false alarms."""
    name = pl.col("kind").str.replace_all("-", " ")
    article = pl.when(name.str.contains("^[aeiou]")).then(pl.lit("An ")).otherwise(pl.lit("A "))
    lasts = _lasting(pl.col("duration"))
    largest = pl.col("largest").round(1)
    smallest = pl.col("smallest").round(1)
    late = pl.format(" within {}", _lasting(pl.col("delay").round(0) + 1))
    late = pl.when(pl.col("delay").is_null()).then(pl.lit("")).otherwise(late)
    caught = pl.format("{}{} of {} deviations that lasts {} is caught{}", article, name, smallest,
                       lasts, late)  # fmt: skip
    missed = pl.format("{}{} of up to {} deviations that lasts {} is not caught in 80 % of the "
                       "tries", article, name, largest, lasts)  # fmt: skip
    sized = pl.when(pl.col("smallest").is_null()).then(missed).otherwise(caught)
    share = (100 * pl.col("rate")).round(0).cast(pl.Int64)
    plain = pl.format("{}{} that lasts {} is caught in {} % of the tries", article, name, lasts,
                      share)  # fmt: skip
    found = pl.when(pl.col("strength").is_null()).then(plain).otherwise(sized)
    per_day = pl.format("{} false alarms a day", pl.col("alarms_per_day").round(2))
    rate = pl.format("{} % of the normal rows flagged",
                     (100 * pl.col("false_alarm_rate")).round(2))  # fmt: skip
    price = pl.when(pl.col("alarms_per_day").is_null()).then(rate).otherwise(per_day)
    return pl.when(pl.col("tries") > 0).then(pl.format("{}, at {}.", found, price))


def _lasting(rows: pl.Expr) -> pl.Expr:
    """Rows as a time, where it is known how many a day has."""
    minutes = rows * 1440 / pl.col("rows_per_day")
    count = rows.cast(pl.Int64)
    unit = pl.when(count == 1).then(pl.lit("row")).otherwise(pl.lit("rows"))
    hours = pl.format("{} h", (minutes / 60).round(1))
    short = pl.format("{} minutes", minutes.round(0).cast(pl.Int64))
    time = pl.when(minutes < 120).then(short).otherwise(hours)
    return pl.when(minutes.is_null()).then(pl.format("{} {}", count, unit)).otherwise(time)
