"""Realistic, labelled time-series anomalies as Polars columns (GenIAS), and scores.

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
    FitOptions,
    GenerateOptions,
    InjectOptions,
    LabelOptions,
    ModelOptions,
    ScoreOptions,
)
from polars_genias._progress import progress
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
    describe,
    embed,
    events,
    fit,
    generate,
    health,
    inject,
    label,
    pairs,
    reconstruct,
    score,
    windows,
)

if TYPE_CHECKING:
    from polars_genias import plots as plots

__version__ = version()


def __getattr__(name: str) -> Any:
    """`polars_genias.plots` is imported when it is first used, since Altair takes a while."""
    if name == "plots":
        import importlib

        return importlib.import_module("polars_genias.plots")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


__all__ = [
    "FitOptions",
    "GenerateOptions",
    "GeniasDataFrame",
    "GeniasExpr",
    "GeniasLazyFrame",
    "InjectOptions",
    "LabelOptions",
    "ModelOptions",
    "ScoreOptions",
    "affiliation_f1",
    "affiliation_precision",
    "affiliation_recall",
    "alarms",
    "arp",
    "auc_pr",
    "auc_roc",
    "best_f1",
    "clear_cache",
    "datasets",
    "describe",
    "edi",
    "embed",
    "event_f1",
    "events",
    "f1",
    "fit",
    "fit_count",
    "generate",
    "health",
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
    "sink_parquet",
    "vus_pr",
    "vus_roc",
    "windows",
    "detection_delay",
    "event_iou",
    "event_recall",
    "false_alarms",
    "false_alarms_per_day",
]
