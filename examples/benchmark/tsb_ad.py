"""TSB-AD (Liu and Paparrizos, NeurIPS 2024): its files in the benchmark layout, and a runner.

    python examples/benchmark/tsb_ad.py convert TSB-AD-U/ tsb_ad_u.parquet
    python examples/benchmark/tsb_ad.py score TSB-AD-U/ scores/       # a file of scores per series

A file of the archive holds one series: a column per feature and ``Label``; the rows that may be
learned from are the first ones, as many as its name says after ``_tr_``. The layout of
`detectors.py` has them as split ``train`` and the others as ``test``.

The harness of the archive (``benchmark_exp/Run_Detector_U.py``) calls functions that give a score
for every row. To run this package in it, add the name to ``Semisupervise_AD_Pool`` of
``TSB_AD/model_wrapper.py``, an empty dictionary to ``Optimal_Uni_algo_HP_dict`` (or ``_Multi_``),
and there::

    from tsb_ad import run_polars_genias
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Iterator

LABEL = "Label"


def train_rows(path: Path) -> int:
    """Rows that may be learned from, by the name of a file.

    Examples
    --------
    >>> train_rows(Path("001_NAB_id_1_Facility_tr_1007_1st_2014.csv"))
    1007
    """
    found = re.search(r"_tr_(\d+)_", path.name)
    if found is None:
        msg = f"{path.name}: no train length in the name, such as _tr_1007_"
        raise ValueError(msg)
    return int(found[1])


def read(path: Path) -> pl.DataFrame:
    """One series in the benchmark layout; features are called as in the file."""
    rows = pl.read_csv(path, infer_schema_length=None)
    if LABEL not in rows.columns:
        msg = f"{path.name}: no column {LABEL!r}, only {rows.columns}"
        raise ValueError(msg)
    features = [name for name in rows.columns if name != LABEL]
    t, first = pl.int_range(pl.len()), train_rows(path)
    return rows.select(
        pl.lit(path.stem).alias("series"),
        pl.when(t < first).then(pl.lit("train")).otherwise(pl.lit("test")).alias("split"),
        pl.when(t < first).then(t).otherwise(t - first).alias("t"),
        *(pl.col(name).cast(pl.Float32) for name in features),
        (pl.col(LABEL) > 0).alias("label"),
    )


def files(folder: Path) -> Iterator[Path]:
    """The series of a folder, in order of their names."""
    yield from sorted(folder.glob("*.csv"))


def convert(folder: Path) -> pl.DataFrame:
    """All series of a folder; features that one of them lacks are null in it."""
    return pl.concat([read(path) for path in files(folder)], how="diagonal")


def run_polars_genias(data_train: np.ndarray, data_test: np.ndarray, **options: Any) -> np.ndarray:
    """Scores of the rows of `data_test`, as the harness calls its semisupervised methods.

    Parameters
    ----------
    data_train, data_test
        [rows, features]. The harness tests on all rows of a series, those of the train part among
        them.
    **options
        Of `polars_genias.score`: ``window=200``, ``detector="evidence"``, ...

    Returns
    -------
    numpy.ndarray
        [rows], higher is more anomalous.
    """
    train, test = frame(data_train), frame(data_test)
    names = [name for name in train.columns if name not in ("t", "known")]
    roles = {"features": names, "order_by": "t"}
    if data_test.shape[0] >= data_train.shape[0] and np.array_equal(
        data_test[: len(data_train)], data_train
    ):
        # Rows after the train part are left out of the fit as if they were known anomalies.
        known = pl.int_range(pl.len()) >= len(data_train)
        out = pg.score(test.with_columns(known=known), **roles, label="known", **options)
    else:
        model = pg.fit(train, **roles, only="score")["model"][0]
        out = pg.score(test, **roles, models=model, **options)
    return np.nan_to_num(out["anomaly_score"].to_numpy().astype(np.float64))


def frame(values: np.ndarray) -> pl.DataFrame:
    """Rows as a frame with their number."""
    columns = np.atleast_2d(values.T) if values.ndim == 1 else values.T
    named = {f"f{i:02}": np.ascontiguousarray(column) for i, column in enumerate(columns)}
    return pl.DataFrame({"t": np.arange(columns.shape[1]), **named})


def score(folder: Path, output: Path, **options: Any) -> None:
    """Write ``{series}.npy`` per file: a score for every row of it."""
    output.mkdir(parents=True, exist_ok=True)
    for path in files(folder):
        rows = read(path)
        values = rows.drop("series", "split", "t", "label").to_numpy().astype(np.float64)
        first = train_rows(path)
        np.save(output / f"{path.stem}.npy", run_polars_genias(values[:first], values, **options))


def main() -> None:
    """Convert or score a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["convert", "score"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args()
    if given.what == "convert":
        convert(given.folder).write_parquet(given.output)
    else:
        score(given.folder, given.output)


if __name__ == "__main__":
    main()
