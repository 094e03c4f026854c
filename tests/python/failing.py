"""Runs a command in which something fails: ``python failing.py FAILURE STEP ARGUMENTS...``.

A step is a line of the modules that write outputs (or, of renames, a call; of what happens while
the query writes, a share of its time). With ``count`` for a failure, it prints how many there are.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import threading
from pathlib import Path

from polars_genias import _replace
from polars_genias.cli import _partitions, main

WRITING = {_replace.__file__, _partitions.__file__}


def kill(number):
    return lambda: os.kill(os.getpid(), number)


def error(number):
    def fail():
        raise OSError(number, os.strerror(number), "injected")

    return fail


def no_memory():
    raise MemoryError


AT_A_LINE = {
    "kill": kill(signal.SIGKILL),
    "term": kill(signal.SIGTERM),
    "hangup": kill(signal.SIGHUP),
    "interrupt": kill(signal.SIGINT),
    "full": error(errno.ENOSPC),
    "denied": error(errno.EACCES),
    "memory": no_memory,
    "kill-without-exchange": kill(signal.SIGKILL),
    "term-without-exchange": kill(signal.SIGTERM),
    "count": lambda: None,
}
FAILURES = [*AT_A_LINE, "rename", "file-size", "kill-in-query"]
FAILURES.remove("count")


def at_line(step, action):
    """Acts when the line number `step` of the modules runs; counts them."""
    lines = [0]

    def trace(frame, event, _argument):
        if frame.f_code.co_filename not in WRITING:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == step:
                action()
        return trace

    sys.settrace(trace)
    return lines


def failing_rename(step):
    calls = [0]

    def wrapped(function):
        def call(*given, **more):
            calls[0] += 1
            if calls[0] == step:
                raise OSError(errno.EIO, "injected", str(given[-1]))
            return function(*given, **more)

        return call

    os.rename, os.replace = wrapped(os.rename), wrapped(os.replace)
    _replace.exchange = wrapped(_replace.exchange)


def while_querying(milliseconds):
    timer = threading.Timer(milliseconds / 1000, kill(signal.SIGKILL))
    timer.daemon = True
    timer.start()


def run(failure, step, arguments):
    if failure.endswith("without-exchange"):
        _replace.exchange = lambda *_: False
    lines = None
    if failure in AT_A_LINE:
        lines = at_line(step, AT_A_LINE[failure])
    elif failure == "rename":
        failing_rename(step)
    elif failure == "file-size":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (step, step))
    elif failure == "kill-in-query":
        while_querying(step)
    code = main(arguments)
    sys.settrace(None)
    if failure == "count":
        Path(os.environ["COUNTED"]).write_text(str(lines[0]))
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
