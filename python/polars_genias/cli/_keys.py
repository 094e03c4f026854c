"""Keys of partitioned folders, ``key=value/``: their text, their types, and back.

Names and values are percent-encoded as in Hive and Spark, so any text can be a key. A value is
text, unless all values of the key convert to another type and back without a change: ``7`` is an
integer, but not together with ``007``.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NULL = "__HIVE_DEFAULT_PARTITION__"
"""The text for null."""

_ESCAPED = re.compile("[\x00-\x1f\x7f\"#%'*/:=?\\\\{\\[\\]^]")

TYPES: dict[str, pl.DataType] = {
    str(dtype): dtype
    for dtype in (
        pl.String(),
        pl.Boolean(),
        pl.Int8(),
        pl.Int16(),
        pl.Int32(),
        pl.Int64(),
        pl.UInt8(),
        pl.UInt16(),
        pl.UInt32(),
        pl.UInt64(),
        pl.Float32(),
        pl.Float64(),
        pl.Date(),
    )
} | {"Datetime": pl.Datetime("us")}
"""Types of keys by their names in ``--key-types``."""


def keys_in(path: str) -> dict[str, str | None]:
    """The keys in the ``key=value`` folders of a path, with their values as text.

    Raises
    ------
    ValueError
        If a path contains a key twice.
    """
    found: dict[str, str | None] = {}
    for part in PurePath(path).parts[:-1]:
        name, equals, value = part.partition("=")
        if not equals:
            continue
        key = unquote(name)
        if key in found:
            msg = f"{path}: the key {key!r} is in it twice"
            raise ValueError(msg)
        found[key] = None if value == NULL else unquote(value)
    return found


def folder(key: str, value: str | None) -> str:
    """The folder name of a value; never a hidden one."""
    name = f"%2E{_encoded(key[1:])}" if key.startswith(".") else _encoded(key)
    return f"{name}={_value(value)}"


def _value(value: str | None) -> str:
    if value is None:
        return NULL
    return f"%5F{NULL[1:]}" if value == NULL else _encoded(value)


def _encoded(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def typed(key: str, texts: Sequence[str | None], types: Mapping[str, pl.DataType]) -> pl.Series:
    """The values of a key, one per text.

    Raises
    ------
    ValueError
        If a text has no value of the type in `types`.
    """
    # Without a name: Series operations use expressions that would read it as a pattern.
    text = pl.Series("", texts, dtype=pl.String)
    if key not in types:
        return _inferred(text).alias(key)
    values = _parsed(text, types[key])
    bad = text.filter(values.is_null() & text.is_not_null())
    if bad.len():
        msg = f"parameter `key_types`: {key}={bad[0]} is no {types[key]}"
        raise ValueError(msg)
    return values.alias(key)


def _inferred(text: pl.Series) -> pl.Series:
    # -0.0 and 0.0 differ as text but are the same group.
    if text.null_count() == text.len() or (text == "-0.0").any():
        return text
    for dtype in (pl.Int64(), pl.Float64(), pl.Boolean(), pl.Date(), pl.Datetime("us")):
        values = _parsed(text, dtype)
        if values.cast(pl.String).equals(text, check_names=False):
            return values
    return text


def _parsed(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Texts as values of a type; null for invalid texts."""
    if dtype == pl.Boolean:
        words = {"true": True, "false": False}
        truths: pl.Series = text.replace_strict(words, default=None, return_dtype=pl.Boolean)
        return truths
    if dtype == pl.Date:
        return text.str.to_date("%Y-%m-%d", strict=False)
    if dtype == pl.Datetime:
        return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    values: pl.Series = text.cast(dtype, strict=False)
    return values
