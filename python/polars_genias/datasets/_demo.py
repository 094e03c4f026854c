"""Rows to try things on, in the package."""

from __future__ import annotations

from pathlib import Path

import polars as pl


def demo() -> pl.DataFrame:
    """Read a week of metrics of three hosts, made by this project.

    Returns
    -------
    DataFrame
        6,048 rows: ``host`` (String: ``web-01`` to ``web-03``), ``timestamp`` (Datetime, every 5
        minutes), ``cpu`` and ``memory`` (%), ``requests`` (1/s), ``latency`` (ms), ``errors``
        (Int64, 1/min) and ``incident`` (Boolean: known anomalies, all of ``web-03``). ``memory``
        has a few nulls. Sorted by host and time.

    Examples
    --------
    >>> import polars_genias as pg
    >>> rows = pg.datasets.demo()
    >>> rows.shape
    (6048, 8)
    >>> labelled = rows.genias.inject(by="host", order_by="timestamp", label="incident", count=2)
    >>> labelled.filter("is_anomaly").n_unique(["host", "anomaly_id"])
    6
    """
    return pl.read_parquet(Path(__file__).with_name("demo.parquet"))
