"""The detectors of TSB-AD (Liu and Paparrizos, NeurIPS 2024) on the evaluated series, beside ours.

    pip install 'polars-genias[peers]' && pip install --no-deps TSB-AD
    python examples/benchmark/peers.py DATA_FOLDER peers.parquet                # classical ones
    python examples/benchmark/peers.py DATA_FOLDER peers.parquet --peers CNN USAD --limit 600

Peers run with the settings that TSB-AD publishes as best for series with one feature, or with
several. Those that learn without labels see train and test rows, in time order, the others learn
from the train rows; scores of the test rows are evaluated. A peer that needs longer than the limit
for a series has no result there. Results are written after each dataset, and series that have one
are not run again. The tables compare peers and ours on the series where both have a result.
`evidence` is run with them: every run with an empty results file is an evaluation of it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from detectors import SERIES, read

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

OURS = "evidence"
CLASSICAL = ("KMeansAD", "PCA", "KNN", "IForest", "CBLOF", "MatrixProfile", "POLY", "KShapeAD")
NETS = ("CNN", "LSTMAD", "OmniAnomaly", "USAD")
UNIVARIATE = {"KMeansAD": "KMeansAD_U", "PCA": "Sub_PCA", "KNN": "Sub_KNN"}
"""What TSB-AD calls a peer for series with one feature, where the name is another one."""
ONE_FEATURE = ("MatrixProfile", "POLY", "KShapeAD")
SEVERAL = ("CBLOF",)
KEYS = ("dataset", "series", "method")
SCHEMA = {
    **dict.fromkeys(KEYS, pl.String),
    "seconds": pl.Float64,
    "auc_pr": pl.Float64,
    "vus_pr": pl.Float64,
    "error": pl.String,
}


def runs_on(peer: str, features: int) -> bool:
    """Whether TSB-AD has a peer for series with so many features."""
    return peer not in (ONE_FEATURE if features > 1 else SEVERAL)


def scores(peer: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Scores of the test rows [T, D] by a peer."""
    np.Inf = np.inf  # TSB-AD is written for NumPy 1.
    from TSB_AD import HP_list, model_wrapper

    univariate = train.shape[1] == 1
    name = UNIVARIATE.get(peer, peer) if univariate else peer
    published = "Optimal_Uni_algo_HP_dict" if univariate else "Optimal_Multi_algo_HP_dict"
    settings = getattr(HP_list, published)[name]
    run = getattr(model_wrapper, f"run_{name}")
    if name in model_wrapper.Semisupervise_AD_Pool:
        found = run(train, test, **settings)
    else:
        found = run(np.concatenate([train, test]), **settings)[len(train) :]
    return np.asarray(found, dtype=np.float64).ravel()


def answer(peer: str, train: np.ndarray, test: np.ndarray) -> tuple[Any, float]:
    """Scores by a peer, or its error, and seconds."""
    start = time.perf_counter()
    try:
        found: Any = scores(peer, train, test)
    except ImportError:
        raise  # the installation is incomplete: nothing is said of the peer
    except Exception as error:  # of any peer: a line of the table
        found = f"{type(error).__name__}: {error}"
    return found, time.perf_counter() - start


def work(pipe: Connection) -> None:
    """Runs peers that are sent through a pipe, one after another."""
    while True:
        pipe.send(answer(*pipe.recv()))


class Worker:
    """Runs peers in a process of its own, which ends when one takes too long."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.process: Any = None

    def run(self, peer: str, train: np.ndarray, test: np.ndarray) -> tuple[Any, float]:
        """Scores, or what went wrong, and seconds."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, child = context.Pipe()
            self.process = context.Process(target=work, args=(child,), daemon=True)
            self.process.start()
        self.pipe.send((peer, train, test))
        if self.pipe.poll(self.limit):
            return self.pipe.recv()
        self.end()
        return f"longer than {self.limit:g} s", self.limit

    def end(self) -> None:
        """Ends the process."""
        if self.process is not None:
            self.process.terminate()
            self.process.join()
            self.process = None


def ours(series: pl.DataFrame) -> tuple[np.ndarray, float]:
    """Scores of the test rows by the default detector, and seconds of fit and score."""
    at: dict[str, Any] = {"features": pg.datasets.features(series), "order_by": "t"}
    train, test = (series.filter(split=split) for split in ("train", "test"))
    start = time.perf_counter()
    # Labels of the train rows are known for one series: these rows are excluded, as in the others.
    model = pg.fit(train, **at, label="label", detector=OURS, only="score")
    found = pg.score(test, **at, models=model)["anomaly_score"]
    return found.to_numpy().astype(np.float64), time.perf_counter() - start


def measured(found: Any, labels: pl.Series) -> dict[str, Any]:
    """The metrics of some scores, or why there are none."""
    if isinstance(found, str):
        return {"error": found}
    if len(found) != len(labels) or not np.isfinite(found).any():
        return {"error": f"{len(found)} scores of {len(labels)} rows, or none finite"}
    table = pl.DataFrame({"score": np.nan_to_num(found), "label": labels})
    return table.select(pg.auc_pr("score", "label"), pg.vus_pr("score", "label")).row(0, named=True)


def matrices(series: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, pl.Series]:
    """Train and test rows [T, D], and the labels of the latter."""
    test = series.filter(split="test").sort("t")
    train = series.filter(split="train").sort("t")
    features = pg.datasets.features(series)
    train, values = (part.select(features).to_numpy().astype(float) for part in (train, test))
    return train, values, test["label"]


def lines(
    data: pl.DataFrame, dataset: str, methods: list[str], done: set[tuple[str, ...]], limit: float
) -> Iterator[dict[str, Any]]:
    """One line per series and method that is not done."""
    worker = Worker(limit)
    for method in methods:
        for (name,), series in data.group_by("series", maintain_order=True):
            train, test, labels = matrices(series)
            key = (dataset, str(name), method)
            if key in done or (method != OURS and not runs_on(method, test.shape[1])):
                continue
            if method == OURS:
                found: Any
                found, seconds = ours(series.sort("split", "t"))
            else:
                found, seconds = worker.run(method, train, test)
            line = dict(zip(KEYS, key, strict=True)) | {"seconds": seconds}
            yield line | measured(found, labels)
    worker.end()


def compared(results: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Of every peer and dataset: means of it and ours on its series; over all, Wilcoxon's p."""
    from scipy.stats import wilcoxon

    mine = results.filter(method=OURS).select("dataset", "series", pl.col(metric).alias("ours"))
    both = results.filter(pl.col("method") != OURS, pl.col(metric).is_not_null())
    both = both.join(mine, on=["dataset", "series"])
    rows = []
    for (peer,), of_peer in both.group_by("method", maintain_order=True):
        row: dict[str, Any] = {"peer": peer, "series": of_peer.height}
        means = of_peer.group_by("dataset").agg(pl.col(metric, "ours").mean())
        row |= dict(means.select("dataset", metric).iter_rows())
        row |= {"mean": means[metric].mean(), "ours": means["ours"].mean()}
        difference = of_peer["ours"] - of_peer[metric]
        row["won"] = f"{(difference > 0).sum()}/{(difference < 0).sum()}"
        tested = difference.filter(difference != 0)
        row["p"] = float(wilcoxon(tested.to_numpy()).pvalue) if len(tested) > 1 else None
        row["seconds"] = of_peer["seconds"].mean()
        rows.append(row)
    return pl.from_dicts(rows, infer_schema_length=None) if rows else pl.DataFrame()


def show(results: pl.DataFrame) -> None:
    """Print the tables."""
    with pl.Config(tbl_hide_dataframe_shape=True, float_precision=3, tbl_rows=-1, tbl_cols=-1):
        pl.Config.set_tbl_width_chars(140)
        for metric in ("auc_pr", "vus_pr"):
            print(f'\n{metric}, means over series; "mean" is that of the datasets')
            print(compared(results, metric))
        mine = results.filter(method=OURS).group_by("dataset", maintain_order=True)
        print(mine.agg(pl.len().alias("series"), pl.col("auc_pr", "vus_pr", "seconds").mean()))
        failed = results.filter(pl.col("error").is_not_null())
        print(failed.group_by("method", pl.col("error").str.head(60)).len().sort("method", "error"))


def main() -> None:
    """Run what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of labelled series")
    parser.add_argument("results", type=Path, help="Parquet file of results")
    parser.add_argument("--peers", nargs="*", default=list(CLASSICAL), choices=CLASSICAL + NETS)
    parser.add_argument("--datasets", nargs="+", default=list(SERIES))
    parser.add_argument("--limit", type=float, default=300.0, help="seconds per series (300)")
    given = parser.parse_args()
    results = pl.DataFrame(schema=SCHEMA)
    if given.results.exists():
        results = pl.read_parquet(given.results)
    for dataset in given.datasets:
        data = read(given.data, dataset)
        for method in [OURS, *given.peers]:
            done = set(results.select(KEYS).iter_rows())
            new = list(lines(data, dataset, [method], done, given.limit))
            results = pl.concat([results, pl.DataFrame(new, schema=SCHEMA)])
            results.write_parquet(given.results)
            print(f"{dataset}: {method}, {len(new)} series", flush=True)
    show(results)


if __name__ == "__main__":
    # One core each, as ours is measured.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    main()
