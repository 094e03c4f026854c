"""Stubs of the namespace ``.genias`` for pyright: ``python -m polars_genias.stubs``.

The import of the package registers the namespace at run time, which type checkers cannot follow,
and pyright has no plugins. This module writes stubs of three modules of the installed Polars, with
the namespace declared, to ``typings/``, where pyright and Pylance look first. Run it again after an
update of Polars. For mypy see `polars_genias.mypy`.
"""

from __future__ import annotations

import argparse
import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["write"]

NAME = "genias"
"""The namespace."""

PACKAGE = "polars_genias"
"""Module of the namespace classes."""

NAMESPACES = {
    ("polars.dataframe.frame", "DataFrame"): "GeniasDataFrame",
    ("polars.expr.expr", "Expr"): "GeniasExpr",
    ("polars.lazyframe.frame", "LazyFrame"): "GeniasLazyFrame",
}
"""Module and name of each Polars class with the namespace, and the namespace class."""

_QUIET = "# type: ignore  # written by polars_genias.stubs from the installed Polars\n"


def write(folder: str | Path = "typings") -> list[Path]:
    """Write the stubs.

    Parameters
    ----------
    folder
        pyright's ``stubPath``.

    Returns
    -------
    list of Path
        The files written.

    Examples
    --------
    >>> import tempfile
    >>> from polars_genias import stubs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.relative_to(folder).as_posix() for path in stubs.write(folder)]
    ['polars/dataframe/frame.pyi', 'polars/expr/expr.pyi', 'polars/lazyframe/frame.pyi']
    """
    written = []
    for (module, owner), namespace in NAMESPACES.items():
        path = Path(folder, *module.split(".")).with_suffix(".pyi")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_declared(_source(module), owner, namespace), encoding="utf-8")
        written.append(path)
    return written


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        msg = f"module {module!r} is not in the installed Polars: it is not a supported version"
        raise ImportError(msg)
    return Path(spec.origin).read_text(encoding="utf-8")


def _declared(source: str, owner: str, namespace: str) -> str:
    """The module, with the namespace as the first attribute of the class `owner`."""
    found = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == owner
    ]
    if not found:
        msg = f"class {owner!r} is not where supported versions of Polars have it"
        raise ImportError(msg)
    docstring = found[0].body[0]
    lines = source.splitlines(keepends=True)
    lines.insert(
        docstring.end_lineno or docstring.lineno,
        f"\n    from {PACKAGE} import {namespace} as _{namespace}\n"
        f"    @property\n    def {NAME}(self) -> _{namespace}: ...\n",
    )
    return _QUIET + "".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the stubs and print their paths."""
    parser = argparse.ArgumentParser(
        prog="python -m polars_genias.stubs",
        description="Write stubs of the installed Polars with the namespace `.genias` for pyright.",
    )
    parser.add_argument("folder", nargs="?", default="typings", help="stubPath of pyright")
    for path in write(parser.parse_args(arguments).folder):
        print(path)


if __name__ == "__main__":
    main()
