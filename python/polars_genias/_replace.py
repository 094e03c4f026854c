"""Atomic replacement of outputs: the old output stays until the new one is complete.

Everything is written into a working folder next to the output, ``.genias-0123456789ab/``:

* ``new`` is the output until it is complete;
* ``old`` is the output that it replaces, if the system cannot exchange two folders atomically;
* ``record.json`` names the output, and is locked while the process runs.

A killed process leaves its working folder. The next process that writes or reads the output finds
the lock free, restores ``old`` if the output is missing, and removes the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias._exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # without file locks, folders of killed processes are not removed
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".genias-"
_RECORD, _NEW, _OLD = "record.json", "new", "old"
_UNRECORDED_FOR = 60.0
"""Age in seconds at which a working folder without a record is abandoned."""
_TRIES = 20
"""How often a folder is removed at most, .05 s apart."""

Snapshot = dict[str, tuple[int, int, int]]
"""Snapshot of a path: inode, size and modification time of every file."""

_working: dict[Path, Path] = {}
"""Outputs that this process is writing, by working folder."""
_settling = threading.RLock()


class ReplacementError(ValueError):
    """The existing file or folder must not be replaced."""


@contextmanager
def replacing(path: Path, ending: str = "", seen: Snapshot | None = None) -> Iterator[Path]:
    """A temporary path for the file or folder that replaces `path` when the block ends.

    It lies in a working folder next to `path`, and ends in `ending`. After an error or an interrupt
    it is removed, and `path` does not change. The output keeps the mode and owner of the old one.

    Parameters
    ----------
    path
        The output. Links are followed.
    ending
        Suffix of the temporary path, for writers that depend on it.
    seen
        Snapshot of what may be replaced; by default the current one.

    Raises
    ------
    ReplacementError
        If `path` is neither a file nor a folder, belongs to another user, or has changed since it
        was `seen`.
    """
    path = path.resolve()
    recover(path)
    check_kind(path)
    seen = snapshot(path) if seen is None else seen
    made = _make_parents(path.parent)
    try:
        with _working_folder(path) as working:
            staged = working / f"{_NEW}{ending}"
            yield staged
            with _settling:
                _keep_attributes(path, staged)
                _refuse_changed(path, seen)
                _put(staged, path, working)
                made = []
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def check_kind(path: Path) -> None:
    """Raises ReplacementError for a path that is no file or folder, or that of another user."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        msg = f"{path} is {_kind(found.st_mode)}: an output is a file or a folder"
        raise ReplacementError(msg)
    if path.is_mount():
        msg = f"{path} is a mount point, which can't be replaced: write to a folder in it"
        raise ReplacementError(msg)
    user = os.geteuid() if hasattr(os, "geteuid") else found.st_uid
    if user not in (0, found.st_uid):
        msg = (
            f"{path} belongs to another user ({found.st_uid}), to whom the new one could not be "
            "given: remove it, or write to another path"
        )
        raise ReplacementError(msg)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a broken link",
    }
    return kinds.get(stat.S_IFMT(mode), "neither a file nor a folder")


def snapshot(path: Path) -> Snapshot:
    """The current files at a path; empty if there are none."""
    if not os.path.lexists(path):
        return {}
    if not path.is_dir():
        return {"": _seen(path)}
    return {str(found.relative_to(path)): _seen(found) for found in files_in(path)}


def _seen(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def files_in(folder: Path) -> list[Path]:
    """All files below a folder; links are not followed."""
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        at = Path(parent)
        found += [at / name for name in names]
        found += [at / name for name in folders if (at / name).is_symlink()]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _refuse_changed(path: Path, seen: Snapshot) -> None:
    if snapshot(path) != seen:
        msg = f"{path} was changed by another process in the meantime, and is not replaced"
        raise ReplacementError(msg)


def _make_parents(folder: Path) -> list[Path]:
    """Creates a folder with its parents; returns the new ones, the innermost first."""
    missing = [at for at in (folder, *folder.parents) if not at.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


@contextmanager
def _working_folder(path: Path) -> Iterator[Path]:
    """A working folder of this process for the output `path`."""
    working = path.parent / f"{_PREFIX}{uuid.uuid4().hex[:12]}"
    lock = None
    try:
        _working[working] = path
        working.mkdir(mode=0o700)
        lock = (working / _RECORD).open("x", encoding="ascii")
        _locked(lock)
        json.dump({"output": path.name}, lock)
        lock.flush()
        yield working
    finally:
        with _settling:
            _settle(working, path)
            _working.pop(working, None)
        if lock is not None:
            lock.close()


def _put(staged: Path, path: Path, working: Path) -> None:
    """Moves the staged output to its place, and the old one into the working folder.

    Between the two steps of the last case there is nothing at `path`. After a failure there,
    `_settle` restores the old folder, in this process or the next one.
    """
    if not (path.is_dir() and staged.is_dir()):
        staged.replace(path)
    elif not exchange(staged, path):
        path.rename(working / _OLD)
        staged.rename(path)


def _settle(working: Path, path: Path) -> None:
    """Removes a working folder, after restoring an old output without a successor."""
    old = working / _OLD
    if os.path.lexists(old) and not os.path.lexists(path):
        old.rename(path)
    _remove(working)


def _remove(folder: Path) -> None:
    """Removes a folder into which threads of a query that failed may still write for a moment."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def recover(path: Path) -> None:
    """Cleans up after killed processes, so that an output is the complete old or new one."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        for working in path.parent.glob(f"{_PREFIX}*"):
            _recover_from(working, path)


def _recover_from(working: Path, path: Path) -> None:
    try:
        record = (working / _RECORD).open("r+", encoding="ascii")
    except FileNotFoundError:
        _remove_if_stale(working)
        return
    except OSError:
        return
    with record:
        if fcntl is None or not _locked(record):
            return
        try:
            output = json.load(record)["output"]
        except (ValueError, KeyError, TypeError):
            _remove_if_stale(working)
            return
        if output == path.name:
            _settle(working, path)


def _remove_if_stale(working: Path) -> None:
    """Removes a working folder without a record, unless it is new or holds an old output.

    It is empty, or threads of a query that failed wrote into it after it had been removed.
    """
    with suppress(OSError):
        old = time.time() - working.stat().st_mtime > _UNRECORDED_FOR
        if old and not os.path.lexists(working / _OLD):
            shutil.rmtree(working)


def _locked(file: Any) -> bool:
    """Locks a file until the process ends; False if another process has the lock."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return False
    return True


def abandon() -> None:
    """Removes unfinished outputs of this process, from any thread, before it exits."""
    with _settling:
        for working, path in list(_working.items()):
            _settle(working, path)


def _keep_attributes(path: Path, staged: Path) -> None:
    """Copies modes and owners of the old output to the staged one."""
    if not os.path.lexists(path):
        return
    _copy_attributes(path, staged)
    if not (path.is_dir() and staged.is_dir()):
        return
    usual = next((found for found in files_in(path) if found.is_file()), None)
    for parent, _, names in os.walk(staged):
        at, was = Path(parent), path / Path(parent).relative_to(staged)
        if was.is_dir():
            _copy_attributes(was, at)
        like = _first_file(was) or usual
        for name in names:
            new = (at / name).lstat()
            if like is not None and stat.S_ISREG(new.st_mode) and new.st_nlink == 1:
                _copy_attributes(like, at / name)


def _first_file(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    return next((at for at in sorted(folder.iterdir()) if at.is_file()), None)


def _copy_attributes(old: Path, new: Path) -> None:
    was, now = old.stat(), new.stat()
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid) and hasattr(os, "chown"):
        _give(new, was)
    shutil.copystat(old, new)  # the mode, and access control lists if any
    os.utime(new)


def _give(new: Path, was: os.stat_result) -> None:
    try:
        os.chown(new, was.st_uid, was.st_gid)
    except PermissionError:
        # The user is not a member of the group: nobody gets more rights than before.
        with suppress(PermissionError):
            os.chown(new, was.st_uid, -1)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A temporary folder that is removed however the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="genias-"))
    _working[folder] = folder
    try:
        yield folder
    finally:
        _working.pop(folder)
        _remove(folder)
