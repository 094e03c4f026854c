"""Atomic exchange of two paths, where the system supports it."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # of Linux; RENAME_SWAP of macOS is 2, too
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths of one file system; False if the system or file system cannot.

    Raises
    ------
    OSError
        For errors that two renames would raise as well.
    """
    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _system_call() -> Any:
    """``renameat2`` of Linux or ``renamex_np`` of macOS for two paths; None elsewhere."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            swap = library.renamex_np
            return lambda one, other: swap(one, other, _RENAME_EXCHANGE)
        rename = library.renameat2
    except (AttributeError, OSError, TypeError):
        return None
    return lambda one, other: rename(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE)
