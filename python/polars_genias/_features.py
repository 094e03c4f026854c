"""Selection of features: the named columns, those of the model, or numeric measurements."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from polars_genias import _names as names
from polars_genias._models import model_features

if TYPE_CHECKING:
    from collections.abc import Sequence

    from polars_genias._types import Features, IntoModels, Keys

_OWN = re.compile(r"is_anomaly|anomaly_(id|kind|strength|score|pvalue|label|nearest)")
"""Columns that the verbs add once per frame."""
_OWN_SUFFIX = re.compile(r"(.+)_(synthetic|mask|score|expected|blame|lower|upper)", re.DOTALL)
"""Columns that the verbs add per feature."""
_KEY_OR_LABEL = re.compile(
    r"id|key|pk|index|idx|row|row_?n(r|um|umber)|row_index|uuid|.+[_ ](id|key|pk|uuid|index|idx)"
    r"|y|labels?|targets?|class|outlier|anomaly|is_.+|.+_(label|flag|target)",
    re.IGNORECASE | re.DOTALL,
)
"""Names of integer columns that are not measurements."""
_CAMEL_ID = re.compile(r".*[a-z]I[dD]", re.DOTALL)

_said: set[tuple[str, ...]] = set()


def listed(given: Keys | None) -> list[str]:
    """One name or several, as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


def require(schema: pl.Schema, role: str, name: str) -> None:
    """Raises ValueError if the column named by parameter `role` does not exist."""
    if name not in schema:
        msg = f"parameter `{role}` = {name!r}: no such column; there are {schema.names()}"
        raise ValueError(msg)


def boolean(schema: pl.Schema, role: str, name: str) -> None:
    """Raises ValueError if the column named by parameter `role` is not Boolean."""
    require(schema, role, name)
    if schema[name] != pl.Boolean:
        msg = f"parameter `{role}` = {name!r}: must be a Boolean column, not {schema[name]}"
        raise ValueError(msg)


def chosen_features(
    schema: pl.Schema, features: Features | None, taken: set[str], models: IntoModels | None = None
) -> dict[str, str]:
    """The features: a mapping from the names in the model to columns.

    Raises
    ------
    ValueError
        If a column does not exist or is not numeric, or if no column is left.
    """
    if features is None:
        return _of_models(schema, models) or default_features(schema, taken)
    chosen = _named(schema, features, taken)
    if not chosen:
        msg = f"parameter `features` = {_shown(features)}: at least one column is needed"
        raise ValueError(msg)
    for column in chosen.values():
        _measures(schema, column)
    return chosen


def default_features(schema: pl.Schema, taken: set[str]) -> dict[str, str]:
    """Every numeric column without another role that is no id, no label and not added by a verb.

    The choice only depends on names and dtypes, so that a LazyFrame, of which no row is read, has
    the same features as a DataFrame. Omitted ids and labels are listed in one warning.
    """
    numeric = [name for name, of in schema.items() if of.is_numeric() and name not in taken]
    measured = [name for name in numeric if not _is_own(name, schema)]
    left_out = [name for name in measured if _is_key_or_label(name, schema[name])]
    found = [name for name in measured if name not in left_out]
    if not found:
        msg = f"parameter `features`: no numeric column is left of {schema.names()}"
        if left_out:
            msg += f"; {left_out} look like ids or labels: name them if they are features"
        raise ValueError(msg)
    _say(left_out)
    return {name: name for name in found}


def _is_own(name: str, schema: pl.Schema) -> bool:
    """Whether a verb has added this column."""
    found = _OWN_SUFFIX.fullmatch(name)
    return _OWN.fullmatch(name) is not None or (found is not None and found.group(1) in schema)


def _is_key_or_label(name: str, dtype: pl.DataType) -> bool:
    return dtype.is_integer() and bool(_KEY_OR_LABEL.fullmatch(name) or _CAMEL_ID.fullmatch(name))


def _say(left_out: Sequence[str]) -> None:
    """Warns about omitted columns, once per set of columns."""
    if left_out and tuple(left_out) not in _said:
        _said.add(tuple(left_out))
        msg = (
            f"{list(left_out)} look like ids or labels and are not taken as features; "
            "name the `features` to choose others"
        )
        warnings.warn(msg, UserWarning, stacklevel=2)


def _of_models(schema: pl.Schema, models: IntoModels | None) -> dict[str, str]:
    """The features of the models, if these can be read without running a query."""
    known = model_features(models)
    missing = [name for name in known if name not in schema]
    if missing:
        msg = (
            f"parameter `features`: the model has a feature {missing[0]!r}, but there is no such "
            f"column; give a mapping: features={{{missing[0]!r}: column}}"
        )
        raise ValueError(msg)
    for name in known:
        _measures(schema, name)
    return {name: name for name in known}


def _named(schema: pl.Schema, features: Features, taken: set[str]) -> dict[str, str]:
    if isinstance(features, pl.Expr):
        return _selected(schema, features, taken)
    if isinstance(features, Mapping):
        return dict(features)
    names.refuse_twice("features", listed(features))
    return {name: name for name in listed(features)}


def _selected(schema: pl.Schema, selector: pl.Expr, taken: set[str]) -> dict[str, str]:
    """The columns of a selector without another role."""
    if not cs.is_selector(selector):
        msg = f"parameter `features`: must be names or a selector, not the expression {selector}"
        raise ValueError(msg)
    return {n: n for n in cs.expand_selector(schema, selector) if n not in taken}


def _shown(features: Features) -> str:
    return str(features) if isinstance(features, pl.Expr) else repr(features)


def _measures(schema: pl.Schema, column: str) -> None:
    """Raises ValueError for a feature that is not numeric."""
    require(schema, "features", column)
    dtype = schema[column]
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
        msg = f"parameter `features`: column {column!r} has dtype {dtype}, not a numeric one"
        raise ValueError(msg)
