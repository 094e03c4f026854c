"""``genias plot``: pictures, by `polars_genias.plots`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polars_genias import _frames as frames
from polars_genias._files import replacing
from polars_genias._models import model_column, opened
from polars_genias.cli import COMMANDS, _arguments, _data, _run

if TYPE_CHECKING:
    import argparse

    import polars as pl

KINDS = {
    "series": "features, generated anomalies and scores over time",
    "scores": "distribution of the scores, with --threshold",
    "pairs": "windows with and without an anomaly: what `pairs` wrote",
    "latent": "where windows lie in the latent space of --models",
    "history": "how the training of models went: what `fit` wrote",
}
ENDINGS = (".html", ".svg", ".png")

_NAMES = {
    "features": "columns to draw; for pairs, names in the order of the fit",
    "by": "of a table of models: its key columns",
    "order-by": "the time",
    "label": "Boolean columns of known anomalies",
    "units": "units of features, for the titles of axes",
}
_TEXTS = {
    "score": "series, scores: column of scores",
    "flagged": "series: Boolean column of the rows that a detector flagged",
    "suffix": "series: what the names of synthetic columns end in",
    "title": "over the chart",
    "method": "latent: pca or tsne",
}
_INTEGERS = {
    "width": "of a panel, in pixels",
    "height": "of a panel, in pixels",
    "count": "pairs: how many",
    "bins": "scores: bars",
    "most": "series, pairs: largest number of features",
    "windows": "latent: windows of each kind, about",
    "columns": "history: models beside each other",
    "seed": "latent: of the generated anomalies, and of t-SNE",
}


def parser(command: str) -> _run.Parser:
    """The parser of the command."""
    kinds = "\n".join(f"  {kind:<9}{text}" for kind, text in KINDS.items())
    made = _run.Parser(
        command,
        "KIND INPUT... OUTPUT [options]",
        f"{COMMANDS[command].capitalize()}, as HTML, SVG or PNG. Needs the extra: "
        f'pip install "polars-genias[plot]"\n\nkinds:\n{kinds}',
        "The options are those of polars_genias.plots.plot_KIND. Of a table with several\n"
        "series, choose one with --where; of a table of several models, latent takes the\n"
        "one of this series, found by the columns of --by.\n"
        "example: genias plot series scored.parquet web-03.png --order-by timestamp "
        "--where \"host = 'web-03'\"",
    )
    made.add_argument("kind", choices=KINDS, metavar="KIND", help="what to draw")
    _arguments.add_inputs(made)
    made.add_argument("output", metavar="OUTPUT", help="the picture: *.html, *.svg or *.png")
    _arguments.add_overwrite(made)
    group = made.add_argument_group("picture (columns: names between commas)")
    for name, text in _NAMES.items():
        metavar = "NAME=UNIT" if name == "units" else "COLUMNS"
        _arguments.add_names(group, name, text, default=None, metavar=metavar)
    group.add_argument("--models", type=Path, metavar="FILE", help="latent: the model")
    threshold = "series, scores: drawn as a dashed line"
    group.add_argument("--threshold", type=float, metavar="X", help=threshold)
    log = "scores, latent: on a log scale"
    group.add_argument("--log", action="store_true", default=None, help=log)
    for name, text in _TEXTS.items():
        group.add_argument(f"--{name}", metavar="TEXT", help=text)
    for name, text in _INTEGERS.items():
        group.add_argument(f"--{name}", type=int, metavar="N", help=text)
    return made


def run(given: argparse.Namespace) -> None:
    """Draw a picture and write it."""
    ending = Path(given.output).suffix.lower()
    if ending not in ENDINGS:
        msg = f"OUTPUT {given.output!r} must end in one of {', '.join(ENDINGS)}"
        raise _run.UsageError(msg)
    path = Path(given.output).resolve()
    _data.replaceable(path, overwrite=given.overwrite)
    plots = _run.drawing("plots", "pictures need")
    draw = getattr(plots, f"plot_{given.kind}")
    options = _options(given, inspect.signature(draw))
    rows = _data.scan(given.input, given.where)
    if given.kind == "latent" and given.by:
        del options["by"]
        options["models"] = _model_of(rows, given)
        rows = rows.drop(given.by)
    chart = draw(rows, **options)
    with replacing(path, ending) as beside:
        plots.save(chart, beside)
    line = f"drawn to {given.output}"
    _run.finished(given, line, {"command": "plot", "kind": given.kind, "output": str(path)})


def _model_of(rows: pl.LazyFrame, given: argparse.Namespace) -> pl.LazyFrame:
    """Of a table of models, that of the series that is drawn."""
    models = opened(given.models)
    if isinstance(models, bytes):
        msg = f"parameter `by`: {given.models} is one model, without keys"
        raise ValueError(msg)
    model_column(models, given.by)
    schema = rows.collect_schema()
    for name in given.by:
        frames.require(schema, "by", name)
    keys = rows.select(given.by).unique().collect()
    if keys.height != 1:
        msg = f"parameter `by`: there are rows of {keys.height} series; choose one with --where"
        raise ValueError(msg)
    return models.join(keys.lazy(), on=given.by, how="semi", nulls_equal=True)


def _options(given: argparse.Namespace, signature: inspect.Signature) -> dict[str, Any]:
    """What is on the command line, as the function takes it."""
    names = ("features", "by", "order_by", "label", "units", "models", "threshold", "log")
    values = {name: getattr(given, name) for name in (*names, *_TEXTS, *_INTEGERS)}
    options = {name: value for name, value in values.items() if value is not None}
    if given.kind == "latent" and given.models is None:
        msg = "`plot latent` needs --models"
        raise _run.UsageError(msg)
    for name in options:
        chooses_model = name == "by" and given.kind == "latent"
        if name not in signature.parameters and not chooses_model:
            msg = f"--{name.replace('_', '-')} is no option of `plot {given.kind}`"
            raise _run.UsageError(msg)
    if "units" in options:
        options["units"] = _arguments.features(given.units)
    if "features" in options:
        options["features"] = _arguments.features(given.features)
    for name in ("order_by", "label", "by"):
        if len(options.get(name, ())) == 1:
            options[name] = options[name][0]
    return options
