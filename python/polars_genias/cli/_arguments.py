"""Arguments of commands: shared ones, and the options of the verbs.

The options come from the table in `polars_genias._table`.
"""

from __future__ import annotations

import argparse
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from polars_genias._names import refuse_twice
from polars_genias._table import Option, of_verb
from polars_genias.cli import _keys, _quoting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS = (
    *("fit", "generate", "events", "inject", "pairs"),
    *("score", "label", "alarms", "explain", "expect", "sensitivity"),
)
"""Commands with options from the table."""


def add_inputs(parser: argparse.ArgumentParser, what: str = "Parquet to read") -> None:
    """The positional INPUT, and which of its rows are used."""
    text = f"{what}: files, globs, folders (key=value), pipes (-)"
    parser.add_argument("input", nargs="+", metavar="INPUT", help=text)
    parser.add_argument(
        "--where", metavar="SQL", help="""SQL condition on the rows, such as "host = 'web-03'\""""
    )
    parser.add_argument(
        "--key-types",
        type=key_types,
        action="extend",
        default=[],
        metavar="KEY=TYPE",
        help="types of partition keys (inferred from their text), such as host=String,day=Date",
    )


def add_context(parser: argparse.ArgumentParser) -> None:
    """The rows before those of INPUT, and how many rows of a series are asked for."""
    group = parser.add_argument_group("context")
    group.add_argument(
        "--history",
        action="append",
        metavar="INPUT",
        help="rows before those of INPUT, of the same series: context that is not written; "
        "can be given several times",
    )
    text = "write this many rows at the end of each series only; the others are context"
    group.add_argument("--only-last", type=int, metavar="N", help=text)


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Whether the output is a folder, and whether it may replace an existing one."""
    group = parser.add_argument_group("output")
    text = "write a folder per value, OUTPUT/column=value/ (for OUTPUT/: keys of INPUT, or --by)"
    add_names(group, "partition-by", text)
    add_overwrite(group)


def add_overwrite(group: argparse._ActionsContainer) -> None:
    """Whether the output may replace an existing one."""
    group.add_argument(
        "--overwrite",
        nargs="?",
        const="output",
        choices=_OVERWRITE,
        metavar="partitions",
        help="replace an existing output when the new one is complete; it may be the input, if the "
        "output has all of its rows. partitions: replace written partitions only",
    )


_OVERWRITE = ("output", "partitions")


def normalised(arguments: Sequence[str]) -> list[str]:
    """Arguments with the value of ``--overwrite``, if any, joined to it.

    Otherwise a following path would be parsed as its value.
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    for at in reversed(range(end)):
        if given[at] == "--overwrite":
            value = given.pop(at + 1) if given[at + 1 : at + 2] == ["partitions"] else "output"
            given[at] = f"--overwrite={value}"
    return given


def add_columns(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The roles of columns."""
    group = parser.add_argument_group("columns (comma-separated names)")
    text = (
        "feature columns (numeric columns without another role); "
        "NAME=COLUMN if the model has another name for the column"
    )
    add_names(group, "features", text, default=None, type=_quoting.pairs)
    add_names(group, "by", "key columns of the series")
    add_names(group, "order-by", "columns for the time order of a series (order of the rows)")
    return group


def add_names(
    group: argparse._ActionsContainer, option: str, text: str | None = None, **given: Any
) -> None:
    """An option with comma-separated names, which can be given several times."""
    usual: dict[str, Any] = {"default": [], "metavar": "COLUMNS", "help": text, "type": columns}
    group.add_argument(f"--{option}", action="extend", **(usual | given))


def features(given: Sequence[tuple[str, str | None]] | None) -> list[str] | dict[str, str] | None:
    """``--features`` for the verbs.

    Raises
    ------
    ValueError
        If two columns have the same name.
    """
    if given is None:
        return None
    known = [name for name, _ in given]
    refuse_twice("features", known)
    if all(column is None for _, column in given):
        return known
    return {name: name if column is None else column for name, column in given}


def add_options(parser: argparse.ArgumentParser, verb: str) -> None:
    """The options of a verb by topic; its own options come first."""
    topics: dict[str, list[Option]] = {}
    for option in of_verb(verb):
        topics.setdefault(_TOPICS.get(option.group, option.group), []).append(option)
    for topic in sorted(topics, key=_ORDER.index):
        group = parser.add_argument_group(topic)
        for option in topics[topic]:
            _add_option(group, option)


_TOPICS = {"inject": "anomalies", "sensitivity": "anomalies"}
_ORDER = ("anomalies", "scores", "detector", "model and training")


def given_options(given: argparse.Namespace, verb: str) -> dict[str, Any]:
    """The options of a verb that are on the command line."""
    return given_of(given, [option.name for option in of_verb(verb)])


def given_of(given: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """These arguments, without those that are not on the command line."""
    values = {name: getattr(given, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _add_option(group: argparse._ActionsContainer, option: Option) -> None:
    text = option.doc.removesuffix(".").replace("%", "%%")
    if option.shown_default and option.default is not False:
        text += f" ({option.shown_default})"
    flag = f"--{option.name.rstrip('_').replace('_', '-')}"
    group.add_argument(flag, dest=option.name, help=text, **_of_type(option))


def _of_type(option: Option) -> dict[str, Any]:
    """The argparse type of an option."""
    number, letter = (int, "N") if option.value_type == "integer" else (float, "X")
    if option.list and option.words:
        return {"type": _Listed(option.words), "metavar": "KINDS", "action": "extend"}
    if option.list and option.value_type != "span":
        return {"type": _numbers, "metavar": "X,X,...", "action": "extend"}
    if option.value_type == "span":
        return {"type": _Spans(option), "metavar": "N|DURATION"}
    if option.value_type == "names":
        return {"type": columns, "metavar": "FEATURES", "action": "extend"}
    if option.pair:
        return {"type": _Range(number), "metavar": f"{letter}|MIN:MAX"}
    readers: dict[str, dict[str, Any]] = {
        "flag": {"action": argparse.BooleanOptionalAction, "default": None},
        "words": {"choices": option.words},
        "wordornumber": {
            "type": _Words(option.words),
            "metavar": "|".join([*option.words, "X"]),
        },
        "step": {"type": step, "metavar": "X|DURATION"},
        "domain": {"type": domain, "metavar": "learned|none|JSON"},
    }
    return readers.get(option.value_type, {"type": number, "metavar": letter})


class _Range:
    """A number, or two as ``MIN:MAX``."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number

    def __call__(self, text: str) -> Any:
        parts = text.split(":")
        try:
            numbers = tuple(self.number(part) for part in parts)
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            kind = "an integer" if self.number is int else "a number"
            msg = f"{text!r} is neither {kind} nor two as MIN:MAX"
            raise argparse.ArgumentTypeError(msg)
        return numbers if len(numbers) == 2 else numbers[0]


class _Spans:
    """Rows or a duration; two as ``MIN:MAX``, or several between commas, where allowed."""

    def __init__(self, option: Option) -> None:
        self.separator = "," if option.list else ":"

    def __call__(self, text: str) -> Any:
        parts = [int(part) if part.isdecimal() else part for part in text.split(self.separator)]
        return parts[0] if len(parts) == 1 else parts


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        msg = f"{text!r} is no list of numbers, with commas between them"
        raise argparse.ArgumentTypeError(msg) from None


class _Words:
    """A word or a number."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __call__(self, text: str) -> Any:
        if text in self.words:
            return text
        try:
            return float(text)
        except ValueError:
            msg = f"{text!r} is neither a number nor one of {', '.join(self.words)}"
            raise argparse.ArgumentTypeError(msg) from None


class _Listed:
    """Comma-separated words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __call__(self, text: str) -> list[str]:
        names = columns(text)
        for name in names:
            if name not in self.words:
                msg = f"{name!r} is none of {', '.join(self.words)}"
                raise argparse.ArgumentTypeError(msg)
        return names


def columns(text: str) -> list[str]:
    """Comma-separated names."""
    return _quoting.names(text)


def key_types(text: str) -> list[tuple[str, Any]]:
    """Keys and their types, such as ``host=String,day=Date``."""
    found = []
    for key, dtype in _quoting.pairs(text):
        if dtype not in _keys.TYPES:
            msg = f"{dtype!r} is none of {', '.join(_keys.TYPES)}"
            raise argparse.ArgumentTypeError(msg)
        found.append((key, _keys.TYPES[dtype]))
    return found


def domain(text: str) -> Any:
    """Domains of features: a word, or JSON such as ``{"errors": {"min": 0, "step": 1}}``."""
    if text in ("learned", "none"):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        msg = f"""{text!r} is neither a word nor JSON as {{"errors": {{"min": 0}}}}"""
        raise argparse.ArgumentTypeError(msg)
    return found


_UNITS: Mapping[str, timedelta] = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def step(text: str) -> float | timedelta:
    """A number, or a duration: numbers with units, such as ``1h30m``."""
    try:
        return float(text)
    except ValueError:
        pass
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|[smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        msg = f"{text!r} is neither a number nor a duration such as 30s, 5m or 1h30m"
        raise argparse.ArgumentTypeError(msg)
    total = timedelta()
    for number, unit in parts:
        total += float(number) * _UNITS[unit]
    return total
