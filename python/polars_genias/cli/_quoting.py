"""Lists of names on the command line: comma-separated, and quoted if necessary.

    names = item {"," item}        item = name ["=" name]        name = bare | '"' ... '"'

A bare name ends at a comma (and, in pairs, at ``=``); spaces around it are no part of it. Between
double quotes everything is part of the name, and ``""`` is one quote.
"""

from __future__ import annotations

import argparse
import re

_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*')
_BARE = {False: re.compile(r"[^,]*"), True: re.compile(r"[^,=]*")}


def names(text: str) -> list[str]:
    """The names of a list."""
    return [first for first, _ in _items(text, pairs=False)]


def pairs(text: str) -> list[tuple[str, str | None]]:
    """The pairs ``NAME=NAME`` of a list; for a single name the second is None."""
    return _items(text, pairs=True)


def quoted(name: str) -> str:
    """The name as written in a list."""
    return f'"{name.replace(chr(34), chr(34) * 2)}"'


def _items(text: str, *, pairs: bool) -> list[tuple[str, str | None]]:
    items = []
    at = 0
    while True:
        first, at = _name(text, at, pairs=pairs)
        second = None
        if pairs and text[at : at + 1] == "=":
            second, at = _name(text, at + 1, pairs=pairs)
        items.append((first, second))
        if at == len(text):
            return items
        if text[at] != ",":
            raise _wrong(text)
        at += 1


def _name(text: str, at: int, *, pairs: bool) -> tuple[str, int]:
    """The name that begins at a position, and the position of its end."""
    found = _QUOTED.match(text, at)
    if found:
        return found[1].replace('""', '"'), found.end()
    bare = _BARE[pairs].match(text, at)
    name = bare[0].strip() if bare else ""
    if bare is None or not name or name.startswith('"'):
        raise _wrong(text)
    return name, bare.end()


def _wrong(text: str) -> argparse.ArgumentTypeError:
    msg = f"{text!r} is not a comma-separated list of names (put unusual names in double quotes)"
    return argparse.ArgumentTypeError(msg)
