"""What a fit with the defaults is worth on real series: one row per series.

Reads the benchmark layout (columns ``series, split, t, label`` and features) from a folder of
Parquet files and, per file, runs one lazy query from ``scan_parquet`` to ``sink_parquet``: a model
per series of the train rows, anomalies into a copy of the train rows, scores of the test rows. Then
it checks the result and writes a table in Markdown.

    python examples/benchmark/quality.py DATA_FOLDER --table table.md
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import polars as pl

import polars_genias as pg

ROLES = ("series", "split", "t", "timestamp", "label")
CONTAMINATION = 0.1
DATASETS = {"msl": None, "nab": None, "ucr": 10, "smap": ["D-12"]}
"""Which series of a file: all, the first so many by name, or these."""


def chosen(path: Path, which: int | list[str] | None) -> pl.LazyFrame:
    frame = pl.scan_parquet(path)
    if which is None:
        return frame
    if isinstance(which, int):
        which = sorted(frame.select("series").unique().collect()["series"])[:which]
    return frame.filter(pl.col("series").is_in(which))


def query(frame: pl.LazyFrame, **options: object) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Augmented train rows over scored test rows, and the table of models."""
    features = [name for name in frame.collect_schema() if name not in ROLES]
    train = frame.filter(pl.col("split") == "train")
    test = frame.filter(pl.col("split") == "test")
    args = {"features": features, "by": "series", "order_by": "t"}
    models = train.genias.fit(**args, label="label", detector="reconstruction", **options)
    generate = {"contamination": CONTAMINATION, "label": "label"}
    if options.get("preset") == "paper":
        generate["preset"] = "paper"
    augmented = train.genias.generate(**args, models=models, **generate)
    scored = test.genias.score(**args, models=models)
    return pl.concat([augmented, scored], how="diagonal"), models


def check(frame: pl.LazyFrame, written: Path) -> None:
    """Originals untouched, contamination met, no NaN, every test row of a long series scored."""
    features = [name for name in frame.collect_schema() if name not in ROLES]
    before = frame.sort("series", "split", "t").collect()
    after = pl.scan_parquet(written).sort("series", "split", "t").collect()
    assert after.select(before.columns).equals(before), "originals changed"
    train = after.filter(pl.col("split") == "train")
    for name in features:
        new = train[f"{name}_synthetic"]
        assert new.is_finite().all(), f"{name}: not finite"
        same = ~train[f"{name}_mask"]
        assert new.filter(same).equals(train[name].filter(same)), f"{name}: unhit values changed"
    rows = train.group_by("series").agg(pl.len(), hit=pl.col("is_anomaly").sum())
    missed = rows.filter((pl.col("hit") - CONTAMINATION * pl.col("len")).abs() > 200)
    assert missed.is_empty(), f"contamination missed: {missed}"
    assert not train.filter("label")["is_anomaly"].any(), "a known anomaly was hit"
    score = after.filter(pl.col("split") == "test")["anomaly_score"]
    assert score.is_finite().all(), "scores not finite"
    assert score.null_count() == 0, "scores missing"


def measure(path: Path, which: int | list[str] | None, **options: object) -> pl.DataFrame:
    frame = chosen(path, which)
    result, models = query(frame, **options)
    with tempfile.TemporaryDirectory() as folder:
        written = pg.sink_parquet(result, Path(folder) / "out.parquet")
        check(frame, written)
    about = models.select("series", pg.describe("model").alias("about")).collect().unnest("about")
    return about.select(
        pl.lit(path.stem).alias("data"),
        "series",
        live=pl.col("features").list.len() - pl.col("constant_features").list.len(),
        psi="psi",
        r2="r2",
        r2_pca="r2_pca",
        latent="latent",
        active="active_units",
        kl="kl",
        patch_rate="patch_rate",
        in_band="in_band",
        steps="steps",
        seconds="seconds",
        health=pl.col("health").list.join(", "),
    )


def markdown(table: pl.DataFrame) -> str:
    with pl.Config(
        tbl_formatting="MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        fmt_str_lengths=60,
        float_precision=3,
        tbl_width_chars=1000,
    ):
        return str(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--only", nargs="*", default=list(DATASETS))
    parser.add_argument("--preset", default="default")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, help="series per file, the first by name")
    given = parser.parse_args()
    options = {"preset": given.preset, "steps": given.steps, "seed": given.seed}
    parts = [
        measure(given.data / f"{name}.parquet", given.most or DATASETS[name], **options)
        for name in given.only
    ]
    table = pl.concat(parts)
    text = markdown(table)
    print(text)
    lift = table.select(lift=pl.col("r2") - pl.col("r2_pca")).drop_nulls()["lift"]
    summary = (
        f"R2 - PCA's R2: median {lift.median():+.5f}, lowest {lift.min():+.5f}; "
        f"psi {table['psi'].min():.2f} to {table['psi'].max():.2f}; "
        f"patch rate {table['patch_rate'].min():.3f} to {table['patch_rate'].max():.3f}; "
        f"seconds per fit up to {table['seconds'].max():.1f}"
    )
    print(summary)
    if given.table:
        given.table.write_text(f"{text}\n\n{summary}\n")


if __name__ == "__main__":
    main()
