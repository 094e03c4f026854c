"""``genias fit, generate, inject, events, pairs, score, label``: the frame verbs on Parquet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg
from polars_genias import _frames as frames
from polars_genias._options import checked
from polars_genias.cli import COMMANDS, _arguments, _data, _run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_EXAMPLES = {
    "fit": "genias fit metrics/ models.parquet --by host --order-by timestamp",
    "generate": "genias generate metrics/ augmented.parquet --by host --order-by timestamp "
    "--models models.parquet --length 24:96 --strength 1:3",
    "inject": "genias inject metrics/ injected.parquet --by host --order-by timestamp "
    "--kind trend,mean --count 3 --length 20:60",
    "events": "genias events metrics/ events.parquet --by host --order-by timestamp "
    "--models models.parquet --length 24:96 --strength 1:3",
    "pairs": "genias pairs metrics/ pairs.parquet --by host --models models.parquet --stride 50",
    "score": "genias score 'metrics/**/*.parquet' scored.parquet --by host --order-by timestamp "
    "--models models.parquet",
    "label": "genias label metrics/ metrics/ --overwrite --by host --order-by timestamp "
    "--models models.parquet",
}


def parser(verb: str) -> _run.Parser:
    """The parser of a verb."""
    made = _run.Parser(
        verb,
        "INPUT... OUTPUT [options]",
        f"{COMMANDS[verb].capitalize()}. Defaults are in brackets.",
        f"example: {_EXAMPLES[verb]}",
    )
    _arguments.add_inputs(made)
    made.add_argument("output", metavar="OUTPUT", help="Parquet to write: a file, or a folder/")
    roles = _arguments.add_columns(made)
    roles.add_argument(
        "--label", metavar="COLUMN", help="Boolean: known anomalies, neither learned nor hit"
    )
    if verb in ("generate", "inject"):
        roles.add_argument("--suffix", help="of the new value columns (_synthetic)")
    elif verb in _NAMES:
        roles.add_argument("--name", help=f"of the new column ({_NAMES[verb]})")
    made.add_argument(
        "--strict", action="store_true", help="a series without a usable window is an error"
    )
    if verb != "inject":
        made.add_argument(
            "--models", type=Path, metavar="FILE", help="what `fit` wrote (fit one per series)"
        )
    made.add_argument(
        "--dry-run", action="store_true", help="say what would be done and how long it takes"
    )
    _arguments.add_outputs(made)
    _arguments.add_options(made, verb)
    return made


_NAMES = {"fit": "model", "score": "anomaly_score", "label": "anomaly_label"}


def run(given: argparse.Namespace) -> None:
    """Call the verb, from Parquet to Parquet."""
    verb = given.command
    options = _arguments.given_options(given, verb)
    try:
        checked(options, len(given.order_by), verb)
    except ValueError as error:
        raise _run.UsageError(str(error)) from error
    usual = ([] if verb in frames.TABLES else _data.hive_keys(given.input[0])) or given.by
    target = _data.output(given.output, given.partition_by, usual, given.overwrite)
    if getattr(given, "models", None) is not None and not given.models.exists():
        msg = f"parameter `models`: no such file: {given.models}"
        raise ValueError(msg)
    rows = _data.scan(given.input, given.where)
    call = _call(given, options)
    if given.dry_run:
        from polars_genias.cli import _dry_run

        _dry_run.report(given, rows, call, options, target)
        return
    started = time.perf_counter()
    with _run.progress(given):
        target.write(call(rows))
    if given.json or _run.on_terminal(given):
        _finish(given, target, time.perf_counter() - started)


def _call(given: argparse.Namespace, options: dict[str, Any]) -> Callable[..., pl.LazyFrame]:
    """The verb with all its arguments but the rows; options may be replaced by others."""
    roles = {
        "features": _arguments.features(given.features),
        "by": given.by or None,
        "order_by": given.order_by or None,
        "label": given.label,
        "strict": given.strict,
    }
    for name in ("models", "suffix", "name"):
        if getattr(given, name, None) is not None:
            roles[name] = getattr(given, name)
    function: Any = getattr(pg, given.command)

    def call(rows: pl.LazyFrame, **others: Any) -> pl.LazyFrame:
        result: pl.LazyFrame = function(rows, **roles, **(options | others))
        return result

    return call


def _finish(given: argparse.Namespace, target: _data.Output, seconds: float) -> None:
    """Says what was written, as read from there."""
    written = _data.scan([str(target.path)])
    group = pl.struct(given.by).n_unique() if given.by else pl.lit(1)
    counts = (
        written.select(rows=pl.len(), groups=group, **_counts(given)).collect().row(0, named=True)
    )
    rows, groups = counts["rows"], counts["groups"]
    line = f"{rows:,} rows of {groups:,} series written to {given.output} in {seconds:.1f} s"
    summary = {
        "command": given.command,
        "input": given.input,
        "output": str(target.path),
        **counts,
        "columns": {name: str(dtype) for name, dtype in written.collect_schema().items()},
        "seconds": round(seconds, 3),
    }
    _run.finished(given, line, summary)


def _counts(given: argparse.Namespace) -> dict[str, pl.Expr]:
    """What a verb counts in what it wrote."""
    name = pl.col(getattr(given, "name", None) or _NAMES.get(given.command, ""))
    hit = pl.col("is_anomaly")
    made = {
        "anomalies": pl.struct(*given.by, "anomaly_id").filter(hit).n_unique(),
        "anomalous_rows": hit.sum(),
        "rows_without": hit.is_null().sum(),
    }
    by_verb: dict[str, dict[str, pl.Expr]] = {
        "fit": {"models": name.count(), "series_without": name.null_count()},
        "generate": made,
        "inject": made,
        "label": {"anomalous_rows": name.sum(), "rows_without": name.null_count()},
    }
    if given.command == "score" and not given.per_feature:
        return {"rows_without": name.null_count()}
    return by_verb.get(given.command, {})
