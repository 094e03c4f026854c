"""Whether recall on generated anomalies predicts recall on real ones.

Reads Parquet files in the benchmark layout (columns ``series, split, t, label`` and features;
``polars_genias.datasets`` writes it from the public archives). For every series and detector:

* predicted recall: anomalies of a source are put into the train rows, scored, and counted at a
  rate of false alarms (`polars_genias.compare`);
* real recall: the same of the labelled anomalies of the test rows.

Over all pairs of a series and a detector it prints, per source, Spearman's correlation of the two,
its p value (predictions of whole series are permuted: pairs of one series are not independent), the
same within series (which detector is better where), and the regret of choosing a detector per
series by the prediction: the recall lost against the best one. Every source and rate is in the
output, so that variants can be counted.

    python examples/benchmark/sensitivity.py DATA_FOLDER/nab.parquet --output sensitivity.parquet
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from detectors import SERIES

from polars_genias import datasets

WINDOW = 100
RATES = (0.01, 0.05)
EVENTS = 20
PERMUTATIONS = 5000
OURS = ("evidence", "reconstruction", "amplitude")
GENERATED: dict[str, dict[str, Any]] = {
    "residual": {"form": "residual"},
    "deformed": {"form": "deformed"},
}
INJECTED: dict[str, list[str]] = {
    "classical": ["global", "contextual", "seasonal", "trend", "shapelet"],
    "plain shapes": ["level-shift", "pulse", "ramp", "scale"],
    "noise": ["noise-burst"],
}
FIT = {"window": WINDOW, "steps": 200}


def columns(features: list[str]) -> list[pl.Expr]:
    """Return the scores of detectors from elsewhere: of every row, the largest of all features."""
    value = [pl.col(name).cast(pl.Float64) for name in features]
    around = [x.rolling_median(101, center=True, min_samples=1) for x in value]
    texture = [x.diff().rolling_std(21, center=True, min_samples=5) for x in value]
    scores = {
        "jump": [x.diff().abs() for x in value],
        "away": [(x - level).abs() for x, level in zip(value, around, strict=True)],
        "restless": texture,
        "flat": [-x.rolling_std(21, center=True, min_samples=5) for x in value],
    }
    return [pl.max_horizontal(of).alias(name) for name, of in scores.items()]


def scored(rows: pl.DataFrame, features: list[str], model: bytes) -> pl.DataFrame:
    """Return rows with the scores of every detector."""
    for name in OURS:
        given = {"order_by": "t", "features": features, "models": model}
        rows = rows.genias.score(detector=name, name=name, **given)
    return rows.with_columns(columns(features))


def recalls(rows: pl.DataFrame, label: str) -> pl.DataFrame:
    """Return the share of the events that every detector catches, at every rate."""
    names = [*OURS, "jump", "away", "restless", "flat"]
    found = [
        rows.genias.compare(
            scores=names, label=label, order_by="t", false_alarm_rate=rate, draws=100
        ).select("detector", "recall", "events", rate=pl.lit(rate))
        for rate in RATES
    ]
    return pl.concat(found)


def with_anomalies(train: pl.DataFrame, features: list[str], model: bytes) -> dict[str, Any]:
    """Return the train rows with the anomalies of every source."""
    rows, length = train.height, max(4, min(48, train.height // (2 * EVENTS)))
    at = {"order_by": "t", "features": features, "label": "label"}
    size = {"count": min(EVENTS, rows // 40), "strength": (0.5, 4.0)}
    made = {}
    for name, options in GENERATED.items():
        made[name] = train.genias.generate(
            models=model, length=(4, min(length, WINDOW)), **options, **size, **at
        )
    for name, kinds in INJECTED.items():
        made[name] = train.genias.inject(kind=kinds, length=(4, length), **size, **at)
    return {
        name: frame.select(
            "t", "is_anomaly", **{feature: f"{feature}_synthetic" for feature in features}
        )
        for name, frame in made.items()
    }


def of_series(rows: pl.DataFrame) -> pl.DataFrame | None:
    """Return predicted and real recall of every detector on a series."""
    features = datasets.features(rows)
    train = rows.filter(split="train")
    test = rows.filter(split="test")
    live = [name for name in features if train[name].n_unique() > 1]
    if not live or train.height < 3 * WINDOW or not test["label"].any():
        return None
    train, test = (part.select("t", "label", *live) for part in (train, test))
    fit = {"order_by": "t", "features": live, "label": "label"}
    model = train.genias.fit(detector="reconstruction", **FIT, **fit)["model"].item()
    model = train.genias.fit(models=model, detector="evidence", **fit)["model"].item()
    real = recalls(scored(test, live, model), "label").rename({"recall": "real"})
    predicted = [
        recalls(scored(frame, live, model), "is_anomaly").select(
            "detector", "rate", predicted="recall", source=pl.lit(source)
        )
        for source, frame in with_anomalies(train, live, model).items()
    ]
    return real.join(pl.concat(predicted), on=["detector", "rate"])


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks less their mean, of unit length; of constant values NaN."""
    found = pl.Series(values.ravel()).rank().to_numpy() - (values.size + 1) / 2
    with np.errstate(invalid="ignore"):
        return (found / np.sqrt((found**2).sum())).reshape(values.shape)


def share_above(value: float, permuted: list[float]) -> float:
    """Return the p value of a correlation, by those of permuted predictions."""
    return (1 + sum(other >= value for other in permuted)) / (1 + len(permuted))


def figures(pairs: pl.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    """Return what a source is worth at a rate; `pairs` has a row per series and detector."""
    wide = pairs.sort("series", "detector")
    series = wide["series"].n_unique()
    real = wide["real"].to_numpy().reshape(series, -1)
    predicted = wide["predicted"].to_numpy().reshape(series, -1)
    ours, theirs = ranks(predicted), ranks(real)
    rho = float((ours * theirs).sum())
    permuted = [float((rng.permutation(ours) * theirs).sum()) for _ in range(PERMUTATIONS)]
    ours = ranks(predicted - predicted.mean(1, keepdims=True))
    theirs = ranks(real - real.mean(1, keepdims=True))
    within = float((ours * theirs).sum())
    shuffled = [float((rng.permuted(ours, axis=1) * theirs).sum()) for _ in range(PERMUTATIONS)]
    chosen = real[np.arange(series), predicted.argmax(1)]
    return {
        "series": series,
        "pairs": real.size,
        "spearman": rho,
        "p": share_above(rho, permuted),
        "within series": within,
        "p within": share_above(within, shuffled),
        "regret": float((real.max(1) - chosen).mean()),
        "regret of evidence": float(
            (real.max(1) - real[:, sorted(wide["detector"].unique()).index("evidence")]).mean()
        ),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=Path("sensitivity.parquet"))
    parser.add_argument("--only", help="a part of the names of series")
    given = parser.parse_args()
    found = []
    for path in given.data:
        rows = pl.read_parquet(path)
        for (name,), own in rows.group_by("series", maintain_order=True):
            chosen = SERIES.get(path.stem)
            if (given.only or "") not in str(name) or (chosen and name not in chosen):
                continue
            started = time.perf_counter()
            pairs = of_series(own.sort("split", "t", descending=[True, False]))
            if pairs is None:
                print(f"{name}: left out (no live feature, short, or no label)", flush=True)
                continue
            found.append(pairs.with_columns(series=pl.lit(f"{path.stem}/{name}")))
            pl.concat(found).write_parquet(given.output)
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    report(pl.concat(found))


def report(found: pl.DataFrame) -> None:
    """Print a row per source and rate."""
    rng = np.random.default_rng(0)
    table = [
        {"source": source, "rate": rate, **figures(pairs, rng)}
        for (source, rate), pairs in found.group_by("source", "rate", maintain_order=True)
    ]
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=3, tbl_width_chars=200):
        print(pl.DataFrame(table).sort("rate", "spearman", descending=[False, True]))
    print(f"{len(table)} variants were looked at")


if __name__ == "__main__":
    main()
