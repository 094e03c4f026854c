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
['cpu', 'cpu_synthetic', 'is_anomaly', 'anomaly_id', 'cpu_mask']
"""

from polars_genias import _namespaces as _namespaces
from polars_genias import datasets
from polars_genias._files import sink_parquet
from polars_genias._genias import clear_cache, fit_count, version
from polars_genias._options import FitOptions, GenerateOptions, LabelOptions, ScoreOptions
from polars_genias.verbs import (
    describe,
    embed,
    fit,
    generate,
    label,
    pairs,
    reconstruct,
    score,
    windows,
)

__version__ = version()

__all__ = [
    "FitOptions",
    "GenerateOptions",
    "LabelOptions",
    "ScoreOptions",
    "clear_cache",
    "datasets",
    "describe",
    "embed",
    "fit",
    "fit_count",
    "generate",
    "label",
    "pairs",
    "reconstruct",
    "score",
    "sink_parquet",
    "windows",
]
