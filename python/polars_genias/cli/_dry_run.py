"""``--dry-run``: the work of a verb, and its estimated time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg
from polars_genias import _names as names
from polars_genias._features import require
from polars_genias._table import Detector, detectors, of_verb
from polars_genias.cli import _models, _run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from polars_genias.cli import _output, _remote

_KEY = "key_"
_SAMPLE_ROWS = 20_000
_FEW, _MORE = 4, 20
"""Training steps that are timed."""
_SCORES = ("score", "label", "alarms", "explain", "expect")
"""Verbs that only fit what their detector needs."""


def report(
    given: argparse.Namespace,
    rows: pl.LazyFrame,
    call: Callable[..., pl.LazyFrame],
    options: dict[str, Any],
    target: _output.Output | _remote.RemoteOutput,
) -> None:
    """Print the planned work without writing anything."""
    schema = rows.collect_schema()
    result = call(rows).collect_schema()
    lengths = _lengths(rows, given.by)
    window = _window(given, options)
    total = int(lengths["rows"].sum())
    plan: dict[str, Any] = {
        "command": given.command,
        "dry_run": True,
        "input": given.input,
        "output": target.address,
        "partition_by": target.keys,
        "rows": total,
        "groups": lengths.height,
    }
    if window is not None:
        windows = (lengths["rows"].cast(pl.Int64) - window + 1).clip(0)
        plan |= {
            "window": window,
            "windows": int(windows.sum()),
            "groups_too_short": int((windows == 0).sum()),
        }
    plan["estimated_seconds"] = _seconds(given, rows, call, options, lengths)
    plan["columns"] = {name: str(dtype) for name, dtype in schema.items()}
    plan["output_columns"] = {name: str(dtype) for name, dtype in result.items()}
    if given.json:
        _run.print_json(plan)
    else:
        print("\n".join(_lines(plan, given)))


def _lengths(rows: pl.LazyFrame, by: list[str]) -> pl.DataFrame:
    """Rows per series, the first series first."""
    if not by:
        return rows.select(rows=pl.len()).collect()
    schema = rows.collect_schema()
    for name in by:
        require(schema, "by", name)
    shields = names.shields(by)
    keys = [pl.col(shields.get(name, name)).alias(f"{_KEY}{i}") for i, name in enumerate(by)]
    rows = names.renamed(rows, shields).select(keys)
    return rows.group_by(pl.all(), maintain_order=True).agg(rows=pl.len()).collect()


def _window(given: argparse.Namespace, options: dict[str, Any]) -> int | None:
    """Rows of a window; None for verbs without windows."""
    if given.command == "inject":
        return None
    if given.models is not None:
        about = _models.described(_models.opened(_models.at(given.models)))
        return int(about["window"].drop_nulls().max() or 0) or None  # type: ignore[arg-type]
    return int(options.get("window", _usual(given.command, options)["window"]))


def _seconds(
    given: argparse.Namespace,
    rows: pl.LazyFrame,
    call: Callable[..., pl.LazyFrame],
    options: dict[str, Any],
    lengths: pl.DataFrame,
) -> float:
    """Estimated time, from a run on the rows of one series with few training steps.

    The time per step is multiplied by the number of steps; the rest grows with the rows. It is an
    upper bound: fits may stop early, and series are fitted in parallel.
    """
    if not lengths["rows"].sum():
        return 0.0
    longest = lengths.row(int(lengths["rows"].arg_max() or 0), named=True)
    shields = names.shields(given.by)
    mine = [
        pl.col(shields.get(name, name)).eq_missing(longest[f"{_KEY}{i}"])
        for i, name in enumerate(given.by)
    ]
    of_one = names.renamed(rows, shields).filter(*mine).head(_SAMPLE_ROWS)
    sample = names.restored(of_one, shields).collect().lazy()
    share = float(lengths["rows"].sum()) / min(longest["rows"], _SAMPLE_ROWS)

    def timed(**steps: int) -> float:
        pg.clear_cache()
        started = time.perf_counter()
        call(sample, **steps).collect()
        return time.perf_counter() - started

    trained = _trained(given, options)
    timed(**dict.fromkeys(trained, _FEW))  # the first call loads libraries
    base = timed(**dict.fromkeys(trained, _FEW))
    total: float = base * share
    for name, steps in trained.items():
        more = timed(**(dict.fromkeys(trained, _FEW) | {name: _MORE}))
        per_step = max(0.0, more - base) / (_MORE - _FEW)
        total += per_step * max(0, steps - _FEW) * lengths.height
    return round(total, 3)


def _trained(given: argparse.Namespace, options: dict[str, Any]) -> dict[str, int]:
    """The options that set the length of trainings, with the steps of each."""
    if given.command in ("inject", "expect"):
        return {}
    values = _usual(given.command, options) | options
    detector = _detector(given.command, values.get("detector"))
    scores = given.command in _SCORES
    trained: dict[str, int] = {}
    if given.models is None and (not scores or detector is None or detector.needs_vae):
        trained["steps"] = values["steps"]
    adds = given.models is None or given.command == "fit"
    if adds and detector is not None and _has_nets(given.command, detector):
        trained["detector_steps"] = options.get("detector_steps", detector.steps)
    return trained


def _usual(verb: str, options: dict[str, Any]) -> dict[str, Any]:
    """Defaults of the options of a verb under the given preset."""
    preset = options.get("preset") or "default"
    return {option.name: getattr(option, preset) for option in of_verb(verb)}


def _detector(verb: str, name: str | None) -> Detector | None:
    """The detector that a verb scores with or adds to a model, or None."""
    table = {option.name: option for option in of_verb(verb)}
    if name is None or "detector" not in table:
        return None
    return detectors()[table["detector"].aliases.get(name, name)]


def _has_nets(verb: str, detector: Detector) -> bool:
    """Whether a detector has nets to train."""
    whens = (option.when for option in of_verb(verb) if option.name == "detector_steps")
    return any(when is not None and detector.name in when[1] for when in whens)


def _lines(plan: dict[str, Any], given: argparse.Namespace) -> list[str]:
    into = f"{given.output} (by {', '.join(plan['partition_by'])})" if plan["partition_by"] else ""
    of = f" (by {', '.join(given.by)})" if given.by else ""
    lines = [
        f"genias {given.command}: nothing is written (--dry-run)",
        f"input    {', '.join(given.input)}",
        f"output   {into or given.output}",
        f"series   {plan['groups']:,}{of}, {plan['rows']:,} rows",
    ]
    if "windows" in plan:
        short = plan["groups_too_short"]
        lines.append(
            f"windows  {plan['windows']:,} of {plan['window']:,} rows"
            + (f"; {short:,} series too short for one" if short else "")
        )
    lines.append(f"time     up to {_duration(plan['estimated_seconds'])}")
    lines.append("columns  (+ new)")
    for name, dtype in plan["output_columns"].items():
        lines.append(f"       {' ' if name in plan['columns'] else '+'} {name}: {dtype}")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
