"""Check how the core crate is built: which way its arrows point, and how long its parts are.

Reads the ``use`` lines and paths of ``src/``, test modules left out, and fails on

* a circle among the top-level modules, or among the files,
* two types of one name,
* ``impl Model`` in more than one file,
* a file of more than 500 lines outside ``kernels/``,
* functions longer than a median of 8 lines, or than 24 lines for more than one in ten.

Run it from the root of the repository: ``python tests/structure.py``. ``--edges`` prints the arrows
among the modules, ``--longest`` the longest functions.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

SRC = Path("src")
MOST_LINES = 500
MEDIAN = 8
NINE_IN_TEN = 24
TYPE = re.compile(
    r"^ *(?:pub(?:\([a-z]+\))? )?(?:struct|enum|trait) (\w+)|^(?:pub(?:\([a-z]+\))? )?type (\w+)",
    re.MULTILINE,
)
FUNCTION = re.compile(r"( *)(?:pub(?:\([a-z]+\))? )?(?:const |unsafe |async |extern )*fn (\w+)")

Module = tuple[str, ...]


def code(path: Path) -> str:
    """Return the text of a file without its comments and test modules."""
    text = re.split(r"^#\[cfg\(test\)\]\nmod ", path.read_text(), flags=re.M)[0]
    return re.sub(r"//.*", "", text)


def module(path: Path) -> Module:
    """Return where a file stands in the crate."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def tree(text: str) -> Iterator[list[str]]:
    """Yield every path of a ``use`` tree, braces opened."""
    head, brace, rest = text.partition("{")
    if not brace:
        yield [part for part in head.split(" as ")[0].strip().split("::") if part]
        return
    prefix = [part for part in head.strip().split("::") if part]
    depth, start = 0, 0
    inner = rest[: rest.rindex("}")]
    for at, char in enumerate([*inner, ","]):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if item := inner[start:at].strip():
                yield from (prefix + path for path in tree(item))
            start = at + 1


class Crate:
    """The files of the crate, and what refers to what."""

    def __init__(self) -> None:
        self.files = {module(path): path for path in sorted(SRC.rglob("*.rs"))}
        self.code = {name: code(path) for name, path in self.files.items()}
        self.uses = {name: list(self._uses(name)) for name in self.files}
        self.exports = {name: dict(self._exports(name)) for name in self.files}

    def _uses(self, name: Module) -> Iterator[list[str]]:
        for found in re.findall(r"\buse ([^;]+);", self.code[name]):
            yield from tree(found)
        for found in re.findall(r"\b((?:crate|super)(?:::\w+)+)", self.code[name]):
            yield found.split("::")
        own = {file[-1] for file in self.files if file and file[:-1] == name}
        for found in re.findall(r"(?<![\w:])\w+(?:::\w+)+", self.code[name]):
            if (path := found.split("::"))[0] in own:
                yield path

    def _exports(self, name: Module) -> Iterator[tuple[str, list[str]]]:
        for found in re.findall(r"\bpub(?:\([a-z]+\))? use ([^;]+);", self.code[name]):
            for path in tree(found):
                yield path[-1], path

    def resolve(self, path: list[str], at: Module, seen: int = 0) -> Module | None:
        """Return the module that defines what a path names; ``None`` outside of the crate."""
        if seen > 9 or not path:
            return None
        here, rest = self._start(path, at)
        if here is None:
            return None
        while rest and (*here, rest[0]) in self.files:
            here, rest = (*here, rest[0]), rest[1:]
        if rest and (exported := self.exports[here].get(rest[0])):
            return self.resolve([*exported, *rest[1:]], here, seen + 1)
        return here

    def _start(self, path: list[str], at: Module) -> tuple[Module | None, list[str]]:
        if path[0] == "crate":
            return (), path[1:]
        if path[0] in ("self", "super"):
            here = at
            while path and path[0] in ("self", "super"):
                here = here[:-1] if path[0] == "super" else here
                path = path[1:]
            return here, path
        return (at, path) if (*at, path[0]) in self.files else (None, path)

    def edges(self) -> dict[Module, set[Module]]:
        """Return which files each file refers to; ``lib.rs`` and bare re-exports left out."""
        edges: dict[Module, set[Module]] = {}
        for name, uses in self.uses.items():
            targets = {self.resolve(path, name) for path in uses}
            edges[name] = {target for target in targets if target and target != name}
        edges.pop((), None)
        return edges


def circles(edges: dict[Module, set[Module]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other."""
    reach: dict[Module, set[Module]] = {}
    for start in edges:
        found, todo = set(), [start]
        while todo:
            new = edges.get(todo.pop(), set()) - found
            found |= new
            todo += new
        reach[start] = found
    groups = {
        frozenset(other for other in reach[node] if node in reach.get(other, set()))
        for node in reach
        if node in reach[node]
    }
    return sorted(sorted("::".join(node) for node in group) for group in groups)


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that each function of a formatted file takes, and its name."""
    text = re.split(r"^#\[cfg\(test\)\]\nmod ", path.read_text(), flags=re.M)[0]
    lines = text.splitlines()
    for first, line in enumerate(lines):
        if not (found := FUNCTION.match(line)):
            continue
        for last in range(first, len(lines)):
            end = lines[last].rstrip()
            if (end.endswith(";") and last == first) or end == f"{found[1]}) -> Result<Self>;":
                break
            if end == found[1] + "}" or (last == first and end.endswith("}")):
                yield last - first + 1, f"{path}:{found[2]}"
                break


def twice(crate: Crate) -> Iterator[str]:
    """Yield one line per name that several types have."""
    homes: dict[str, list[str]] = {}
    for name, path in crate.files.items():
        for found in TYPE.findall(crate.code[name]):
            homes.setdefault("".join(found), []).append(str(path))
    for name, paths in homes.items():
        if len(paths) > 1:
            yield f"several types `{name}`: {', '.join(paths)}"


def problems(crate: Crate) -> Iterator[str]:
    """Yield one line per broken rule."""
    files = crate.edges()
    tops: dict[Module, set[Module]] = {}
    for name, targets in files.items():
        tops.setdefault(name[:1], set()).update({to[:1] for to in targets} - {name[:1]})
    yield from (f"modules in a circle: {', '.join(group)}" for group in circles(tops))
    yield from (f"files in a circle: {', '.join(group)}" for group in circles(files))
    yield from twice(crate)
    holders = [
        str(path)
        for name, path in crate.files.items()
        if re.search(r"^impl Model\b", crate.code[name], re.M)
    ]
    if len(holders) > 1:
        yield f"`impl Model` in several files: {', '.join(holders)}"
    for path in crate.files.values():
        lines = len(path.read_text().splitlines())
        if lines > MOST_LINES and "kernels" not in path.parts:
            yield f"{path} has {lines} lines, more than {MOST_LINES}"
    lengths = sorted(length for path in crate.files.values() for length, _ in functions(path))
    median = statistics.median(lengths)
    ninth = lengths[int(0.9 * len(lengths))]
    print(f"{len(lengths)} functions: median {median:g} lines, nine in ten within {ninth}")
    if median > MEDIAN or ninth > NINE_IN_TEN:
        yield f"functions are longer than a median of {MEDIAN}, or {NINE_IN_TEN} for nine in ten"


def main() -> int:
    """Print what is wrong, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", action="store_true", help="print the arrows among modules")
    parser.add_argument("--longest", action="store_true", help="print the longest functions")
    arguments = parser.parse_args()
    crate = Crate()
    if arguments.edges:
        for name, targets in sorted(crate.edges().items()):
            print("::".join(name), "->", " ".join(sorted("::".join(to) for to in targets)))
    if arguments.longest:
        found = [item for path in crate.files.values() for item in functions(path)]
        for length, name in sorted(found, reverse=True)[:40]:
            print(length, name)
    broken = list(problems(crate))
    print("\n".join(broken) or "no circles, every part within its length")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
