"""What the ablations share: their data, what is measured, tables and pictures.

A script measures variants of the generator on one series. Models are fitted on its train rows;
anomalies are generated on its held-out normal rows; detectors are judged on its labelled test rows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

import polars_genias as pg
from polars_genias.demo import METRICS, host_metrics
from polars_genias.plots import _look as look
from polars_genias.plots import save
from polars_genias.plots._pairs import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import altair as alt

FORMS = ("residual", "decoded")
"""Input plus what the perturbation changes (the default), and the decoded window (the paper's)."""
COLOURS = dict(zip(FORMS, (look.BLUE, look.VERMILION), strict=True))
MOST_WINDOWS = 200
"""Held-out windows on which anomalies are generated, about."""


@dataclass(frozen=True)
class Study:
    """The data and the settings of one run of a script."""

    name: str
    features: list[str]
    train: pl.DataFrame
    test: pl.DataFrame
    fit_options: dict[str, int]
    seeds: range
    out: Path

    @property
    def roles(self) -> dict[str, Any]:
        """The columns, as the verbs take them."""
        return {"features": self.features, "order_by": "t"}

    @property
    def about(self) -> str:
        """Data and settings in a line."""
        given = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in self.fit_options.items())
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        return f"{self.name}; {given or 'default settings'}; {seeds}"

    def fit(self, seed: int, **options: Any) -> bytes:
        """A model of the train rows."""
        table = pg.fit(
            self.train, **self.roles, label="label", seed=seed, **self.fit_options, **options
        )
        return table["model"][0]

    def pairs(self, model: bytes, seed: int, **options: Any) -> pl.DataFrame:
        """Held-out normal windows beside the same with an anomaly: a row per window and row.

        Columns: ``start``, ``row``, per feature its value as it is, ``{feature}_anomalous`` and
        ``{feature}_mask``.
        """
        stride = max(1, self.test.height // MOST_WINDOWS)
        pairs = pg.pairs(
            self.test,
            models=model,
            **self.roles,
            label="label",
            window_stride=stride,
            seed=seed,
            **options,
        )
        return unpacked(pairs, self.features, key="start")

    def errors(self, model: bytes, pairs: pl.DataFrame) -> pl.DataFrame:
        """Reconstruction error of every window of `pairs`, as it is and with its anomaly."""
        sides = []
        for suffix, anomalous in (("", False), ("_anomalous", True)):
            columns = {name: f"{name}{suffix}" for name in self.features}
            rows = pairs.select("start", t="row", **columns)
            scored = pg.score(
                rows, models=model, **self.roles, by="start", detector="reconstruction"
            )
            error = scored.group_by("start", maintain_order=True).agg(
                error=pl.col("anomaly_score").mean()
            )
            sides.append(error.with_columns(anomalous=pl.lit(value=anomalous)))
        return pl.concat(sides)

    def change(self, pairs: pl.DataFrame) -> dict[str, float]:
        """How much of the windows the anomalies change, and by how much."""
        moved = [
            ((pl.col(f"{name}_anomalous") - pl.col(name)) / (self.train[name].std() or 1.0)) ** 2
            for name in self.features
        ]
        return pairs.select(
            values_hit=pl.mean_horizontal(pl.col(f"{name}_mask") for name in self.features).mean(),
            rms_change=pl.mean_horizontal(moved).mean().sqrt(),
        ).row(0, named=True)

    def separation(self, model: bytes, seed: int, **options: Any) -> dict[str, float]:
        """How well the reconstruction error tells generated anomalies from normal windows.

        ``auc_roc`` of windows (0.5: not at all; below: anomalies are reconstructed *better*), and
        ``distance``: difference of the mean log errors in standard deviations of the normal ones.
        """
        pairs = self.pairs(model, seed, **options)
        log = pl.col("error").clip(lower_bound=1e-12).log()
        normal, anomalous = log.filter(~pl.col("anomalous")), log.filter("anomalous")
        measured = self.errors(model, pairs).select(
            auc_roc=pg.auc_roc("error", "anomalous"),
            distance=(anomalous.mean() - normal.mean()) / normal.std(),
        )
        return measured.row(0, named=True) | self.change(pairs)

    def separations(self, model: bytes, seed: int, **options: Any) -> dict[str, float]:
        """AUC-ROC of `separation` for both forms."""
        return {
            form: self.separation(model, seed, form=form, **options)["auc_roc"] for form in FORMS
        }

    def detection(self, model: bytes) -> dict[str, float]:
        """How well the model's detector finds the labelled anomalies of the test rows."""
        scored = pg.score(self.test, models=model, **self.roles)
        return scored.select(
            auc_pr=pg.auc_pr("anomaly_score", "label"), vus_pr=pg.vus_pr("anomaly_score", "label")
        ).row(0, named=True)

    def with_either_psi(self, seed: int, **options: Any) -> tuple[dict[str, float], bytes]:
        """Psi, separation and detection with psi calibrated, and, named ``..._learned``, without.

        Beside them the model with psi calibrated, whose detector is a classifier trained on GenIAS
        anomalies.
        """
        net = {"detector_steps": self.fit_options.get("steps")}
        model = self.fit(seed, detector="classifier", negatives="genias", **net, **options)
        learned = self.fit(seed, detector="reconstruction", calibrate=False, **options)
        names = ("psi", "r2", "in_band", "active_units")
        without = described(learned, "psi") | self.separations(learned, seed)
        figures = (
            described(model, *names)
            | self.separations(model, seed)
            | {f"{name}_learned": value for name, value in without.items()}
            | self.detection(model)
        )
        return figures, model

    def write(self, name: str, table: pl.DataFrame, chart: alt.TopLevelMixin) -> None:
        """Write ``{name}.md`` and ``{name}.png`` and say so."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = f"{self.about}\n\n{markdown(table)}"
        (self.out / f"{name}.md").write_text(text)
        save(chart, self.out / f"{name}.png", scale=1.5)
        print(f"{text}\n{self.out / name}.md, .png")


def described(model: bytes, *names: str) -> dict[str, Any]:
    """Figures that `describe` gives of a model."""
    about = pl.select(pg.describe(pl.lit(model))).to_series().struct.unnest()
    return about.select(names).row(0, named=True)


def psi_before_calibration(model: bytes) -> float:
    """The psi of the step whose weights were kept."""
    history = pl.DataFrame(described(model, "history")["history"])
    return history.sort("validation_loss")["psi"][0]


def study(description: str | None) -> Study:
    """The study that the command line asks for."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="Parquet: series, split, t, label, ...")
    parser.add_argument("series", nargs="?", help="name of a series in it; default: the first")
    parser.add_argument("--steps", type=int, help="most steps of every training")
    parser.add_argument("--window", type=int, help="rows of a window")
    parser.add_argument("--seeds", type=int, default=2, help="how many, from 0")
    parser.add_argument("--out", type=Path, default=Path("ablations"), help="folder of the results")
    given = parser.parse_args()
    # Made-up data are for a quick look; on a file the package's defaults are measured.
    steps, window = (100, 64) if given.file is None else (None, None)
    steps, window = given.steps or steps, given.window or window
    options = {"window": window, "steps": steps}
    data = made_up() if given.file is None else read(given.file, given.series)
    return Study(
        *data,
        fit_options={name: value for name, value in options.items() if value is not None},
        seeds=range(given.seeds),
        out=given.out,
    )


Loaded = tuple[str, list[str], pl.DataFrame, pl.DataFrame]


def made_up(rows: int = 8000, train_rows: int = 5000) -> Loaded:
    """A host of the demo. Its incidents are easy to find, so its test rows get subtler ones too."""
    host = host_metrics(3, rows).with_row_index("t").rename({"incident": "label"})
    train, test = host.head(train_rows), host.slice(train_rows)
    subtle = pg.inject(
        test,
        kind=["mean", "trend", "variance", "seasonal", "platform"],
        features=METRICS,
        order_by="t",
        label="label",
        contamination=0.08,
        length=(10, 60),
        strength=(0.4, 1.5),
        feature_share=0.4,
        seed=1,
    )
    test = subtle.select(
        "t",
        *(pl.col(f"{name}_synthetic").alias(name) for name in METRICS),
        label=pl.col("label") | pl.col("is_anomaly"),
    )
    return "made-up host", METRICS, train, test


def read(path: Path, series: str | None) -> Loaded:
    """One series of a file in the benchmark layout."""
    frame = pl.scan_parquet(path)
    if series is None:
        series = frame.select(pl.col("series").min()).collect().item()
    rows = frame.filter(pl.col("series") == series).sort("split", "t").collect()
    if rows.is_empty():
        msg = f"{path}: no series {series!r}"
        raise SystemExit(msg)
    train, test = (rows.filter(pl.col("split") == split) for split in ("train", "test"))
    return f"{path.stem} {series}", pg.datasets.features(rows), train, test


def over_seeds(results: Iterable[dict[str, Any]], keys: Sequence[str]) -> pl.DataFrame:
    """Mean and half the range over the seeds, as text, of every figure per variant."""
    frame = pl.DataFrame(list(results), infer_schema_length=None)
    figures = [name for name in frame.columns if name not in (*keys, "seed")]
    cells = []
    for name in figures:
        value = pl.col(name).cast(pl.Float64)
        mean, half = value.mean(), (value.max() - value.min()) / 2
        cell = pl.format("{} ± {}", *(_rounded(of) for of in (mean, half)))
        cells.append(pl.when(value.count() > 0).then(cell).otherwise(pl.lit("")).alias(name))
    return frame.group_by(keys, maintain_order=True).agg(cells)


def _rounded(value: pl.Expr) -> pl.Expr:
    return value.round(3).cast(pl.String)


def markdown(table: pl.DataFrame) -> str:
    """The table in Markdown."""
    lines = [table.columns, ["---"] * table.width, *table.rows()]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def titled(chart: alt.TopLevelMixin, title: str, subtitle: list[str]) -> alt.TopLevelMixin:
    """The chart with its title."""
    return chart.properties(title=look.title(title, subtitle))


def most_moved(study: Study, pairs: pl.DataFrame, most: int = 3) -> list[str]:
    """The features that anomalies move most, in the order of the data."""
    moved = {
        name: pairs.select(
            ((pl.col(f"{name}_anomalous") - pl.col(name)).abs().mean())
            / (study.train[name].std() or 1.0)
        ).item()
        for name in study.features
    }
    chosen = sorted(moved, key=lambda name: -moved[name])[:most]
    return [name for name in study.features if name in chosen]
