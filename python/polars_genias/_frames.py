"""Frame verbs: one plugin call over all groups, and its result beside the input's columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _names as names
from polars_genias._features import boolean, chosen_features, listed, require
from polars_genias._foreign import to_polars
from polars_genias._models import MODEL, with_models, with_sizes
from polars_genias._options import checked
from polars_genias._plugin import plugin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias._types import Features, IntoModels, Keys

_RESULT = f"{names.OWN}result"
_KEY = f"{names.OWN}key_"
TABLES = ("fit", "events", "pairs", "alarms", "sensitivity", "compare")
"""Verbs whose results have rows of their own, and not those of the input."""
_ONE_COLUMN = ("score", "label")
"""Verbs whose result is a column and no struct of them."""
_PAIRS = ("start", "normal", "anomalous", "mask", "kind")
_ALARM = (
    *("id", "start", "length", "peak", "severity", "p", "direction", "features", "shares"),
    *("expected", "actual", "change", "open"),
)
_DETECTION = (
    *("feature", "kind", "duration", "strength", "tries", "caught", "rate", "rate_low"),
    *("rate_high", "delay", "realised", "smallest", "smallest_low", "smallest_high"),
    *("false_alarms", "false_alarm_rate", "alarms_per_day", "rows_per_day"),
)
_FACTS = (
    *("features", "strength", "asked", "unable", "kind", "cluster"),
    *("psi", "distance", "redraws", "fallback"),
)


@dataclass(frozen=True)
class Inputs:
    """What a frame verb works on, checked against the schema of its frame."""

    frame: pl.LazyFrame
    schema: pl.Schema
    features: dict[str, str]
    by: list[str]
    order_by: list[str]
    label: str | None
    where: pl.Expr | None = None
    """Rows that anomalies may be put on."""
    shields: dict[str, str] = field(default_factory=dict)
    """Other names, in `shielded`, for columns of a role that Polars would read as patterns."""

    @property
    def values(self) -> pl.Expr:
        """The features as one struct, under the names that the model knows."""
        return pl.struct(self.column(column).alias(name) for name, column in self.features.items())

    @property
    def shielded(self) -> pl.LazyFrame:
        """The frame in which `column` finds its columns."""
        return names.renamed(self.frame, self.shields)

    def column(self, name: str) -> pl.Expr:
        """A column of a role, in `shielded`; its name is the user's."""
        return pl.col(self.shields.get(name, name)).alias(name)


def inputs(
    data: Any,
    features: Features | None,
    by: Keys | None,
    order_by: Keys | None,
    label: str | None = None,
    models: IntoModels | None = None,
    where: pl.Expr | str | None = None,
) -> Inputs:
    """Resolves column names; `default_features` says what the features are by default.

    Raises
    ------
    ValueError
        For a column that does not exist, a feature that is not numeric, or none at all.
    """
    frame = to_polars(data).lazy()
    schema = frame.collect_schema()
    names.refuse_own(schema)
    keys = {"by": listed(by), "order_by": listed(order_by), "label": listed(label)}
    for role, given in keys.items():
        for name in given:
            require(schema, role, name)
        names.refuse_twice(role, given)
    for role in ("by", "order_by"):
        comparable(schema, role, keys[role])
    if label is not None:
        boolean(schema, "label", label)
    taken = {name for given in keys.values() for name in given}
    chosen = chosen_features(schema, features, taken, models)
    shields = names.shields([*taken, *chosen.values()])
    place = _place(frame, schema, where)
    return Inputs(frame, schema, chosen, keys["by"], keys["order_by"], label, place, shields)


def _place(frame: pl.LazyFrame, schema: pl.Schema, where: pl.Expr | str | None) -> pl.Expr | None:
    """Rows that anomalies may be put on: a Boolean column, or an expression of one.

    Raises
    ------
    ValueError
        For anything else.
    """
    if where is None:
        return None
    if isinstance(where, str):
        require(schema, "where", where)
        where = names.column(where)
    made = frame.select(where).collect_schema()
    if made.dtypes() != [pl.Boolean]:
        found = ", ".join(f"{name!r} ({dtype})" for name, dtype in made.items())
        msg = f"parameter `where`: must be one Boolean column, not {found}"
        raise ValueError(msg)
    return where


def comparable(schema: pl.Schema, role: str, columns: Sequence[str]) -> None:
    """Raises ValueError for a column of Python objects, which have no order and are no keys."""
    for name in columns:
        if schema[name] == pl.Object:
            msg = f"parameter `{role}`: column {name!r} has dtype Object: cast it to another first"
            raise ValueError(msg)


def _call(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    models: IntoModels | None,
    **given: Any,
) -> tuple[pl.LazyFrame, pl.Expr]:
    """The frame with its models, and one call of the expression `verb` over all its groups."""
    frame, model = with_models(at.shielded, models, at.by, at.shields)
    result = plugin(
        verb,
        at.values,
        options=checked(options, len(at.order_by), verb.removesuffix("_events")),
        label=None if at.label is None else at.column(at.label),
        where=at.where,
        model=model,
        order_by=[at.column(name) for name in at.order_by],
        by=[at.column(name).alias(f"{_KEY}{number}") for number, name in enumerate(at.by)],
        keys=at.by,
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
    _refuse_clash(at, adds)
    frame, result = _call(verb, at, options, models, suffix=suffix, strict=strict)
    if verb in _ONE_COLUMN and not options.get("per_feature"):
        frame = frame.with_columns(result.alias(adds[0]))
    else:
        frame = frame.with_columns(result.alias(_RESULT)).unnest(_RESULT)
    return names.restored(frame.drop(MODEL, strict=False), at.shields)


def labelled(
    at: Inputs,
    options: Mapping[str, Any],
    *,
    name: str,
    models: IntoModels | None,
    strict: bool,
    update: bool,
) -> pl.LazyFrame:
    """The frame with its labels, and where `update` with the models beside the last rows."""
    if not update:
        return beside("label", at, options, adds=[name], models=models, strict=strict)
    adds = {name: "label", "model": "model"}
    _refuse_clash(at, list(adds))
    frame, result = _call("label", at, options, models, strict=strict, update=True)
    found = pl.col(_RESULT).struct
    frame = frame.with_columns(result.alias(_RESULT))
    frame = frame.with_columns(found.field(own).alias(new) for new, own in adds.items())
    return names.restored(frame.drop(_RESULT, MODEL, strict=False), at.shields)


def alarms_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The alarms of every group, one row each, after the keys."""
    what = "the table of alarms"
    copies = _times(at, _ALARM, what, ("_start", "_end", "_peak"))
    table = per_group("alarms", at, options, models=models, strict=strict)
    return _keyed(at, _unnested(at, table), [*_ALARM, *copies], what, copies)


def sensitivity_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """What labels would catch in every group, after the keys."""
    table = per_group("sensitivity", at, options, models=models, strict=strict)
    return _keyed(at, _unnested(at, table), _DETECTION, "the table of sensitivity")


def compare_frame(at: Inputs, options: Mapping[str, Any]) -> pl.LazyFrame:
    """Columns of scores on the anomalies of all groups."""
    frame, result = _call("compare", at, options, None, changes_length=True)
    return frame.select(result.alias(_RESULT)).unnest(_RESULT)


def _refuse_clash(at: Inputs, adds: Sequence[str]) -> None:
    """Raises ValueError where two columns of the result would have one name."""
    names.refuse_own(adds)
    for number, name in enumerate(adds):
        if name in at.schema:
            msg = f"column {name!r} exists already: rename it, or choose another name or suffix"
            raise ValueError(msg)
        if name in adds[:number]:
            msg = f"column {name!r} would be made twice: rename the feature, or choose a suffix"
            raise ValueError(msg)


def per_group(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool = False,
) -> pl.LazyFrame:
    """What the expression `verb` gives for all groups in one call, which spreads them over cores.

    The keys are the first columns, called `_KEY` and a number; without keys, the only column is
    `_RESULT`.
    """
    frame, result = _call(verb, at, options, models, strict=strict, changes_length=True)
    table = frame.select(result.alias(_RESULT))
    return table.unnest(_RESULT) if at.by else table


def _keyed(
    at: Inputs,
    table: pl.LazyFrame,
    own: Sequence[str],
    what: str,
    copies: Mapping[str, str] | None = None,
) -> pl.LazyFrame:
    """The table with its keys under their names, which none of its own columns may have.

    The plugin gives an extension type as what it is stored as: keys, and the `copies` of a column
    of the input each, get their dtypes back.
    """
    clash = [name for name in at.by if name in own]
    if clash:
        msg = f"parameter `by`: {what} has a column {clash[0]!r} of its own; rename the key"
        raise ValueError(msg)
    table = table.rename({f"{_KEY}{number}": name for number, name in enumerate(at.by)})
    sources = {key: key for key in at.by} | dict(copies or {})
    dtypes = {name: at.schema[source] for name, source in sources.items()}
    extended = {name: dtype for name, dtype in dtypes.items() if hasattr(dtype, "ext_name")}
    return table.with_columns(names.column(name).ext.to(d) for name, d in extended.items())


def fit_frame(
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None,
    name: str,
    strict: bool,
) -> pl.LazyFrame:
    """The table of models: the keys, and one model per group."""
    names.refuse_own([name])
    table = per_group("fit", at, options, models=models, strict=strict)
    table = table.rename({"model" if at.by else _RESULT: name})
    return _keyed(at, table, [name], "the table of models")


def pairs_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The pairs of every group, one row each, after the keys."""
    if isinstance(models, str):
        models = Path(models)
    options = with_sizes(models, options, "window")
    table = per_group("pairs", at, options, models=models, strict=strict)
    return _keyed(at, _unnested(at, table), _PAIRS, "the table of pairs")


def events_frame(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool,
) -> pl.LazyFrame:
    """The anomalies of every group, one row each, after the keys."""
    own, what = ("id", "start", "length", *_FACTS), "the event table"
    copies = _times(at, own, what, ("_start", "_end"))
    table = per_group(verb, at, options, models=models, strict=strict)
    return _keyed(at, _unnested(at, table), [*own, *copies], what, copies)


def _times(at: Inputs, own: Sequence[str], what: str, ends: Sequence[str]) -> dict[str, str]:
    """The columns with values of `order_by` in a table of stretches of rows, and whose they are.

    Raises
    ------
    ValueError
        Where one of them is called like a column of the table's `own`, or like another one.
    """
    times = [(f"{key}{end}", key) for end in ends for key in at.order_by]
    taken = [*own, *(name for name, _ in times)]
    for name, _ in times:
        if taken.count(name) > 1:
            msg = f"parameter `order_by`: {what} has a column {name!r} of its own; rename it"
            raise ValueError(msg)
    return dict(times)


def _unnested(at: Inputs, table: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of a result that `per_group` gives; with keys they are columns already."""
    return table if at.by else table.unnest(_RESULT)
