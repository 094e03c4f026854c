"""Frame verbs: one plugin call over all groups, and its result added to the input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from polars_genias import _names as names
from polars_genias._features import boolean, chosen_features, listed, require
from polars_genias._foreign import to_polars
from polars_genias._models import (
    BACKBONE,
    MODEL,
    WithModels,
    started,
    starts,
    with_models,
    with_sizes,
)
from polars_genias._options import checked
from polars_genias._plugin import plugin
from polars_genias._source import sourced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars_genias._source import Build
    from polars_genias._types import Features, IntoModels, Keys

_RESULT = f"{names.OWN}result"
_OLD = f"{names.OWN}old"
_KEY = f"{names.OWN}key_"
PLACE = f"{names.OWN}place"
"""Whether an anomaly may be placed on a row."""
TABLES = ("fit", "events", "pairs", "alarms", "explain", "sensitivity", "compare")
"""Verbs whose results do not have the rows of the input."""
_ONE_COLUMN = ("score", "label")
"""Verbs whose result is a single column and not a struct."""
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
_EXPLAINED = (
    *("id", "start", "length", "peak", "feature", "share", "expected", "actual"),
    *("evidence", "nearest_start", "nearest_length"),
)
_FACTS = (
    *("features", "strength", "asked", "unable", "kind", "cluster"),
    *("psi", "distance", "redraws", "fallback"),
)


@dataclass(frozen=True)
class Inputs:
    """Inputs of a frame verb, checked against the schema of its frame."""

    frame: pl.LazyFrame
    schema: pl.Schema
    features: dict[str, str]
    by: list[str]
    order_by: list[str]
    label: str | None
    lazy: bool = False
    """Whether the frame was given as a lazy query."""
    places: bool = False
    """Whether the frame has the column `PLACE`."""
    keys: pl.DataFrame | None = None
    """The keys of the groups, named as in `shielded`, where they are known."""
    models: IntoModels | None = None
    """Where the models of the verb are read from, if not where the user has them."""
    shields: dict[str, str] = field(default_factory=dict)
    """Names in `shielded` of columns whose own names Polars would read as patterns."""

    @property
    def values(self) -> pl.Expr:
        """The features as one struct, with the names in the model."""
        return pl.struct(self.column(column).alias(name) for name, column in self.features.items())

    @property
    def shielded(self) -> pl.LazyFrame:
        """The frame for the expressions of `column`."""
        return names.renamed(self.frame, self.shields)

    def column(self, name: str) -> pl.Expr:
        """A column of `shielded` under the user's name."""
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
    """Resolves column names; `default_features` selects the features if none are given.

    Raises
    ------
    ValueError
        If a column does not exist, a feature is not numeric, or there is no feature.
    """
    rows = to_polars(data)
    frame = rows.lazy()
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
    lazy, places = isinstance(rows, pl.LazyFrame), where is not None
    frame = _with_places(frame, schema, where)
    order_by = keys["order_by"]
    return Inputs(frame, schema, chosen, keys["by"], order_by, label, lazy, places, shields=shields)


def _with_places(
    frame: pl.LazyFrame, schema: pl.Schema, where: pl.Expr | str | None
) -> pl.LazyFrame:
    """The frame with a column of the rows on which anomalies may be placed, if these are given.

    Raises
    ------
    ValueError
        If `where` is neither a Boolean column nor an expression of one.
    """
    if where is None:
        return frame
    if isinstance(where, str):
        require(schema, "where", where)
        where = names.column(where)
    made = frame.select(where).collect_schema()
    if made.dtypes() != [pl.Boolean]:
        found = ", ".join(f"{name!r} ({dtype})" for name, dtype in made.items())
        msg = f"parameter `where`: must be one Boolean column, not {found}"
        raise ValueError(msg)
    return frame.with_columns(where.alias(PLACE))


def _over_groups(
    at: Inputs,
    build: Build,
    options: Mapping[str, Any],
    models: IntoModels | None,
    adds: Sequence[str] | None = None,
) -> pl.LazyFrame:
    """The result of `build`, for all groups at once if they share a total or a budget."""
    of_all = options.get("total") is not None or options.get("budget") == "fleet"
    return build(at) if of_all else sourced(at, build, models, adds)


def comparable(schema: pl.Schema, role: str, columns: Sequence[str]) -> None:
    """Raises ValueError for a column of Python objects, which can be neither sorted nor grouped."""
    for name in columns:
        if schema[name] == pl.Object:
            msg = f"parameter `{role}`: column {name!r} has dtype Object: cast it first"
            raise ValueError(msg)


def _call(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    models: IntoModels | None,
    **given: Any,
) -> tuple[pl.LazyFrame, pl.Expr]:
    """The frame with its models, and one call of the expression `verb` over all groups."""
    if options.get("warm"):
        ready = WithModels(at.shielded, starts(models))
    else:
        models = models if at.models is None else at.models
        ready = with_models(at.shielded, models, at.by, at.shields, at.keys)
    plain = checked(options, len(at.order_by), verb.removesuffix("_events"))
    call = _expression(verb, at, plain, ready.model, keyed=ready.keyed, **given)
    return ready.frame, call


def _expression(
    verb: str, at: Inputs, options: dict[str, Any], model: pl.Expr | None, **given: Any
) -> pl.Expr:
    """The expression `verb` over all groups, with options that are already checked."""
    return plugin(
        verb,
        at.values,
        options=options,
        label=None if at.label is None else at.column(at.label),
        where=pl.col(PLACE) if at.places else None,
        model=model,
        order_by=[at.column(name) for name in at.order_by],
        by=[at.column(name).alias(f"{_KEY}{number}") for number, name in enumerate(at.by)],
        keys=at.by,
        **given,
    )


def beside(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    adds: list[str] | dict[str, str],
    models: IntoModels | None = None,
    context: Context | None = None,
    **given: Any,
) -> pl.LazyFrame:
    """The frame with the columns `adds` from the expression `verb`, one value per row.

    A mapping gives the fields of the struct that the verb returns, by their names in the result.
    """
    _refuse_clash(at, list(adds))

    context = (context or Context()).checked(at)

    def build(at: Inputs) -> pl.LazyFrame:
        at = context.before(at)
        frame, result = _call(verb, at, options, models, **given)
        if isinstance(adds, dict):
            frame = frame.with_columns(result.alias(_RESULT))
            found = pl.col(_RESULT).struct
            frame = frame.with_columns(found.field(own).alias(new) for new, own in adds.items())
            frame = frame.drop(_RESULT)
        elif verb in _ONE_COLUMN and not options.get("per_feature"):
            frame = frame.with_columns(result.alias(adds[0]))
        else:
            frame = frame.with_columns(result.alias(_RESULT)).unnest(_RESULT)
        frame = context.after(frame, at)
        return names.restored(frame.drop(MODEL, PLACE, strict=False), at.shields)

    return _over_groups(at, build, options, models, list(adds))


@dataclass(frozen=True)
class Context:
    """Rows before those of a frame, and how many rows of a series are asked for."""

    history: Any = None
    only_last: int | None = None

    def checked(self, at: Inputs) -> Context:
        """The same, after its arguments are checked against the frame of a verb.

        Raises
        ------
        ValueError
            For a history without a column that the verb reads, or `only_last` below 1.
        """
        if self.only_last is not None and self.only_last < 1:
            msg = f"parameter `only_last` = {self.only_last}: must be an integer >= 1"
            raise ValueError(msg)
        if self.history is None:
            return self
        history = to_polars(self.history, "history").lazy()
        schema = history.collect_schema()
        roles = [*at.by, *at.order_by, *at.features.values(), *listed(at.label)]
        for name in roles:
            require(schema, "history", name)
        columns = [names.column(name) for name in at.schema if name in schema]
        return Context(history.select(columns), self.only_last)

    def before(self, at: Inputs) -> Inputs:
        """The inputs with the history in front of the rows."""
        if self.history is None:
            return at
        history = self.history
        if at.by:
            keys = at.frame.select(names.column(name) for name in at.by).unique()
            history = history.join(keys, on=at.by, how="semi", nulls_equal=True)
        parts = [history.with_columns(pl.lit(value=True).alias(_OLD))]
        parts.append(at.frame.with_columns(pl.lit(value=False).alias(_OLD)))
        return replace(at, frame=pl.concat(parts, how="diagonal_relaxed"))

    def after(self, frame: pl.LazyFrame, at: Inputs) -> pl.LazyFrame:
        """The rows that are asked for, of a result that has the history in front of them."""
        if self.history is not None:
            frame = frame.filter(~pl.col(_OLD)).drop(_OLD)
        if self.only_last is None:
            return frame
        row = pl.int_range(pl.len())
        if at.order_by:
            row = row.sort_by([at.column(name) for name in at.order_by], maintain_order=True)
            row = row.arg_sort()
        left = pl.len() - row
        if at.by:
            left = left.over([at.column(name) for name in at.by])
        return frame.filter(left <= self.only_last)


def scored(
    at: Inputs,
    options: Mapping[str, Any],
    *,
    name: str,
    models: IntoModels | None,
    strict: bool,
    context: Context,
) -> pl.LazyFrame:
    """The frame with its scores, why they are what they are, and what rows should have been."""
    given: dict[str, Any] = {"models": models, "strict": strict, "context": context}
    adds = {name: options.get("as_") or "score"}
    if options.get("explain"):
        adds |= {f"{feature}_blame": f"{feature}_blame" for feature in at.features}
        adds |= {"anomaly_evidence": "evidence", "anomaly_nearest": "nearest"}
    if options.get("bounds") is not None:
        adds |= {column: column for column in bounds(at)}
    if len(adds) == 1:
        return beside("score", at, options, adds=[name], **given)
    return beside("score", at, options, adds=adds, **given)


def bounds(at: Inputs) -> list[str]:
    """The columns of what the features should have been."""
    parts = ("expected", "lower", "upper")
    return [f"{feature}_{part}" for feature in at.features for part in parts]


def labelled(
    at: Inputs,
    options: Mapping[str, Any],
    *,
    name: str,
    models: IntoModels | None,
    strict: bool,
    update: bool,
    context: Context,
) -> pl.LazyFrame:
    """The frame with its labels and, with `update`, the models in the last rows."""
    given: dict[str, Any] = {"models": models, "strict": strict, "context": context}
    if not update:
        return beside("label", at, options, adds=[name], **given)
    adds = {name: "label", "model": "model"}
    return beside("label", at, options, adds=adds, update=True, **given)


def alarms_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The alarms of every group, one row each, after the keys."""
    table = _Table("alarms", "the table of alarms", _ALARM, ("_start", "_end", "_peak"))
    return table.of(at, options, models=models, strict=strict)


def explain_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The features of the alarms of every group, one row each, after the keys."""
    table = _Table("explain", "the table of reasons", _EXPLAINED, ("_start", "_end", "_peak"))
    return table.of(at, options, models=models, strict=strict)


def sensitivity_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """What labels would catch in every group, after the keys."""
    table = _Table("sensitivity", "the table of sensitivity", _DETECTION)
    return table.of(at, options, models=models, strict=strict)


@dataclass(frozen=True)
class _Table:
    """A result with rows of its own: the keys of a group, and what the verb returns for it."""

    verb: str
    what: str
    own: Sequence[str]
    """Columns that the verb returns."""
    ends: Sequence[str] = ()
    """Suffixes of the columns with values of `order_by`."""

    def of(
        self,
        at: Inputs,
        options: Mapping[str, Any],
        *,
        models: IntoModels | None,
        strict: bool,
    ) -> pl.LazyFrame:
        """The table of all groups."""
        copies = _times(at, self.own, self.what, self.ends)
        _refuse_key(at, [*self.own, *copies], self.what)

        def build(at: Inputs) -> pl.LazyFrame:
            table = per_group(self.verb, at, options, models=models, strict=strict)
            return _keyed(at, _unnested(at, table), copies)

        return _over_groups(at, build, options, models)


def compare_frame(at: Inputs, options: Mapping[str, Any]) -> pl.LazyFrame:
    """Columns of scores on the anomalies of all groups."""
    frame, result = _call("compare", at, options, None, changes_length=True)
    return frame.select(result.alias(_RESULT)).unnest(_RESULT)


def _refuse_clash(at: Inputs, adds: Sequence[str]) -> None:
    """Raises ValueError if two columns of the result would have the same name."""
    names.refuse_own(adds)
    for number, name in enumerate(adds):
        if name in at.schema:
            msg = f"column {name!r} exists already: rename it, or choose another name or suffix"
            raise ValueError(msg)
        if name in adds[:number]:
            msg = f"column {name!r} would be made twice: rename the feature, or change the suffix"
            raise ValueError(msg)


def per_group(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool = False,
) -> pl.LazyFrame:
    """Result of the expression `verb` for all groups in one call, which runs them in parallel.

    The keys are the first columns, named `_KEY` plus a number; without keys, the only column is
    `_RESULT`.
    """
    frame, result = _call(verb, at, options, models, strict=strict, changes_length=True)
    table = frame.select(result.alias(_RESULT))
    return table.unnest(_RESULT) if at.by else table


def fleet_step(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    backbones: Sequence[bytes],
    fleet: Mapping[str, int] | None = None,
) -> pl.DataFrame:
    """A step in the training of backbones with the options of `fit`, on the series of a frame."""
    plain = checked(options, len(at.order_by), "fit")
    model = started(backbones) if backbones else None
    result = _expression(verb, at, plain, model, fleet=fleet, changes_length=True)
    return at.shielded.select(result.alias(_RESULT)).collect()


def _refuse_key(at: Inputs, own: Sequence[str], what: str) -> None:
    """Raises ValueError if a key has the name of a column of the table itself."""
    clash = [name for name in at.by if name in own]
    if clash:
        msg = f"parameter `by`: {what} has a column {clash[0]!r} of its own; rename the key"
        raise ValueError(msg)


def _keyed(
    at: Inputs, table: pl.LazyFrame, copies: Mapping[str, str] | None = None
) -> pl.LazyFrame:
    """The table with the names of its keys.

    The plugin returns extension types as their storage types: keys, and the `copies` of columns of
    the input, get their dtypes back.
    """
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
    columns = {"model" if at.by else _RESULT: name}
    fleet = options.get("share") == "fleet"
    if fleet or options.get("warm"):
        columns = {"model": name, "backbone": f"{name}{BACKBONE}"}
    names.refuse_own([name])
    _refuse_key(at, list(columns.values()), "the table of models")
    if fleet and not at.by:
        msg = "parameter `share` = 'fleet': models of several groups share a VAE; give `by`"
        raise ValueError(msg)

    def build(at: Inputs) -> pl.LazyFrame:
        table = per_group("fit", at, options, models=models, strict=strict)
        if not at.by and len(columns) > 1:
            table = table.unnest(_RESULT)
        return _keyed(at, table.rename(columns))

    # The groups of a fleet depend on one another.
    return build(at) if fleet else sourced(at, build)


def pairs_frame(
    at: Inputs, options: Mapping[str, Any], *, models: IntoModels | None, strict: bool
) -> pl.LazyFrame:
    """The pairs of every group, one row each, after the keys."""
    if isinstance(models, str):
        models = Path(models)
    options = with_sizes(models, options, "window")
    table = _Table("pairs", "the table of pairs", _PAIRS)
    return table.of(at, options, models=models, strict=strict)


def events_frame(
    verb: str,
    at: Inputs,
    options: Mapping[str, Any],
    *,
    models: IntoModels | None = None,
    strict: bool,
) -> pl.LazyFrame:
    """The anomalies of every group, one row each, after the keys."""
    table = _Table(verb, "the event table", ("id", "start", "length", *_FACTS), ("_start", "_end"))
    return table.of(at, options, models=models, strict=strict)


def _times(at: Inputs, own: Sequence[str], what: str, ends: Sequence[str]) -> dict[str, str]:
    """The columns with values of `order_by` in a table of stretches of rows, and their sources.

    Raises
    ------
    ValueError
        If one of them has the name of a column in `own`, or of another one.
    """
    times = [(f"{key}{end}", key) for end in ends for key in at.order_by]
    taken = [*own, *(name for name, _ in times)]
    for name, _ in times:
        if taken.count(name) > 1:
            msg = f"parameter `order_by`: {what} has a column {name!r} of its own; rename it"
            raise ValueError(msg)
    return dict(times)


def _unnested(at: Inputs, table: pl.LazyFrame) -> pl.LazyFrame:
    """The columns of a result of `per_group`; with keys they are columns already."""
    return table if at.by else table.unnest(_RESULT)
