"""Generate labelled time-series anomalies as Polars columns (GenIAS), and score rows.

Importing the package registers the namespace ``.genias`` on expressions, LazyFrames and
DataFrames. Every verb is also a function of this module.

Examples
--------
>>> import polars as pl
>>> import polars_genias as pg
>>> wave = pl.LazyFrame({"t": range(400)}).select(cpu=(pl.col("t") / 3).sin())
>>> augmented = wave.genias.generate(window=16, steps=20).collect()
>>> augmented.columns
['cpu', 'cpu_synthetic', 'is_anomaly', 'anomaly_id', 'anomaly_kind', 'anomaly_strength', 'cpu_mask']
"""

from typing import TYPE_CHECKING, Any

from polars_genias import datasets
from polars_genias._files import sink_parquet
from polars_genias._genias import clear_cache, fit_count, version
from polars_genias._namespaces import GeniasDataFrame, GeniasExpr, GeniasLazyFrame
from polars_genias._options import (
    CompareOptions,
    ExpectOptions,
    FitOptions,
    GenerateOptions,
    InjectOptions,
    LabelOptions,
    ModelOptions,
    ScoreOptions,
    SensitivityOptions,
)
from polars_genias._progress import progress
from polars_genias._shown import Model, Models
from polars_genias.metrics import (
    affiliation_f1,
    affiliation_precision,
    affiliation_recall,
    arp,
    auc_pr,
    auc_roc,
    best_f1,
    detection_delay,
    edi,
    event_f1,
    event_iou,
    event_recall,
    f1,
    false_alarms,
    false_alarms_per_day,
    point_adjusted_f1,
    precision,
    range_f1,
    recall,
    vus_pr,
    vus_roc,
)
from polars_genias.verbs import (
    alarms,
    compare,
    describe,
    embed,
    events,
    expect,
    explain,
    fit,
    generate,
    health,
    inject,
    label,
    pairs,
    reconstruct,
    score,
    sensitivity,
    windows,
)
from polars_genias.verbs._sensitivity import in_words

if TYPE_CHECKING:
    from polars_genias import plots as plots

__version__ = version()


def __getattr__(name: str) -> Any:
    """Import `polars_genias.plots` on first use, since importing Altair is slow."""
    if name == "plots":
        import importlib

        return importlib.import_module("polars_genias.plots")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


__all__ = [
    "CompareOptions",
    "ExpectOptions",
    "FitOptions",
    "GenerateOptions",
    "GeniasDataFrame",
    "GeniasExpr",
    "GeniasLazyFrame",
    "InjectOptions",
    "LabelOptions",
    "Model",
    "ModelOptions",
    "Models",
    "ScoreOptions",
    "SensitivityOptions",
    "affiliation_f1",
    "affiliation_precision",
    "affiliation_recall",
    "alarms",
    "arp",
    "auc_pr",
    "auc_roc",
    "best_f1",
    "clear_cache",
    "compare",
    "datasets",
    "describe",
    "detection_delay",
    "edi",
    "embed",
    "event_f1",
    "event_iou",
    "event_recall",
    "events",
    "expect",
    "explain",
    "f1",
    "false_alarms",
    "false_alarms_per_day",
    "fit",
    "fit_count",
    "generate",
    "health",
    "in_words",
    "inject",
    "label",
    "pairs",
    "point_adjusted_f1",
    "precision",
    "progress",
    "range_f1",
    "recall",
    "reconstruct",
    "score",
    "sensitivity",
    "sink_parquet",
    "vus_pr",
    "vus_roc",
    "windows",
]
