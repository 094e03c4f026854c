"""Relations of an output to the inputs: separate, in place of one, or in conflict."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from polars_genias._replace import files_in
from polars_genias.cli._inputs import fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from polars_genias.cli._inputs import Source
    from polars_genias.cli._output import Request

Identity = tuple[int, int]
"""Device and inode of a file or folder: the same for every path to it."""


def check(asked: Request, target: Path, keys: Sequence[str]) -> bool:
    """Whether an input is replaced in place.

    Raises
    ------
    ValueError
        If the output is, contains or lies inside an input; names both.
    """
    in_place = False
    for source in asked.read:
        if source.remote or source.spooled:
            continue
        if _is_or_contains(target, source):
            _refuse_loss(asked, target, source)
            in_place = True
        else:
            _refuse_inside(asked, target, keys, source)
    return in_place


def _identity(path: str | Path) -> Identity | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_or_contains(target: Path, source: Source) -> bool:
    """Whether the output is an input file, or a folder with one in it."""
    mine = _identity(target)
    if mine is None:
        return False
    if source.folder is not None and _identity(source.folder) == mine:
        return True
    if any(_identity(file.path) == mine for file in source.files):
        return True
    above = _above(os.path.realpath(file.path) for file in source.files)
    if source.folder is not None:
        above |= set(source.folder.parents)
    above |= _above(str(Path(file.path).absolute()) for file in source.files)
    return any(_identity(folder) == mine for folder in above)


def _above(paths: Iterable[str]) -> set[Path]:
    """All folders above some paths."""
    return {above for folder in {Path(path).parent for path in paths} for above in _up(folder)}


def _up(folder: Path) -> list[Path]:
    return [folder, *folder.parents]


def _refuse_loss(asked: Request, target: Path, source: Source) -> None:
    """Rejects an output in place of an input, unless it has all rows of the input."""
    reason = _lost(asked, target, source)
    if reason:
        msg = (
            f"OUTPUT {target} is or contains {asked.name_of(source)} {source.given}, and {reason}: "
            "write to another path"
        )
        raise ValueError(msg)
    if asked.overwrite is None:
        msg = f"{target} exists; --overwrite replaces it when the new one is complete"
        raise ValueError(msg)


def _lost(asked: Request, target: Path, source: Source) -> str:
    """Why the output lacks rows of the replaced input; empty if it has all of them."""
    if source not in asked.sources or not asked.keeps_rows:
        return f"`genias {asked.command}` does not write its rows"
    if len(asked.sources) > 1:
        return "it is one of several inputs"
    if asked.where is not None:
        return "the rows excluded by --where would be lost"
    if not target.is_dir():
        return ""
    read = {_canonical(file.path) for file in source.files}
    for found in files_in(target):
        hidden = any(part.startswith(".") for part in found.relative_to(target).parts)
        if not hidden and not found.is_dir() and str(found) not in read:
            return f"{found} in it is not read"
    return ""


def _canonical(path: str) -> str:
    """A path with links resolved, except a link at its end."""
    return str(Path(os.path.realpath(Path(path).parent), Path(path).name))


def _refuse_inside(asked: Request, target: Path, keys: Sequence[str], source: Source) -> None:
    """Rejects an output that the next run would read as input."""
    inside = False
    if source.folder is not None:
        folders = {_identity(folder) for folder in _read_folders(source)}
        inside = any(_identity(folder) in folders for folder in target.parents if folder.exists())
    elif source.pattern is not None:
        inside = _would_match(source.pattern, target, keys)
    if inside:
        msg = (
            f"OUTPUT {target} lies inside {asked.name_of(source)} {source.given}, "
            "all of whose files are read: write to another path"
        )
        raise ValueError(msg)


def _read_folders(source: Source) -> set[Path]:
    """The input folder, and all targets of links in it."""
    folder = Path(source.given).absolute()
    found = {folder}
    for parent in {Path(file.path).parent for file in source.files}:
        found |= {above for above in _up(parent) if folder in _up(above)}
    return found


def _would_match(pattern: str, target: Path, keys: Sequence[str]) -> bool:
    base = Path(os.path.realpath(fixed(pattern)))
    if base not in target.parents:
        return False
    parts = list(target.relative_to(base).parts)
    if keys:
        parts += [*(f"{key}=value" for key in keys), "0.parquet"]
    fixed_parts = len(Path(fixed(pattern)).parts)
    return _matches(Path(pattern).parts[fixed_parts:], parts)


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a glob matches a path, or a folder above it."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(pattern[1:], parts[start:]) for start in range(len(parts) + 1))
    first = bool(parts) and fnmatchcase(parts[0], pattern[0])
    return first and _matches(pattern[1:], parts[1:])
