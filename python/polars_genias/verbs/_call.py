"""Shared code of the verbs: conversion of arguments to expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import polars as pl

from polars_genias._models import model_argument
from polars_genias._options import checked
from polars_genias._plugin import plugin
from polars_genias._types import IntoColumn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from polars_genias._frames import Inputs
    from polars_genias._types import IntoModel

Order = Union[IntoColumn, Sequence[IntoColumn], None]
"""Columns for the time order of an expression's rows."""


def is_frame(data: Any) -> bool:
    """Whether the argument is a frame; everything else is a column."""
    return not isinstance(data, (str, pl.Expr, pl.Series))


def listed_columns(order_by: Order) -> list[IntoColumn]:
    """The order columns as a list."""
    if order_by is None:
        return []
    return [order_by] if isinstance(order_by, (str, pl.Expr, pl.Series)) else list(order_by)


def expression(
    verb: str,
    column: IntoColumn,
    options: Mapping[str, Any],
    *,
    order_by: Order = None,
    model: IntoModel | None = None,
    **given: Any,
) -> pl.Expr:
    """The expression `verb` of a column."""
    keys = listed_columns(order_by)
    if options.get("total") is not None:
        msg = (
            "parameter `total`: an expression sees one series: use the verb of a frame, or `count`"
        )
        raise ValueError(msg)
    return plugin(
        verb,
        column,
        options=checked(options, len(keys), verb.removesuffix("_events")),
        order_by=keys,
        model=model_argument(model),
        **given,
    )


def either(model: Any, models: Any) -> Any:
    """The given one of `model` (one series) and `models` (several series)."""
    if model is not None and models is not None:
        msg = "give `model` or `models`, not both"
        raise ValueError(msg)
    return model if models is None else models


def of_frames(**given: Any) -> None:
    """Raises ValueError for arguments of frames that are given with a column."""
    for name, value in given.items():
        if value is not None:
            msg = f"parameter `{name}`: is for frames, not for columns"
            raise ValueError(msg)


def synthetic_columns(at: Inputs, suffix: str) -> list[str]:
    """Columns that `generate` and `inject` add to a frame."""
    values = [f"{name}{suffix}" for name in at.features]
    labels = ("is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength")
    return [*values, *labels, *(f"{name}_mask" for name in at.features)]
