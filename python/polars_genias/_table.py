"""The tables of options and of detectors from the Rust core.

The options of the command line, the signatures in ``help()``, the types in
`polars_genias._option_types` and ``docs/parameters.md`` are generated from them.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from polars_genias import _genias

if TYPE_CHECKING:
    from collections.abc import Callable

Verb = TypeVar("Verb", bound="Callable[..., Any]")


@dataclass(frozen=True, eq=False)
class Option:
    """One option of some verbs."""

    name: str
    doc: str
    group: str
    """Topic under which it is listed."""
    default: Any
    thorough: Any
    """Default under ``preset="thorough"``."""
    paper: Any
    """Default under ``preset="paper"``."""
    auto: str | None
    """Description of the default, if it depends on other values."""
    range: str
    symbol: str | None
    """Symbol in the paper."""
    verbs: tuple[str, ...]
    when: tuple[str, tuple[str, ...]] | None
    """Another option, and its values for which this option is used."""
    value_type: str
    """``integer``, ``number``, ``flag``, ``step``, ``span``, ``domain``, ``names``, ``words`` or
    ``wordornumber``."""
    words: tuple[str, ...]
    aliases: dict[str, str]
    """Aliases of words."""
    optional: bool
    pair: bool
    list: bool

    @property
    def annotation(self) -> str:
        """Its Python type."""
        literal = f"Literal[{', '.join(json.dumps(word) for word in self.words)}]"
        one = {
            "integer": "int",
            "number": "float",
            "flag": "bool",
            "step": "float | timedelta",
            "domain": 'Literal["learned", "none"] | Mapping[str, Any]',
            "names": "str | Sequence[str]",
            "span": "int | str | timedelta",
            "words": literal,
            "wordornumber": f"float | {literal}",
        }[self.value_type]
        kinds = [one]
        if self.pair:
            kinds.append(f"tuple[{one}, {one}]")
        if self.list:
            kinds.append(f"Sequence[{one}]")
        if self.optional:
            kinds.append("None")
        return " | ".join(kinds)

    @property
    def can_be_off(self) -> bool:
        """Whether None is a value of its own, and not the default."""
        return self.optional and self.default is not None

    @property
    def shown_default(self) -> str:
        """Its default as text; empty if it has none."""
        if self.auto is not None:
            return self.auto
        if self.default is None:
            return ""
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        several = isinstance(self.default, list)
        return ", ".join(map(str, self.default)) if several else str(self.default)


@dataclass(frozen=True)
class Detector:
    """A detector, and what it needs for training."""

    name: str
    trained: bool
    """Whether a model must contain trained parts of it for it to score."""
    needs_vae: bool
    """Whether it scores with the VAE, or is trained on anomalies from the VAE."""
    steps: int
    """Default optimiser steps of its nets."""


def _option(row: dict[str, Any]) -> Option:
    shape = row.pop("type")
    found: list[dict[str, Any]] = []
    value_type = shape.pop("value_type")
    if isinstance(value_type, dict):
        ((value_type, found),) = value_type.items()
    words = tuple(name for word in found for name in (word["name"], *word["aliases"]))
    aliases = {alias: word["name"] for word in found for alias in word["aliases"]}
    when = row.pop("when")
    when = None if when is None else (when[0], tuple(when[1]))
    verbs = tuple(row.pop("verbs"))
    return Option(
        **row, **shape, verbs=verbs, when=when, value_type=value_type, words=words, aliases=aliases
    )


@cache
def options() -> tuple[Option, ...]:
    """Every option."""
    return tuple(_option(row) for row in json.loads(_genias.options()))


@cache
def detectors() -> dict[str, Detector]:
    """Every detector by name."""
    return {row["name"]: Detector(**row) for row in json.loads(_genias.detectors())}


def of_verb(verb: str) -> list[Option]:
    """The options of a verb."""
    return list({option.name: option for option in options() if verb in option.verbs}.values())


def with_options(verb: str) -> Callable[[Verb], Verb]:
    """Show the options of `verb` in the signature and the docstring of a function."""

    def shown(function: Verb) -> Verb:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = [*own, *map(_parameter, of_verb(verb))]
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        text = function.__doc__ or ""
        function.__doc__ = text.replace("    Examples\n", _section(verb) + "    Examples\n", 1)
        return function

    return shown


def _parameter(option: Option) -> inspect.Parameter:
    default = tuple(option.default) if isinstance(option.default, list) else option.default
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=option.annotation,
    )


def _section(verb: str) -> str:
    """The section of a docstring that lists the options of a verb."""
    lines = ["Other Parameters", "----------------"]
    for option in of_verb(verb):
        default = f", default {option.shown_default}" if option.shown_default else ""
        lines += [f"{option.name} : {option.annotation}{default}", f"    {option.doc}"]
    return "".join(f"    {line}\n" for line in [*lines, ""]).replace("    \n", "\n")
