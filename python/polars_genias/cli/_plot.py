"""``genias plot``: charts of `polars_genias.plots`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias import _names as names
from polars_genias._features import require
from polars_genias._models import model_column
from polars_genias._replace import replacing
from polars_genias.cli import COMMANDS, _arguments, _inputs, _models, _output, _quoting, _rows, _run
from polars_genias.cli._errors import UsageError

if TYPE_CHECKING:
    import argparse

    import polars as pl

KINDS = {
    "series": "features, generated anomalies and scores over time",
    "scores": "distribution of the scores, with --threshold",
    "pairs": "windows with and without an anomaly: output of `pairs`",
    "latent": "windows in the latent space of --models",
    "history": "training history of models: output of `fit`",
    "sensitivity": "share of anomalies that is caught: what `sensitivity` wrote",
    "compare": "recall of detectors: a table of `compare`",
}
ENDINGS = (".html", ".svg", ".png")

_NAMES = {
    "features": "columns to draw; for pairs, names in the order of the fit",
    "by": "key columns of a table of models",
    "order-by": "the time",
    "label": "Boolean columns of known anomalies",
    "units": "units of features, for the titles of axes",
}
_TEXTS = {
    "score": "series, scores: column of scores",
    "flagged": "series: Boolean column of the rows that a detector flagged",
    "suffix": "series: suffix of synthetic columns",
    "title": "title of the chart",
    "method": "latent: pca or tsne",
}
_INTEGERS = {
    "width": "width of a panel in pixels",
    "height": "height of a panel in pixels",
    "count": "pairs: number of pairs",
    "bins": "scores: number of bars",
    "most": "series, pairs: largest number of features",
    "windows": "latent: approximate number of windows of each kind",
    "columns": "history: models per row",
    "seed": "latent: seed of the generated anomalies and of t-SNE",
}


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    kinds = "\n".join(f"  {kind:<12}{text}" for kind, text in KINDS.items())
    made = _run.Parser(
        command,
        "KIND INPUT... OUTPUT [options]",
        f"{COMMANDS[command].capitalize()}, as HTML, SVG or PNG. Needs the extra: "
        f'pip install "polars-genias[plot]"\n\nkinds:\n{kinds}',
        "The options are those of polars_genias.plots.plot_KIND. From a table with several\n"
        "series, select one with --where, or draw each with `series` and --by. From a table of\n"
        "several models, latent uses the model of this series, found by the columns of --by.\n"
        "example: genias plot series scored.parquet web-03.png --order-by timestamp "
        "--where \"host = 'web-03'\"",
    )
    made.add_argument("kind", choices=KINDS, metavar="KIND", help="what to draw")
    _arguments.add_inputs(made)
    made.add_argument("output", metavar="OUTPUT", help="chart to write: *.html, *.svg or *.png")
    _arguments.add_overwrite(made)
    group = made.add_argument_group("chart (columns: comma-separated names)")
    for name, text in _NAMES.items():
        given: dict[str, Any] = {"default": None}
        if name in ("features", "units"):
            given["type"] = _quoting.pairs
        if name == "units":
            given["metavar"] = "NAME=UNIT"
        _arguments.add_names(group, name, text, **given)
    group.add_argument(
        "--models",
        metavar="FILE",
        help="latent: the model; series: those of the scores, for their threshold",
    )
    threshold = "series, scores: threshold, drawn as a dashed line"
    group.add_argument("--threshold", type=float, metavar="X", help=threshold)
    group.add_argument("--theme", choices=("light", "dark"), default="light", help="colours")
    log = "scores, latent: on a log scale"
    group.add_argument("--log", action="store_true", default=None, help=log)
    for name, text in _TEXTS.items():
        group.add_argument(f"--{name}", metavar="TEXT", help=text)
    for name, text in _INTEGERS.items():
        group.add_argument(f"--{name}", type=int, metavar="N", help=text)
    return made


def run(given: argparse.Namespace) -> None:
    """Draw a chart and write it."""
    ending = Path(given.output).suffix.lower()
    if ending not in ENDINGS:
        msg = f"OUTPUT {given.output!r} must end in one of {', '.join(ENDINGS)}"
        raise UsageError(msg)
    sources, models = _inputs.find(given.input), _models.find(given)
    target = _output.local(
        _output.Request(
            "plot",
            given.output,
            overwrite=given.overwrite,
            sources=sources,
            models=models,
            parquet=False,
        )
    )
    plots = _run.drawing("plots", "pictures need")
    draw = getattr(plots, f"plot_{given.kind}")
    options = _options(given, inspect.signature(draw))
    rows = _rows.read(sources, given)
    if models is not None:
        options["models"] = _models.opened(models, _rows.key_types(given))
    if given.kind == "latent" and given.by:
        del options["by"]
        rows, options["models"] = _of_one_series(rows, options["models"], given)
    chart = draw(rows, **options)
    with replacing(target.path, ending, target.seen) as beside:
        plots.save(chart, beside, theme=given.theme)
    line = f"drawn to {given.output}"
    summary = {"command": "plot", "kind": given.kind, "output": str(target.path)}
    _run.finished(given, line, summary)


def _of_one_series(
    rows: pl.LazyFrame, models: pl.LazyFrame | bytes, given: argparse.Namespace
) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """The rows without their keys, and the model of their series."""
    if isinstance(models, bytes):
        msg = f"parameter `by`: {given.models} is one model, without keys"
        raise ValueError(msg)
    model_column(models, given.by)
    schema = rows.collect_schema()
    for name in given.by:
        require(schema, "by", name)
    shields = names.shields(given.by)
    by = [shields.get(name, name) for name in given.by]
    rows, models = names.renamed(rows, shields), names.renamed(models, shields)
    keys = rows.select(by).unique().collect()
    if keys.height != 1:
        msg = f"parameter `by`: there are rows of {keys.height} series; select one with --where"
        raise ValueError(msg)
    of_one = models.join(keys.lazy(), on=by, how="semi", nulls_equal=True)
    return rows.drop(by), of_one.drop(by)


def _options(given: argparse.Namespace, signature: inspect.Signature) -> dict[str, Any]:
    """The options on the command line, as arguments of the function."""
    names = ("features", "by", "order_by", "label", "units", "models", "threshold", "log")
    options = _arguments.given_of(given, (*names, *_TEXTS, *_INTEGERS))
    if given.kind == "latent" and given.models is None:
        msg = "`plot latent` needs --models"
        raise UsageError(msg)
    for name in options:
        chooses_model = name == "by" and given.kind == "latent"
        if name not in signature.parameters and not chooses_model:
            msg = f"--{name.replace('_', '-')} is not an option of `plot {given.kind}`"
            raise UsageError(msg)
    if "units" in options:
        options["units"] = _arguments.features(given.units)
    if "features" in options:
        options["features"] = _arguments.features(given.features)
    for name in ("order_by", "label", "by"):
        if len(options.get(name, ())) == 1:
            options[name] = options[name][0]
    return options
