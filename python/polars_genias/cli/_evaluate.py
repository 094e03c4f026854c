"""``genias evaluate``: metrics per group of scored or labelled rows."""

from __future__ import annotations

import argparse
from typing import Any

import polars as pl

import polars_genias as pg
from polars_genias import _names as column_names
from polars_genias._features import require
from polars_genias.cli import COMMANDS, _arguments, _inputs, _output, _rows, _run
from polars_genias.cli._errors import UsageError

OF_SCORES = ("vus_pr", "vus_roc", "auc_pr", "auc_roc", "best_f1")
"""Metrics of scores."""
OF_LABELS = ("f1", "precision", "recall", "false_alarms", "detection_delay", "event_iou")
"""Metrics of predicted labels."""
OF_EITHER = (
    "affiliation_f1",
    "affiliation_precision",
    "affiliation_recall",
    "event_f1",
    "event_recall",
    "range_f1",
    "point_adjusted_f1",
)
"""Metrics of predicted labels, and of scores at their best threshold."""
METRICS = (*OF_SCORES, *OF_LABELS, *OF_EITHER)
USUAL = (
    *("vus_pr", "auc_pr", "auc_roc", "best_f1", "f1", "precision", "recall"),
    *("affiliation_f1", "event_f1"),
)

_EPILOG = f"""\
metrics: {", ".join(METRICS)}, or all.
Names ending in _oracle use a threshold that is chosen with the evaluated labels: best_f1, and
without predicted labels also the metrics of ranges and events. See docs/metrics.md.
example: genias evaluate scored.parquet --by host --order-by timestamp --label is_anomaly
"""


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    made = _run.Parser(
        command,
        "INPUT... [options]",
        f"{COMMANDS[command].capitalize()}, and their mean over the groups.",
        _EPILOG,
    )
    _arguments.add_inputs(made)
    made.add_argument("--output", metavar="FILE", help="write Parquet instead of a table")
    _arguments.add_overwrite(made)
    roles = made.add_argument_group("columns (comma-separated names)")
    for name, text in (("by", "keys of the series"), ("order-by", "time order of their rows")):
        _arguments.add_names(roles, name, text)
    for name, text in (
        ("label", "which rows are anomalous (is_anomaly)"),
        ("score", "scores (anomaly_score, if it exists)"),
        ("predicted", "predicted labels (anomaly_label, if it exists)"),
        ("exclude", "rows to exclude, such as known incidents"),
    ):
        roles.add_argument(f"--{name}", metavar="COLUMN", help=text)
    judged = made.add_argument_group("metrics")
    judged.add_argument(
        "--metrics",
        type=_metrics,
        metavar="NAMES",
        help=f"comma-separated metrics ({', '.join(USUAL)})",
    )
    judged.add_argument(
        "--threshold", type=float, metavar="X", help="rows with a score above it are predicted"
    )
    judged.add_argument("--buffer", type=int, metavar="N", help="largest buffer of vus_* (100)")
    return made


def _metrics(text: str) -> tuple[str, ...]:
    if text == "all":
        return METRICS
    names = _arguments.columns(text)
    for name in names:
        if name not in METRICS:
            msg = f"{name!r} is none of {', '.join(METRICS)}, all"
            raise argparse.ArgumentTypeError(msg)
    return tuple(names)


def run(given: argparse.Namespace) -> None:
    """Print or write the metrics."""
    if given.predicted is not None and given.threshold is not None:
        msg = "give --predicted or --threshold, not both"
        raise UsageError(msg)
    sources = _inputs.find(given.input)
    target = given.output and _output.output(
        _output.Request("evaluate", given.output, overwrite=given.overwrite, sources=sources)
    )
    rows = _rows.read(sources, given)
    with _run.progress(given):
        table = evaluated(given, rows)
    if target:
        target.write(table.lazy())
    mean = table[:, len(given.by) :].mean()
    if given.json:
        groups, means = table.to_dicts(), mean.to_dicts()[0]
        _run.print_json({"command": "evaluate", "groups": groups, "mean": means})
    elif not target:
        if given.by and table.height > 1:
            table = _with_mean(table, mean, given.by)
        _run.print_table(table)


def evaluated(given: argparse.Namespace, rows: pl.LazyFrame) -> pl.DataFrame:
    """The metrics of every group, in one query."""
    roles = _roles(given, rows.collect_schema())
    shields = column_names.shields([*roles.values(), *given.by, *given.order_by])
    rows = column_names.renamed(rows, shields)
    columns = {role: pl.col(shields.get(name, name)) for role, name in roles.items()}
    label, score, predicted = (columns.get(role) for role in ("label", "score", "predicted"))
    if given.threshold is not None and score is not None:
        predicted = score > given.threshold
    seen = [column.is_not_null() for column in (label, score, predicted) if column is not None]
    if "exclude" in columns:
        seen.append(~columns["exclude"])
    options = {} if given.buffer is None else {"buffer": given.buffer}
    metrics = _expressions(given.metrics, score, predicted, columns["label"], options)
    by, order_by = ([shields.get(name, name) for name in key] for key in (given.by, given.order_by))
    rows = rows.filter(*seen)
    rows = rows.sort(by + order_by, maintain_order=True) if by or order_by else rows
    counts = {"rows": pl.len(), "anomalous_rows": columns["label"].cast(pl.Boolean).sum()}
    _refuse_clash(by, [*counts, *metrics])
    if not by:
        return rows.select(**counts, **metrics).collect()
    table = rows.group_by(by, maintain_order=True).agg(**counts, **metrics)
    of_by = {name: safe for name, safe in shields.items() if name in given.by}
    return column_names.restored(table, of_by).collect()


def _refuse_clash(by: list[str], figures: list[str]) -> None:
    for name in by:
        if name in figures:
            msg = f"parameter `by`: the table has a column {name!r} of its own; rename the key"
            raise ValueError(msg)


def _roles(given: argparse.Namespace, schema: pl.Schema) -> dict[str, str]:
    """The columns of label, score and predictions, by default the usual ones."""
    named = [("by", name) for name in given.by] + [("order_by", name) for name in given.order_by]
    roles = {}
    for role, usual in (
        ("label", "is_anomaly"),
        ("score", "anomaly_score"),
        ("predicted", "anomaly_label"),
    ):
        name = getattr(given, role)
        if name is None and (role == "label" or usual in schema):
            name = usual
        if name is not None:
            roles[role] = name
    if given.exclude is not None:
        roles["exclude"] = given.exclude
    for role, name in [*named, *roles.items()]:
        require(schema, role, name)
    if "score" not in roles and (given.threshold is not None or "predicted" not in roles):
        msg = f"parameter `score`: no column anomaly_score; there are {schema.names()}"
        raise ValueError(msg)
    return roles


def _expressions(
    names: tuple[str, ...] | None,
    score: pl.Expr | None,
    predicted: pl.Expr | None,
    label: pl.Expr,
    options: dict[str, Any],
) -> dict[str, pl.Expr]:
    """The available metrics by column name; an error if a requested one is missing."""
    made = {}
    for name in names or USUAL:
        of_scores = name in OF_SCORES or (name in OF_EITHER and predicted is None)
        column = score if of_scores else predicted
        if column is None:
            if names is None:
                continue
            needs = "--score" if of_scores else "--predicted, or --threshold"
            msg = f"parameter `metrics` = {name!r}: needs {needs}"
            raise UsageError(msg)
        oracle = name == "best_f1" or (of_scores and name in OF_EITHER and name != "event_recall")
        given = options if name.startswith("vus_") else {}
        metric: Any = getattr(pg, name)
        made[f"{name}_oracle" if oracle else name] = metric(column, label, **given)
    return made


def _with_mean(table: pl.DataFrame, mean: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The table with a row of means at its end."""
    counts = [pl.col(name).round().cast(pl.UInt32) for name in ("rows", "anomalous_rows")]
    last = mean.select(pl.lit("mean").alias(by[0]), pl.all()).with_columns(counts)
    keys = [table[name].cast(pl.String).alias(name) for name in by]
    figures = table[:, len(by) :].with_columns(pl.col("rows", "anomalous_rows").cast(pl.UInt32))
    text = pl.DataFrame(keys).hstack(figures)
    return pl.concat([text, last], how="diagonal")
