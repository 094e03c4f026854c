"""Calls of Polars plugin expressions: arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars.plugins import register_plugin_function

from polars_genias._names import column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from polars_genias._types import IntoColumn

_LIBRARY = Path(__file__).parent
_VERBS = {"inject_events": "inject", "fleet_about": "fit", "fleet_excerpt": "fit"}
"""Verbs whose options an expression of another name has."""


def plugin(
    verb: str,
    values: IntoColumn,
    *,
    options: dict[str, Any],
    label: IntoColumn | None = None,
    where: IntoColumn | None = None,
    model: pl.Expr | None = None,
    keyed: bool = False,
    order_by: Sequence[IntoColumn] = (),
    by: Sequence[IntoColumn] = (),
    keys: Sequence[str] = (),
    suffix: str = "",
    strict: bool = False,
    update: bool = False,
    fleet: Mapping[str, int] | None = None,
    **shape: bool,
) -> pl.Expr:
    """The expression `verb` of the compiled library.

    Its arguments are `values`, then `label`, `where`, `model`, `order_by` and `by`, if given.
    `keyed`: the model is a table as a struct, the keys and the model of every group.
    `options` are already checked; `keys` are the names of the columns `by` in messages. `shape`
    relates the length of the output to that of the input. `fleet` is the step in the training of a
    backbone that the call is.
    """
    options = dict(options)
    on_error = options.pop("on_error", "raise")
    given = [argument for argument in (label, where, model) if argument is not None]
    roles = {
        "label": label is not None,
        "place": where is not None,
        "model": model is not None,
        "keyed": keyed,
        "order": len(order_by),
        "by": len(by),
    }
    return register_plugin_function(
        plugin_path=_LIBRARY,
        function_name=verb,
        args=_columns([values, *given, *order_by, *by]),
        kwargs={
            "verb": _VERBS.get(verb, verb),
            "inputs": roles,
            "by": list(keys),
            "options": options,
            "suffix": suffix,
            "strict": strict,
            "update": update,
            "on_error": on_error,
            "fleet": dict(fleet or {"series": 0, "round": 0}),
        },
        # Fields of the result are named after a single column.
        pass_name_to_apply=True,
        **shape,
    )


def aggregate(
    function: str, args: Sequence[IntoColumn], kwargs: dict[str, Any] | None = None
) -> pl.Expr:
    """The expression `function` of the compiled library: one value for all rows."""
    return register_plugin_function(
        plugin_path=_LIBRARY,
        function_name=function,
        args=_columns(args),
        kwargs=kwargs,
        returns_scalar=True,
    )


def _columns(args: Sequence[IntoColumn]) -> list[IntoColumn]:
    """The arguments; a string is the name of one column."""
    return [stored(column(given) if isinstance(given, str) else given) for given in args]


def stored(argument: pl.Expr | pl.Series) -> pl.Expr | pl.Series:
    """The column; for an extension type, which plugins cannot read, its storage."""
    return argument.ext.storage() if hasattr(argument, "ext") else argument
