"""Write what is generated from the table of options in the Rust core.

``python tools/option_files.py`` writes ``python/polars_genias/_option_types.py`` and the tables of
``docs/parameters.md``; ``--check`` fails where they differ. Build the plugin first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias import _table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
TYPES = ROOT / "python" / "polars_genias" / "_option_types.py"
PAGE = ROOT / "docs" / "parameters.md"

DICTS = {
    "ModelOptions": ("reconstruct", "How a model is fitted."),
    "EmbedOptions": ("embed", "Options of `embed`."),
    "FitOptions": ("fit", "Options of `fit`: how a model is fitted, and its detector."),
    "GenerateOptions": ("generate", "Options of `generate` and of its events."),
    "PairsOptions": ("pairs", "Options of `pairs`."),
    "ScoreOptions": ("score", "Options of `score`."),
    "LabelOptions": ("label", "Options of `label` and `alarms`."),
    "SensitivityOptions": ("sensitivity", "Options of `sensitivity`."),
    "CompareOptions": ("compare", "Options of `compare`."),
    "InjectOptions": ("inject", "Options of `inject` and of its events."),
}
"""Each TypedDict, the verb whose options it has, and what it is."""

BASE = "_FitsAModel"

HEAD = '''"""The options of every verb, as types. Written by ``tools/option_files.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 # options are resolved when asked for
from datetime import timedelta  # noqa: TC003
from typing import Any, Literal, TypedDict
'''

COLUMNS = ("parameter", "default", '`"paper"`', "range", "paper", "used by", "what it is")


def types() -> str:
    """Return the module of TypedDicts."""
    kind = next(option for option in _table.of_verb("inject") if option.name == "kind")
    words = "".join(f'    "{word}",\n' for word in kind.words)
    alias = f'\nInjectKind = Literal[\n{words}]\n"""Kinds of classical anomalies."""\n'
    made = {BASE: shared()}
    text = typed_dict(
        BASE, "How every verb that fits a model fits it.", made[BASE], "TypedDict", []
    )
    for name, (verb, doc) in DICTS.items():
        options = _table.of_verb(verb)
        parent = max(
            (other for other in made if all(option in options for option in made[other])),
            key=lambda other: len(made[other]),
            default="TypedDict",
        )
        text += typed_dict(name, doc, options, parent, made.get(parent, []))
        made[name] = options
    return HEAD + alias + text


def shared() -> list[_table.Option]:
    """Return the options of every verb that fits a model."""
    verbs = [verb for verb, _ in DICTS.values() if verb not in ("inject", "compare")]
    return [option for option in _table.options() if set(verbs) <= set(option.verbs)]


def typed_dict(
    name: str, doc: str, options: list[_table.Option], parent: str, inherited: list[_table.Option]
) -> str:
    """Return the class of the options of a verb: those that its parent does not have."""
    fields = "".join(field(option) for option in options if option not in inherited)
    doc = f'    """{doc}\n\n    What is left out, or None, keeps its default.\n    """\n'
    return f"\n\nclass {name}({parent}, total=False):\n{doc}" + (f"\n{fields}" if fields else "")


def field(option: _table.Option) -> str:
    """Return the line of an option, broken as the formatter breaks it."""
    if option.list and option.words:
        return f"    {option.name}: InjectKind | Sequence[InjectKind]\n"
    line = f"    {option.name}: {option.annotation}\n"
    if len(line) <= 101:
        return line
    words = "".join(f'        "{word}",\n' for word in option.words)
    return f"    {option.name}: Literal[\n{words}    ]\n"


def tables() -> str:
    """Return the tables of the page, one per topic."""
    topics: dict[str, list[_table.Option]] = {}
    for option in _table.options():
        topics.setdefault(option.group, []).append(option)
    return "\n".join(table(topic, options) for topic, options in topics.items())


def table(topic: str, options: list[_table.Option]) -> str:
    """Return the table of a topic."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *map(row, options)]
    lines = ("| " + " | ".join(cells) + " |" for cells in rows)
    own = topic in ("inject", "sensitivity", "compare")
    title = f"Of `{topic}`" if own else topic.capitalize()
    return f"### {title}\n\n" + "\n".join(lines) + "\n"


def row(option: _table.Option) -> tuple[str, ...]:
    """Return the cells of an option."""
    default, paper = shown(option, option.default), shown(option, option.paper)
    return (
        f"`{option.name}`",
        default,
        "same" if paper == default else paper,
        values(option),
        option.symbol or "",
        users(option),
        option.doc.removesuffix("."),
    )


def shown(option: _table.Option, value: Any) -> str:
    """Return a default as the page writes it."""
    if value is None:
        return option.auto or "none"
    if isinstance(value, list):
        return ", ".join(f'`"{item}"`' if isinstance(item, str) else f"{item:g}" for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f'`"{value}"`' if isinstance(value, str) else f"{value:,}"


def values(option: _table.Option) -> str:
    """Return the values that an option takes."""
    words = " or ".join(f'`"{word}"`' for word in option.words)
    numbers = option.range + (", or (min, max)" if option.pair else "")
    if option.of == "domain":
        return '`"learned"` or `"none"`, or a mapping from features to their domains'
    if option.of == "step":
        return f"{numbers}, or a `timedelta`"
    if option.of == "names":
        return "a name, or a list of names"
    if option.of == "span":
        pair = ", or (min, max)" if option.pair else ""
        return f'rows >= 1, or a time such as `"2h"` or a `timedelta`{pair}'

    if option.of == "wordornumber":
        return f"{words}, or a number"
    return words or numbers


def users(option: _table.Option) -> str:
    """Return what uses an option, where not every verb that fits a model does."""
    if option.when is not None:
        name, choices = option.when
        return f"`{name}` " + ", ".join(f'`"{choice}"`' for choice in choices)
    few = option.group not in ("inject", "sensitivity", "compare") and len(option.verbs) < 7
    return ", ".join(f"`{verb}`" for verb in option.verbs) if few else ""


def page(text: str) -> str:
    """Return the page with its tables renewed."""
    begin, end = "<!-- options -->\n", "<!-- end of options -->\n"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{tables()}\n{end}{tail}"


def files() -> Iterator[tuple[Path, str]]:
    """Yield every generated file with what should be in it."""
    yield TYPES, types()
    yield PAGE, page(PAGE.read_text())


def main() -> None:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where a file differs")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in files() if path.read_text() != text]
    for path, text in stale:
        print(path.relative_to(ROOT))
        if not check:
            path.write_text(text)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
