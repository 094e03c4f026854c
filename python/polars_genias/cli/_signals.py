"""SIGTERM and SIGHUP end a command like Ctrl-C: training stops, and no partial output is left.

Python runs a handler when the main thread returns from a query, which may take hours. But it writes
the number of a signal to a pipe at once. A thread reads the pipe and raises SIGINT, which queries
check. If a query does not stop in time, the process exits.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from polars_genias import _replace

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE = 5.0
"""Seconds for a command to stop by itself."""

_NAMES = ("SIGTERM", "SIGHUP")


class Ended:
    """The signal that ended the command, if any."""

    number: int | None = None

    @property
    def name(self) -> str:
        """The name of the signal."""
        return signal.Signals(self.number or signal.SIGINT).name


@contextmanager
def listening() -> Iterator[Ended]:
    """Forwards SIGTERM and SIGHUP, unless they have another handler or are ignored."""
    ended = Ended()
    mine = threading.current_thread() is threading.main_thread()
    numbers = {getattr(signal, name) for name in _NAMES if mine and hasattr(signal, name)}
    numbers = {number for number in numbers if signal.getsignal(number) == signal.SIG_DFL}
    if not numbers:
        yield ended
        return
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    done = threading.Event()
    watching = (reads, frozenset(numbers), ended, done)
    thread = threading.Thread(target=_watch, args=watching, daemon=True)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, _take_note)
    thread.start()
    try:
        yield ended
    finally:
        done.set()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(writes)
        thread.join()
        os.close(reads)


def _take_note(_number: int, _frame: object) -> None:
    """A handler is required for Python to write the signal to the pipe."""


def _watch(reads: int, numbers: frozenset[int], ended: Ended, done: threading.Event) -> None:
    while received := os.read(reads, 1):
        if received[0] in numbers:
            ended.number = received[0]
            os.kill(os.getpid(), signal.SIGINT)
            if not done.wait(GRACE):
                _leave(received[0])
            return


def _leave(number: int) -> None:
    """Ends the process from this thread."""
    with suppress(Exception):
        _replace.abandon()
    os._exit(128 + number)
