"""Anomalies between features, nearness to real anomalies, draws and local psi, on real series.

Reads the benchmark layout (columns ``series, split, t, label`` and features) from a folder of
Parquet files. Models are fitted on the train rows of a series, anomalies are put into its train
windows, and real anomalies are its labelled test windows.

    python examples/benchmark/variety.py DATA_FOLDER --series 3 --only correlation realism
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from baselines import _principal
from numpy.typing import NDArray
from quality import ROLES, markdown

import polars_genias as pg
from polars_genias.demo import METRICS, host_metrics

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
WINDOW = 200
MOST_WINDOWS = 300
"""Windows of a series on which anomalies are made, about; and as many real ones at most."""
FREE = {"domain": "none"}
"""Anomalies as they are made, before the domains of features round and limit them."""
LENGTH = (20, 100)
STRENGTH = (0.5, 8.0)
FOLDS = 5
REGIONS = 10
GENERATED: dict[str, dict[str, Any]] = {
    "generate": {},
    "generate, draws 8": {"draws": 8},
    "generate, segments": {"length": LENGTH, "strength": STRENGTH},
    "generate, segments, draws 8": {"length": LENGTH, "strength": STRENGTH, "draws": 8},
    "deformed": {"form": "deformed"},
    "deformed, segments": {"form": "deformed", "length": LENGTH},
    "deformed, strength": {"form": "deformed", "strength": STRENGTH},
    "deformed, segments, strength": {
        "form": "deformed",
        "length": LENGTH,
        "strength": STRENGTH,
    },
    "deformed, segments, strength, draws 8": {
        "form": "deformed",
        "length": LENGTH,
        "strength": STRENGTH,
        "draws": 8,
    },
}


class Study:
    """One series: its train and test rows, and a model of the train rows."""

    def __init__(
        self, name: str, train: pl.DataFrame, test: pl.DataFrame, features: list[str], **fit: Any
    ) -> None:
        self.name, self.train, self.test, self.features = name, train, test, features
        self.roles: dict[str, Any] = {"features": features, "order_by": "t"}
        self.model = pg.fit(train, **self.roles, detector="reconstruction", window=WINDOW, **fit)
        known = train.select(features).to_numpy().astype(float)
        spread = known.std(axis=0)
        self.mean, self.spread = known.mean(axis=0), np.where(spread > 0, spread, 1.0)
        self.low, self.high = np.quantile(known, (0.001, 0.999), axis=0, method="nearest")

    def about(self) -> dict[str, Any]:
        """The row of `describe` of the model."""
        about = self.model.select(pg.describe("model").alias("about")).unnest("about")
        return about.row(0, named=True)

    def pairs(self, **options: Any) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Windows [n, W, D] as they are and with an anomaly, and which values it hit."""
        stride = max(1, (self.train.height - WINDOW) // MOST_WINDOWS)
        given = {"models": self.model, "window_stride": stride, **self.roles, **FREE}
        pairs = pg.pairs(self.train, **given, **options)
        shape = (pairs.height, WINDOW, len(self.features))
        sides = [pairs[side].to_numpy().reshape(shape) for side in ("normal", "anomalous", "mask")]
        return sides[0].astype(float), sides[1].astype(float), sides[2]

    def injected(self, windows: Array, seed: int) -> Array:
        """One classical anomaly, of any kind, in each of some windows."""
        n, rows, _ = windows.shape
        frame = self._frame(windows)
        out = pg.inject(
            frame,
            kind=list(CLASSICAL),
            count=1,
            length=LENGTH,
            by="window",
            order_by="t",
            features=self.features,
            seed=seed,
            **FREE,
        )
        values = out.select(f"{name}_synthetic" for name in self.features).to_numpy()
        return values.astype(float).reshape(n, rows, -1)

    def _frame(self, windows: Array) -> pl.DataFrame:
        n, rows, _ = windows.shape
        flat = windows.reshape(n * rows, -1)
        columns = {name: flat[:, i] for i, name in enumerate(self.features)}
        at = {"window": np.repeat(np.arange(n), rows), "t": np.tile(np.arange(rows), n)}
        return pl.DataFrame({**at, **columns})

    def embedded(self, windows: Array) -> Array:
        """The latent mean of every window."""
        frame = self._frame(windows)
        struct = pl.struct(self.features)
        model = self.model["model"][0]
        found = frame.group_by("window", maintain_order=True).agg(
            pg.embed(struct, model=model, window_stride=WINDOW).first()
        )
        return np.stack(found[:, 1].to_list()).astype(float)

    def errors(self, windows: Array) -> Array:
        """Squared error of the VAE, mean over the rows of every window."""
        scored = pg.score(
            self._frame(windows),
            models=self.model["model"][0],
            **self.roles,
            by="window",
            detector="reconstruction",
        )
        by_window = scored.group_by("window", maintain_order=True).agg(
            pl.col("anomaly_score").mean()
        )
        return by_window["anomaly_score"].to_numpy().astype(float)

    def z(self, windows: Array) -> Array:
        """Windows in train deviations from the train mean."""
        return (windows - self.mean) / self.spread

    def real(self) -> Array:
        """Test windows of which a tenth or more is labelled, evenly spaced."""
        values = self.test.select(self.features).to_numpy().astype(float)
        label = self.test["label"].to_numpy().astype(float)
        starts = np.arange(0, len(label) - WINDOW + 1, 5)
        hit = [start for start in starts if label[start : start + WINDOW].mean() >= 0.1]
        hit = hit[:: max(1, len(hit) // MOST_WINDOWS)]
        return np.stack([values[s : s + WINDOW] for s in hit]) if hit else np.empty((0, WINDOW, 0))


CLASSICAL = ("global", "contextual", "seasonal", "trend", "shapelet")


def auc(normal: Array, anomalous: Array) -> float:
    """AUC-ROC of a score."""
    score = np.concatenate([normal, anomalous])
    label = np.repeat([False, True], [len(normal), len(anomalous)])
    frame = pl.DataFrame({"score": score, "label": label})
    return float(frame.select(pg.auc_roc("score", "label")).item())


def correlation(study: Study) -> dict[str, Any]:
    """Whether anomalies between features stay in every feature's range, and who sees them."""
    row = {"series": study.name, "correlation": study.about()["correlation"]}
    normal, anomalous, mask = study.pairs(patch="correlation")
    if not len(normal) or not mask.any():
        return row | {"anomalies": 0}
    slack = 1e-5 * (study.spread + np.abs(study.mean))
    inside = (anomalous >= study.low - slack) & (anomalous <= study.high + slack)
    x, y = study.z(normal), study.z(anomalous)
    # Scores are learned from the first windows and judged on later ones that do not overlap them.
    first = int(0.6 * len(x))
    later = first + WINDOW // max(1, (study.train.height - WINDOW) // MOST_WINDOWS)
    known, x, y = x[:first], x[later:], y[later:]
    scores = {
        "auc_joint": joint_distance(known),
        "auc_pca_blocks": pca_error(blocks(known).reshape(len(known), -1), blocks),
        "auc_pca": pca_error(known.reshape(len(known), -1), lambda windows: windows),
        "auc_max_z": lambda windows: np.abs(windows).max(axis=(1, 2)),
    }
    return (
        row
        | {"anomalies": len(normal), "in_range": float((inside | ~mask).all(axis=(1, 2)).mean())}
        | {name: auc(score(x), score(y)) for name, score in scores.items()}
        | {"auc_vae": auc(study.errors(normal[later:]), study.errors(anomalous[later:]))}
    )


def blocks(windows: Array) -> Array:
    """Means of the eighths of windows, [n, 8, D]."""
    n, rows, d = windows.shape
    return np.asarray(windows.reshape(n, 8, rows // 8, d).mean(axis=2))


def pca_error(known: Array, of: Callable[[Array], Array]) -> Score:
    """Squared error of rebuilding `of` windows from the principal components of `known`."""
    mean, components = _principal(known)

    def score(windows: Array) -> Array:
        centred = of(windows).reshape(len(windows), -1) - mean
        return np.asarray(((centred - centred @ components @ components.T) ** 2).mean(axis=1))

    return score


def joint_distance(known: Array) -> Score:
    """Mahalanobis distance of block means over the features, mean over blocks."""
    means = blocks(known).reshape(-1, known.shape[2])
    inverse = np.linalg.inv(np.cov(means.T) + 1e-3 * np.eye(known.shape[2]))

    def score(windows: Array) -> Array:
        m = blocks(windows) - means.mean(axis=0)
        square = np.einsum("nbd,de,nbe->nb", m, inverse, m)
        return np.asarray(np.sqrt(square).mean(axis=1))

    return score


def window_features(windows: Array) -> Array:
    """Level, spread, range, steps and extremes of z-scores: largest and mean over features."""
    steps = np.abs(np.diff(windows, axis=1))
    per_feature = np.stack(
        [
            windows.mean(axis=1),
            windows.std(axis=1),
            np.ptp(windows, axis=1),
            steps.mean(axis=1),
            steps.max(axis=1),
            windows.max(axis=1),
            windows.min(axis=1),
            np.abs(windows[:, WINDOW // 2 :].mean(axis=1) - windows[:, : WINDOW // 2].mean(axis=1)),
        ],
        axis=2,
    )
    both = np.concatenate([per_feature.max(axis=1), per_feature.mean(axis=1)], axis=1)
    return np.asarray(np.sign(both) * np.log1p(np.abs(both)))


def two_sample(real: Array, other: Array) -> float:
    """Balanced accuracy of logistic regression that tells real from other windows, held out.

    Five folds of consecutive windows, since neighbours overlap. 0.5: it cannot.
    """
    x = np.concatenate([window_features(real), window_features(other)])
    y = np.repeat([1.0, 0.0], [len(real), len(other)])
    fold = np.concatenate([np.arange(len(part)) * FOLDS // len(part) for part in (real, other)])
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)
    x = np.column_stack([x, np.ones(len(x))])
    found = []
    for held in range(FOLDS):
        train = fold != held
        sizes = np.bincount(y[train].astype(int), minlength=2).clip(1)
        weights = 1 / sizes[y.astype(int)]
        beta = np.zeros(x.shape[1])
        for _ in range(25):  # Newton steps with a ridge
            p = 1 / (1 + np.exp(-np.clip(x[train] @ beta, -30, 30)))
            w = weights[train]
            gradient = x[train].T @ (w * (p - y[train])) + 1e-2 * beta
            hessian = (x[train].T * (w * p * (1 - p))) @ x[train] + 1e-2 * np.eye(len(beta))
            beta -= np.linalg.solve(hessian, gradient)
        said = x[~train] @ beta > 0
        truth = y[~train] == 1
        found.append(0.5 * (said[truth].mean() + (~said[~truth]).mean()))
    return float(np.mean(found))


def realism(study: Study) -> list[dict[str, Any]]:
    """ARP, EDI and the two-sample accuracy of each source of anomalies."""
    real = study.real()
    if len(real) < 2 * FOLDS:
        return []
    normal, *_ = study.pairs()
    sources = {name: study.pairs(**options)[1] for name, options in GENERATED.items()}
    sources["classical"] = study.injected(normal, seed=0)
    names = ["real", *sources]
    windows = [real, *sources.values()]
    embedding = np.concatenate([study.embedded(part) for part in windows])
    of = np.repeat(names, [len(part) for part in windows])
    frame = pl.DataFrame(
        {"embedding": embedding, **{name: of == name for name in names}},
        schema_overrides={"embedding": pl.Array(pl.Float64, embedding.shape[1])},
    )
    rows = []
    for name in sources:
        measured = frame.select(
            arp=pg.arp("embedding", "real", name), edi=pg.edi("embedding", name, regions=REGIONS)
        ).row(0, named=True)
        accuracy = two_sample(study.z(real), study.z(sources[name]))
        rows.append({"series": study.name, "source": name, **measured, "accuracy": accuracy})
    return rows


def cost(study: Study) -> dict[str, Any]:
    """Seconds of `generate` on the train rows, over those of plain generation."""

    def seconds(**options: Any) -> float:
        best = np.inf
        for _ in range(3):
            started = time.perf_counter()
            pg.generate(
                study.train, models=study.model, **study.roles, contamination=0.5, **options
            )
            best = min(best, time.perf_counter() - started)
        return float(best)

    plain = seconds(noise="independent")
    timed = {
        "draws 4": seconds(draws=4),
        "draws 8": seconds(draws=8),
        "strength": seconds(strength=2.0),
        "draws 4, strength": seconds(draws=4, strength=2.0),
        "dtw": seconds(distance="dtw"),
        "sbd": seconds(distance="sbd"),
        "deformed": seconds(form="deformed"),
        "deformed, strength": seconds(form="deformed", strength=2.0),
    }
    return {"series": study.name, "plain": plain} | {k: v / plain for k, v in timed.items()}


def local(study: Study, fit: dict[str, Any]) -> dict[str, Any]:
    """Share of held-out windows in the band, with psi by window and without."""
    other = Study(study.name, study.train, study.test, study.features, local=True, **fit)
    return {
        "series": study.name,
        "in_band": study.about()["in_band"],
        "in_band_local": other.about()["in_band"],
        "r2": study.about()["r2"],
        "r2_local": other.about()["r2"],
        "patch_rate": study.about()["patch_rate"],
        "patch_rate_local": other.about()["patch_rate"],
    }


def studies(folder: Path, dataset: str, most: int, fit: dict[str, Any]) -> list[Study]:
    """The first series of a dataset, by name, that have 600 train rows."""
    if dataset == "demo":
        demo = []
        for number in range(most):
            frame = host_metrics(number, 6000).with_columns(pl.int_range(pl.len()).alias("t"))
            frame = frame.rename({"incident": "label"}).drop_nulls().filter(~pl.col("label"))
            demo.append(Study(f"demo {number}", frame, frame.head(0), METRICS, **fit))
        return demo
    frame = pl.read_parquet(folder / f"{dataset}.parquet")
    features = [name for name in frame.columns if name not in ROLES]
    found = []
    for name in sorted(frame["series"].unique()):
        of = frame.filter(pl.col("series") == name)
        train, test = (of.filter(pl.col("split") == split).sort("t") for split in ("train", "test"))
        if train.height >= 600 and not train["label"].any():
            found.append(Study(f"{dataset} {name}", train, test, features, **fit))
        if len(found) == most:
            break
    return found


def main() -> None:
    """Run the parts that are asked for, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--series", type=int, default=3, help="series per dataset")
    parser.add_argument("--datasets", nargs="*", default=["msl", "smap", "nab", "ucr", "demo"])
    parser.add_argument("--only", nargs="*", default=["correlation", "realism", "cost", "local"])
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    fit = {"steps": given.steps} if given.steps else {}
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in given.only}
    for dataset in given.datasets:
        for i, study in enumerate(studies(given.data, dataset, given.series, fit)):
            if "correlation" in tables and dataset in ("msl", "smap", "demo"):
                tables["correlation"].append(correlation(study))
            if "realism" in tables and dataset != "demo":
                tables["realism"] += [{"dataset": dataset, **row} for row in realism(study)]
            if "cost" in tables and i == 0:
                tables["cost"].append(cost(study))
            if "local" in tables and i == 0:
                tables["local"].append(local(study, fit))
            print(study.name, flush=True)
    for name, rows in tables.items():
        print(f"\n### {name}\n\n{markdown(pl.DataFrame(rows, infer_schema_length=None))}")
    if tables.get("realism"):
        by = pl.DataFrame(tables["realism"]).group_by("dataset", "source", maintain_order=True)
        means = by.agg(pl.len().alias("series"), pl.col("arp", "edi", "accuracy").mean())
        overall = means.group_by("source", maintain_order=True).agg(
            pl.col("arp", "edi", "accuracy").mean()
        )
        print(f"\n### realism by dataset\n\n{markdown(means)}\n\n{markdown(overall)}")


if __name__ == "__main__":
    main()
