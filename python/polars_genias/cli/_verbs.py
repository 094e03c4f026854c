"""``genias fit``, ``generate`` ... ``expect``: the frame verbs on Parquet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg
from polars_genias import _frames as frames
from polars_genias import _names as names
from polars_genias._options import checked
from polars_genias.cli import COMMANDS, _arguments, _inputs, _models, _output, _rows, _run
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from polars_genias.cli import _remote

_EXAMPLES = {
    "fit": "genias fit metrics/ models.parquet --by host --order-by timestamp",
    "generate": "genias generate metrics/ augmented.parquet --by host --order-by timestamp "
    "--models models.parquet --length 24:96 --strength 1:3",
    "inject": "genias inject metrics/ injected.parquet --by host --order-by timestamp "
    "--kind trend,mean --count 3 --length 20:60",
    "events": "genias events metrics/ events.parquet --by host --order-by timestamp "
    "--models models.parquet --length 24:96 --strength 1:3",
    "pairs": "genias pairs metrics/ pairs.parquet --by host --models models.parquet "
    "--window-stride 50",
    "score": "genias score 'metrics/**/*.parquet' scored.parquet --by host --order-by timestamp "
    "--models models.parquet",
    "alarms": "genias alarms metrics/ alarms.parquet --by host --order-by timestamp "
    "--models models.parquet --alarms-per-day 0.1",
    "sensitivity": "genias sensitivity metrics/ caught.parquet --by host --order-by timestamp "
    "--models models.parquet --alarms-per-day 1 --kind level-shift,ramp --duration 1h",
    "explain": "genias explain metrics/ reasons.parquet --by host --order-by timestamp "
    "--models models.parquet",
    "expect": "genias expect metrics/ expected.parquet --by host --order-by timestamp "
    "--models models.parquet --bounds 0.99",
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
        "--label",
        metavar="COLUMN",
        help="Boolean column of known anomalies, excluded from training and generation",
    )
    if verb in ("generate", "inject", "events", "sensitivity"):
        roles.add_argument(
            "--place", metavar="SQL", help="only rows for which this holds get anomalies"
        )
    if verb in ("generate", "inject"):
        roles.add_argument("--suffix", help="suffix of the new value columns (_synthetic)")
    elif verb in _NAMES:
        roles.add_argument("--name", help=f"name of the new column ({_NAMES[verb]})")
    made.add_argument(
        "--strict", action="store_true", help="a series without a usable window is an error"
    )
    if verb != "inject":
        made.add_argument(
            "--models", metavar="FILE", help="output of `fit` (a new model per series)"
        )
    if verb in _WITH_HISTORY:
        _arguments.add_context(made)
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="print the planned work and its estimated time, without writing",
    )
    _arguments.add_outputs(made)
    _arguments.add_options(made, verb)
    return made


_WITH_HISTORY = ("score", "label", "expect")
_NAMES = {"fit": "model", "score": "anomaly_score", "label": "anomaly_label"}


def run(given: argparse.Namespace) -> None:
    """Run the verb from Parquet to Parquet."""
    verb = given.command
    options = _arguments.given_options(given, verb)
    try:
        checked(options, len(given.order_by), verb)
    except ValueError as error:
        raise UsageError(str(error)) from error
    sources = _inputs.find(given.input)
    models = _models.find(given)
    history = _inputs.find(getattr(given, "history", None) or [])
    target = _output.output(_asked(given, sources, models, history))
    rows = _rows.read(sources, given)
    call = _call(given, options, models, history)
    target.check(rows.collect_schema(), call(rows).collect_schema())
    if given.dry_run:
        from polars_genias.cli import _dry_run

        _dry_run.report(given, rows, call, options, target)
        return
    started = time.perf_counter()
    with _run.progress(given):
        target.write(call(rows))
    if given.command == "sensitivity" and not given.json:
        _say(target)
    if given.json or _run.on_terminal(given):
        _finish(given, target, time.perf_counter() - started)


def _asked(
    given: argparse.Namespace,
    sources: list[_inputs.Source],
    models: _inputs.Source | None,
    history: list[_inputs.Source],
) -> _output.Request:
    keeps_rows = given.command not in frames.TABLES
    return _output.Request(
        given.command,
        given.output,
        partition_by=given.partition_by,
        usual=(_inputs.keys(sources) if keeps_rows else []) or given.by,
        overwrite=given.overwrite,
        sources=sources,
        models=models,
        history=history,
        where=given.where,
        keeps_rows=keeps_rows and getattr(given, "only_last", None) is None,
    )


def _call(
    given: argparse.Namespace,
    options: dict[str, Any],
    models: _inputs.Source | None,
    history: list[_inputs.Source],
) -> Callable[..., pl.LazyFrame]:
    """The verb with all its arguments except the rows; options can be replaced."""
    roles = {
        "features": _arguments.features(given.features),
        "by": given.by or None,
        "order_by": given.order_by or None,
        "label": given.label,
        "strict": given.strict,
    }
    if getattr(given, "place", None) is not None:
        roles["where"] = _rows.condition(given.place, "place")
    if history:
        roles["history"] = _rows.before(history, given)
    for name in ("suffix", "name", "only_last"):
        if getattr(given, name, None) is not None:
            roles[name] = getattr(given, name)
    if models is not None:
        roles["models"] = _models.opened(models, _rows.key_types(given))
    function: Any = getattr(pg, given.command)

    def call(rows: pl.LazyFrame, **others: Any) -> pl.LazyFrame:
        result: pl.LazyFrame = function(rows, **roles, **(options | others))
        return result

    return call


def _finish(
    given: argparse.Namespace, target: _output.Output | _remote.RemoteOutput, seconds: float
) -> None:
    """Reports the written output, from its files."""
    written = _inputs.scan(_inputs.find([target.address]))
    schema = written.collect_schema()
    shields = names.shields(schema)
    safe = {name: pl.col(shields.get(name, name)) for name in schema}
    by = [safe[name].alias(f"key_{number}") for number, name in enumerate(given.by)]
    group = pl.struct(by).n_unique() if by else pl.lit(1)
    figures = {"rows": pl.len(), "groups": group, **_counts(given, safe, by)}
    counts = names.renamed(written, shields).select(**figures).collect().row(0, named=True)
    rows, groups = counts["rows"], counts["groups"]
    line = f"{rows:,} rows of {groups:,} series written to {given.output} in {seconds:.1f} s"
    summary = {
        "command": given.command,
        "input": given.input,
        "output": target.address,
        **counts,
        "columns": {name: str(dtype) for name, dtype in schema.items()},
        "seconds": round(seconds, 3),
    }
    _run.finished(given, line, summary)


def _say(target: _output.Output | _remote.RemoteOutput) -> None:
    """Writes what would be caught to stdout: a sentence per series, kind and duration."""
    said = pg.in_words(_inputs.scan(_inputs.find([target.address]))).collect()
    keys = said.columns[: said.columns.index("feature")]
    for row in said.drop_nulls("sentence").iter_rows(named=True):
        name = ", ".join(str(row[key]) for key in keys)
        print(f"{name}: {row['sentence']}" if name else row["sentence"])


def _counts(
    given: argparse.Namespace, of: dict[str, pl.Expr], by: list[pl.Expr]
) -> dict[str, pl.Expr]:
    """Counts of a verb in its output."""
    if given.command in ("generate", "inject"):
        hit = of["is_anomaly"]
        return {
            "anomalies": pl.struct(*by, of["anomaly_id"]).filter(hit).n_unique(),
            "anomalous_rows": hit.sum(),
            "rows_without": hit.is_null().sum(),
        }
    if given.command == "sensitivity":
        return {"tries": of["tries"].sum(), "caught": of["caught"].sum()}
    if given.command == "alarms":
        return {"alarms": pl.len(), "open": of["open"].sum()}
    if given.command == "explain":
        return {"alarms": pl.struct(*by, of["id"]).n_unique()}
    if given.command not in _NAMES or getattr(given, "per_feature", None):
        return {}
    name = of[given.name or _NAMES[given.command]]
    if given.command == "fit":
        return {"models": name.count(), "series_without": name.null_count()}
    figures = {"rows_without": name.null_count()}
    return figures if given.command == "score" else {"anomalous_rows": name.sum()} | figures
