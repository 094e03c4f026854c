"""Progress of the fits of this process, in one line.

The compiled library always counts; a thread of this module reads the counts and draws them.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import TIMEOUT_MAX, Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from polars_genias import _genias

if TYPE_CHECKING:
    from collections.abc import Iterator

_PHASES = {"vae": "VAE", "detector": "detector"}
_LINE_EVERY = 10.0
"""Seconds between two lines of a log while no group is finished."""


@contextmanager
def progress(
    *, every: float = 0.25, file: TextIO | None = None, disable: bool | None = None
) -> Iterator[None]:
    """Show the progress of fits while the block runs: groups, time left, step, loss and psi.

    Works around any ``collect``, ``sink_parquet`` or eager verb, and counts all fits of the
    process, in any thread. A group in the cache, or fitted by another call, counts as done at once.
    Results do not change.

    In a terminal or a notebook this is one line, with a tqdm bar if tqdm is installed
    (``pip install 'polars-genias[progress]'``). A `file` that is not a terminal gets a new line
    when a group is done, and every 10 seconds. The last line stays.

    A frame verb knows the number of its groups at the start (``by=...``). In ``over`` and
    ``group_by().agg()``, Polars calls an expression group by group: the total and the time left
    only include the groups that have started.

    Parameters
    ----------
    every
        Seconds between two updates, > 0.
    file
        Output file. Default: standard error.
    disable
        Whether to draw nothing. By default (None), progress is drawn if `file` is given, in a
        notebook, or if standard error is a terminal; so not in a pipe.

    Examples
    --------
    >>> import sys
    >>> import polars as pl
    >>> import polars_genias as pg
    >>> wave = pl.LazyFrame({"t": range(800)}).select(
    ...     host=pl.col("t") % 2, cpu=(pl.col("t") / 7).sin()
    ... )
    >>> with pg.progress(file=sys.stdout, every=60):  # doctest: +ELLIPSIS
    ...     models = wave.genias.fit(by="host", window=16, steps=20).collect()
    ...
    2/2 groups in 0:...
    """
    if not every > 0:
        msg = f"parameter `every` = {every}: must be > 0"
        raise ValueError(msg)
    stream = sys.stderr if file is None else file
    if disable is None:
        disable = file is None and not (_in_notebook() or _is_terminal(stream))
    if disable or stream is None:
        yield
        return
    watch = _Watch(_display(stream), every)
    try:
        yield
    except BaseException:
        watch.end(failed=True)
        raise
    watch.end(failed=False)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, without importing anything."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


class _Count:
    """Groups, or trainings of one kind, since the first snapshot.

    Those that were running or announced at that time count as announced since.
    """

    def __init__(self, now: dict[str, Any], first: dict[str, Any]) -> None:
        self.done: int = now["done"] - first["done"]
        self.cached: int = now["cached"] - first["cached"]
        self.seconds: float = now["seconds"] - first["seconds"]
        self.abandoned: int = now["abandoned"] - first["abandoned"]
        self.planned: int = now["planned"] - first["done"] - first["abandoned"] - self.abandoned


@dataclass(frozen=True)
class _State:
    """State from two snapshots of the counts, `elapsed` seconds apart."""

    first: dict[str, Any]
    now: dict[str, Any]
    elapsed: float

    @property
    def groups(self) -> _Count:
        return self._count("groups")

    def _count(self, name: str) -> _Count:
        return _Count(self.now[name], self.first[name])

    def _running(self, phase: str) -> list[dict[str, Any]]:
        return [training for training in self.now["running"] if training["phase"] == phase]

    def _under_way(self, phase: str) -> float:
        """Running trainings, each counted by the share of its steps."""
        return sum((float(t["step"]) / max(t["steps"], 1) for t in self._running(phase)), 0.0)

    @property
    def share(self) -> float:
        """Share of all trainings that is done, 0 to 1."""
        planned = sum(self._count(phase).planned for phase in _PHASES)
        done = sum(self._count(phase).done + self._under_way(phase) for phase in _PHASES)
        return min(done / planned, 1.0) if planned else 0.0

    def _spent(self, phase: str) -> float:
        """Total seconds of all trainings of a kind."""
        running = sum((float(t["seconds"]) for t in self._running(phase)), 0.0)
        return self._count(phase).seconds + running

    def _cost(self, phase: str) -> float | None:
        """Mean seconds per training so far."""
        count = self._count(phase)
        trained = count.done - count.cached + self._under_way(phase)
        return self._spent(phase) / trained if trained > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds to the end of all trainings; None before the first step.

        A kind that has not started is assumed to cost as much as the other one, and as many
        trainings are assumed to run at once as so far.
        """
        costs = {phase: self._cost(phase) for phase in _PHASES}
        known = [cost for cost in costs.values() if cost is not None]
        spent = sum(self._spent(phase) for phase in _PHASES)
        if not known or spent <= 0:
            return None
        work = 0.0
        for phase, cost in costs.items():
            count = self._count(phase)
            trainings = count.planned - count.done - self._under_way(phase)
            work += max(trainings, 0.0) * (known[0] if cost is None else cost)
        return work * self.elapsed / spent

    @property
    def text(self) -> str:
        """The line while fits run."""
        groups, left = self.groups, self.left
        text = f"{groups.done}/{groups.planned} groups"
        if left is not None:
            text += f", {_clock(left)} left"
        # The one that has run longest: the next snapshot most likely still has it.
        return f"{text} | {self._training(self.now['running'][0])}" if self.now["running"] else text

    def _training(self, training: dict[str, Any]) -> str:
        text = _PHASES[training["phase"]]
        if self._count("vae").planned and self._count("detector").planned:
            count = self._count(training["phase"])
            text += f" {count.done}/{count.planned}:"
        if training["steps"]:
            text += f" step {training['step']}/{training['steps']}"
        if training["loss"] is not None:
            text += f", loss {training['loss']:.3g}"
        if training["psi"] is not None:
            text += f", psi {training['psi']:.2f}"
        return text

    def last_text(self, *, failed: bool) -> str:
        """The final line."""
        groups = self.groups
        planned = groups.planned + (groups.abandoned if failed else 0)
        text = f"{groups.done}/{planned} groups in {_clock(self.elapsed)}"
        if groups.cached:
            text += f", {groups.cached} of them fitted before"
        return f"stopped: {text}" if failed else text


def _clock(seconds: float) -> str:
    """As 0:31, 12:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Watch:
    """A thread that reads the counts and passes them to a display."""

    def __init__(self, display: _Display, every: float) -> None:
        self._display = display
        self._every = min(every, TIMEOUT_MAX)
        self._first: dict[str, Any] = json.loads(_genias.progress())
        self._began = time.monotonic()
        self._over = Event()
        self._thread = Thread(target=self._run, name="genias-progress", daemon=True)
        self._thread.start()

    def _state(self) -> _State:
        now = json.loads(_genias.progress())
        return _State(self._first, now, time.monotonic() - self._began)

    def _run(self) -> None:
        # A stream that was closed meanwhile must not affect the fits.
        with suppress(OSError, ValueError):
            while not self._over.wait(self._every):
                state = self._state()
                if state.groups.planned:
                    self._display.show(state)

    def end(self, *, failed: bool) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError, ValueError):
            self._display.close(self._state(), failed=failed)


class _Display(Protocol):
    """A display of states."""

    def show(self, state: _State) -> None: ...

    def close(self, state: _State, *, failed: bool) -> None: ...


def _display(stream: TextIO) -> _Display:
    notebook = _in_notebook() and stream is sys.stderr
    if not (notebook or _is_terminal(stream)):
        return _Lines(stream)
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Terminal(stream)
    return _Bar(tqdm, None if notebook else stream)


class _Lines:
    """A new line per update."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._done = 0
        self._at = 0.0

    def _write(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def show(self, state: _State) -> None:
        done = state.groups.done
        if done == state.groups.planned:
            return  # shown by the last line
        if done != self._done or state.elapsed >= self._at + _LINE_EVERY:
            self._done, self._at = done, state.elapsed
            self._write(state.text)

    def close(self, state: _State, *, failed: bool) -> None:
        if state.groups.planned + state.groups.abandoned:
            self._write(state.last_text(failed=failed))


class _Terminal:
    """A line of a terminal that is overwritten."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def _write(self, text: str, end: str = "") -> None:
        # A longer line would wrap and not be overwritten.
        text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r{text.ljust(self._width)}{end}")
        self._stream.flush()
        self._width = len(text)

    def show(self, state: _State) -> None:
        self._write(f"{state.share:4.0%} | {state.text}")

    def close(self, state: _State, *, failed: bool) -> None:
        if state.groups.planned + state.groups.abandoned:
            self._write(f"{state.share:4.0%} | {state.last_text(failed=failed)}", "\n")


class _Bar:
    """A tqdm bar in a terminal or a notebook."""

    def __init__(self, tqdm: Any, stream: TextIO | None) -> None:
        self._tqdm = tqdm
        self._stream = stream
        # In a notebook it is created in the caller's thread, so that it appears in the cell of the
        # block. In a terminal it waits for the first fit: there may be none.
        self._bar = self._made("no fit yet") if stream is None else None

    def _made(self, text: str) -> Any:
        return self._tqdm(
            total=1.0,
            desc=text,
            file=self._stream,
            bar_format="{percentage:3.0f}%|{bar}| {desc}",
            dynamic_ncols=True,
        )

    def _set(self, share: float, text: str) -> None:
        if self._bar is None:
            self._bar = self._made(text)
        self._bar.n = share
        self._bar.set_description_str(text, refresh=False)
        self._bar.refresh()

    def show(self, state: _State) -> None:
        self._set(state.share, state.text)

    def close(self, state: _State, *, failed: bool) -> None:
        if state.groups.planned + state.groups.abandoned:
            self._set(state.share, state.last_text(failed=failed))
        elif self._bar is not None:
            self._bar.leave = False
        if self._bar is not None:
            self._bar.close()
