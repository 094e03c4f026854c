"""Frame verbs: one plugin call over all groups, and its result beside the input's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias._models import MODEL, with_models, with_sizes
from polars_genias._options import checked
from polars_genias._plugin import plugin

if TYPE_CHECKING:
    from polars_genias._types import Features, IntoModels, Keys

_RESULT = "__genias_result"
TABLES = ("fit", "events", "pairs")
"""Verbs whose results have rows of their own, and not those of the input."""
_FACTS = ("features", "strength", "kind", "psi", "distance", "redraws", "fallback")


@dataclass(frozen=True)
class Inputs:
    """What a frame verb works on, checked against the schema of its frame."""

    frame: pl.LazyFrame
    schema: pl.Schema
    features: dict[str, str]
    by: list[str]
    order_by: list[str]
    label: str | None

    @property
    def values(self) -> pl.Expr:
        """The features as one struct, under the names that the model knows."""
        return pl.struct(pl.col(column).alias(name) for name, column in self.features.items())


def inputs(
    data: pl.DataFrame | pl.LazyFrame,
    features: Features | None,
    by: Keys | None,
    order_by: Keys | None,
    label: str | None = None,
) -> Inputs:
    """Resolves column names; features default to every numeric column that has no other role.

    Raises
    ------
    ValueError
        For a column that does not exist, a feature that is not numeric, or none at all.
    """
    frame = data.lazy()
    schema = frame.collect_schema()
    keys = {"by": _names(by), "order_by": _names(order_by), "label": _names(label)}
    for role, names in keys.items():
        for name in names:
            require(schema, role, name)
    for role in ("by", "order_by"):
        comparable(schema, role, keys[role])
    if label is not None:
        boolean(schema, "label", label)
    taken = {name for names in keys.values() for name in names}
    chosen = _features(schema, features, taken)
    return Inputs(frame, schema, chosen, keys["by"], keys["order_by"], label)


def _names(names: Keys | None) -> list[str]:
    if names is None:
        return []
    return [names] if isinstance(names, str) else list(names)


def require(schema: pl.Schema, role: str, name: str) -> None:
    """Raises ValueError where the column that parameter `role` names does not exist."""
    if name not in schema:
        msg = f"parameter `{role}` = {name!r}: no such column; there are {schema.names()}"
        raise ValueError(msg)


def boolean(schema: pl.Schema, role: str, name: str) -> None:
    """Raises ValueError where the column that parameter `role` names is not Boolean."""
    require(schema, role, name)
    if schema[name] != pl.Boolean:
        msg = f"parameter `{role}` = {name!r}: must be a Boolean column, not {schema[name]}"
        raise ValueError(msg)


def comparable(schema: pl.Schema, role: str, columns: Sequence[str]) -> None:
    """Raises ValueError for a column of Python objects, which have no order and are no keys."""
    for name in columns:
        if schema[name] == pl.Object:
            msg = f"parameter `{role}`: column {name!r} has dtype Object: cast it to another first"
            raise ValueError(msg)


def _features(schema: pl.Schema, features: Features | None, taken: set[str]) -> dict[str, str]:
    if features is None:
        found = {n: n for n, dtype in schema.items() if dtype.is_numeric() and n not in taken}
        if not found:
            msg = f"parameter `features`: no numeric column is left of {schema.names()}"
            raise ValueError(msg)
        return found
    chosen = dict(features) if isinstance(features, Mapping) else {n: n for n in _names(features)}
    if not chosen:
        msg = "parameter `features` = []: at least one column is needed"
        raise ValueError(msg)
    for column in chosen.values():
        require(schema, "features", column)
        dtype = schema[column]
        if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            msg = f"parameter `features`: column {column!r} has dtype {dtype}, not a numeric one"
            raise ValueError(msg)
    return chosen


def like(data: pl.DataFrame | pl.LazyFrame, result: pl.LazyFrame) -> pl.DataFrame | pl.LazyFrame:
    """A DataFrame for a DataFrame, a LazyFrame for a LazyFrame."""
    return result.collect() if isinstance(data, pl.DataFrame) else result


def _call(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    models: IntoModels | None,
    **given: Any,
) -> tuple[pl.LazyFrame, pl.Expr]:
    """The frame with its models, and one call of the expression `verb` over all its groups."""
    frame, model = with_models(at.frame, models, at.by)
    result = plugin(
        verb,
        at.values,
        options=checked(options, len(at.order_by), verb),
        label=at.label,
        model=model,
        order_by=at.order_by,
        by=at.by,
        **given,
    )
    return frame, result


def beside(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    adds: Sequence[str],
    models: IntoModels | None = None,
    suffix: str = "",
    strict: bool = False,
) -> pl.LazyFrame:
    """The frame with the columns `adds`, which the expression `verb` gives row by row."""
    clash = [name for name in adds if name in at.schema]
    if clash:
        msg = f"column {clash[0]!r} exists already: rename it, or choose another name or suffix"
        raise ValueError(msg)
    frame, result = _call(verb, at, options, models, suffix=suffix, strict=strict)
    if len(adds) == 1 and not options.get("per_feature"):
        frame = frame.with_columns(result.alias(adds[0]))
    else:
        frame = frame.with_columns(result.alias(_RESULT)).unnest(_RESULT)
    return frame.drop(MODEL, strict=False)


def per_group(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool = False,
) -> pl.LazyFrame:
    """What the expression `verb` gives for all groups in one call, which spreads them over cores.

    The keys are the first columns; without keys, the only column is `_RESULT`.
    """
    frame, result = _call(verb, at, options, models, strict=strict, changes_length=True)
    table = frame.select(result.alias(_RESULT))
    return table.unnest(_RESULT) if at.by else table


def _typed(at: Inputs, table: pl.LazyFrame, **same: str) -> pl.LazyFrame:
    """The table with its keys, and the columns `same` of a column each, in the dtypes of the input.

    The plugin gives what an extension type is stored as.
    """
    dtypes = {name: at.schema[of] for name, of in ({key: key for key in at.by} | same).items()}
    extended = {name: dtype for name, dtype in dtypes.items() if hasattr(dtype, "ext_name")}
    return table.with_columns(pl.col(name).ext.to(dtype) for name, dtype in extended.items())


def fit_frame(
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None,
    name: str,
    strict: bool,
) -> pl.LazyFrame:
    """The table of models: the keys, and one model per group."""
    table = per_group("fit", at, options, models=models, strict=strict)
    return _typed(at, table.rename({"model" if at.by else _RESULT: name}))


def pairs_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The pairs of every group, one row each, behind the keys."""
    if isinstance(models, str):
        models = Path(models)
    options = with_sizes(models, options, "window")
    table = per_group("pairs", at, options, models=models, strict=strict)
    return _typed(at, table if at.by else table.unnest(_RESULT))


def events_frame(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool,
) -> pl.LazyFrame:
    """The anomalies of every group, one row each, behind the keys."""
    times = [f"{key}{end}" for end in ("_start", "_end") for key in at.order_by]
    twice = {"id", "start", "length", *_FACTS, *times} & set(at.by)
    if twice:
        msg = f"parameter `by`: the event table has a column {min(twice)!r} of its own; rename it"
        raise ValueError(msg)
    table = per_group(verb, at, options, models=models, strict=strict)
    ends = {f"{key}{end}": key for end in ("_start", "_end") for key in at.order_by}
    return _typed(at, table if at.by else table.unnest(_RESULT), **ends)
