"""Options for the Rust core.

The core declares names, defaults and ranges (`polars_genias._table`); `checked` calls it, so that a
bad value is an error where it is given and not when the query runs.
"""

from __future__ import annotations

import difflib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from numbers import Integral, Real
from typing import Any

from polars_genias import _genias, _table
from polars_genias._option_types import (
    CompareOptions,
    EmbedOptions,
    ExpectOptions,
    FitOptions,
    GenerateKind,
    GenerateOptions,
    InjectKind,
    InjectOptions,
    LabelOptions,
    ModelOptions,
    PairsOptions,
    ScoreOptions,
    SensitivityOptions,
)

__all__ = [
    "CompareOptions",
    "EmbedOptions",
    "ExpectOptions",
    "FitOptions",
    "GenerateKind",
    "GenerateOptions",
    "InjectKind",
    "InjectOptions",
    "LabelOptions",
    "ModelOptions",
    "PairsOptions",
    "ScoreOptions",
    "SensitivityOptions",
    "checked",
]

_ARGUMENTS = (
    "by",
    "features",
    "history",
    "label",
    "model",
    "models",
    "name",
    "only_last",
    "order_by",
    "scores",
    "strict",
    "suffix",
    "where",
)
"""Arguments of verbs that are not options."""


_RENAMED = {"pairs": {"stride": "window_stride"}, "embed": {"stride": "window_stride"}}
"""Options by their names in 0.1.0, per verb."""


def checked(options: Mapping[str, Any], ordered_by: int = 0, verb: str = "fit") -> dict[str, Any]:
    """The given options of a verb as plain values, checked by the core.

    None means the default, except where None is a value of its own and the default another one:
    ``patience=None`` trains all steps.

    Raises
    ------
    ValueError
        With the option, its value and the allowed values.
    """
    off = {option.name for option in _table.options() if option.can_be_off}
    given = {name: value for name, value in options.items() if value is not None or name in off}
    plain = {name: _plain(name, value) for name, value in _renamed(given, verb).items()}
    _refuse_slips(options)
    _genias.check_options(verb, json.dumps(plain), ordered_by)
    return plain


def _renamed(options: dict[str, Any], verb: str) -> dict[str, Any]:
    """The options with current names, and a warning about old ones."""
    for old, new in _RENAMED.get(verb, {}).items():
        if old in options and new not in options:
            msg = f"`{old}` of `{verb}` is now `{new}`"
            warnings.warn(msg, FutureWarning, stacklevel=2)
            options = {new if name == old else name: value for name, value in options.items()}
    return options


def _refuse_slips(names: Mapping[str, Any]) -> None:
    """Raises ValueError for a misspelt argument, which Python passes as an option."""
    known = {option.name for option in _table.options()}
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, [*known, *_ARGUMENTS], 1)
        if near and near[0] in _ARGUMENTS:
            msg = f"unknown argument `{name}`; did you mean `{near[0]}`?"
            raise ValueError(msg)


def _plain(name: str, value: Any) -> Any:
    """A value for JSON; a timedelta becomes ``{"us": microseconds}``."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, timedelta):
        return {"us": value / timedelta(microseconds=1)}
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            msg = f"parameter `{name}` = {number}: must be a finite number"
            raise ValueError(msg)
        return number
    if isinstance(value, Sequence):
        return [_plain(name, item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(name, item) for key, item in value.items() if item is not None}
    msg = f"parameter `{name}` = {value!r}: must be a number, a string or a pair of numbers"
    raise ValueError(msg)
