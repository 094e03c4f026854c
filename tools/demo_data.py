"""Write ``python/polars_genias/datasets/demo.parquet``, which `polars_genias.datasets.demo` reads.

``python tools/demo_data.py`` makes the rows from the demo's own generator of metrics. Needs NumPy.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from polars_genias import demo

ROOT = Path(__file__).parents[1]
FILE = ROOT / "python" / "polars_genias" / "datasets" / "demo.parquet"
HOSTS = (1, 2, 3)
ROWS = 7 * demo.PER_DAY


def rows() -> pl.DataFrame:
    """Return a week of three hosts, in whole errors and two decimals of the other metrics."""
    hosts = [
        demo.host_metrics(number, ROWS).select(pl.lit(f"web-{number:02}").alias("host"), pl.all())
        for number in HOSTS
    ]
    decimals = [pl.col(name).cast(pl.Float64).round(2) for name in demo.METRICS if name != "errors"]
    return pl.concat(hosts).with_columns(*decimals, pl.col("errors").cast(pl.Int64))


def main() -> None:
    """Write the file."""
    rows().write_parquet(FILE, compression="zstd", compression_level=19, statistics=False)
    print(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
