"""Patching: none, length-driven, deviation-driven, and the deviation rule as printed.

    python examples/ablations/patching.py [FILE.parquet SERIES] [--steps N] [--seeds N]

One model per seed makes all the anomalies. Measured: the share of values that are hit, the RMS
change in training deviations, and how well the reconstruction error separates the anomalies.
"""

from __future__ import annotations

import altair as alt
import common
import polars as pl

from polars_genias.plots import plot_ablation
from polars_genias.plots._pairs import before_after

PATCHES = {
    "none": {"patch": "none"},
    "length": {"patch": "length"},
    "deviation": {"patch": "deviation"},
    "deviation, printed": {"patch": "deviation", "distance": "l2", "tau": 0.1},
}
SHOWN = ("none", "length", "deviation")
FIGURES = {
    "values_hit": "share of values hit",
    "rms_change": "RMS change (std of train)",
    "auc_roc": "AUC-ROC of errors",
}


def measure(study: common.Study, model: bytes, patch: str, form: str, seed: int) -> dict:
    """All figures of one rule, form and seed."""
    figures = study.separation(model, seed, form=form, **PATCHES[patch])
    return {"patch": patch, "form": form, "seed": seed} | figures


def typical(study: common.Study, model: bytes) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """One window under every rule: one of which each rule spares a part."""
    made = {patch: study.pairs(model, 0, **PATCHES[patch]) for patch in SHOWN}
    features = common.most_moved(study, made["none"])
    masks = [pl.col(f"{name}_mask") for name in features]
    rows_hit = pl.any_horizontal(masks).mean().alias("rows_hit")
    values_hit = pl.mean_horizontal(masks).mean().alias("values_hit")
    hit = made["length"].group_by("start").agg(rows_hit)
    hit = hit.join(made["deviation"].group_by("start").agg(values_hit), on="start")
    far = (pl.col("rows_hit") - 0.4).abs() + (pl.col("values_hit") - 0.6).abs()
    start = hit.sort(far, "start")["start"][0]
    return {patch: rows.filter(pl.col("start") == start) for patch, rows in made.items()}, features


def draw(study: common.Study, frame: pl.DataFrame, model: bytes) -> alt.TopLevelMixin:
    windows, features = typical(study, model)
    examples = before_after(list(windows.values()), features, titles=list(windows), width=215)
    figures = plot_ablation(
        frame,
        option="patch",
        figures=FIGURES,
        colour="form",
        colours=common.COLOURS,
        levels={"auc_roc": 0.5},
        width=225,
        height=150,
    )
    both = alt.vconcat(examples, figures, spacing=20).resolve_scale(color="independent")
    key = "one window before (grey) and after (orange, residual form); bars: means, points: seeds"
    return common.titled(both, "Patching", [study.about, key])


def main() -> None:
    study = common.study(__doc__)
    models = {seed: study.fit(seed, detector="reconstruction") for seed in study.seeds}
    results = [
        measure(study, model, patch, form, seed)
        for patch in PATCHES
        for form in common.FORMS
        for seed, model in models.items()
    ]
    table = common.over_seeds(results, ["patch", "form"])
    study.write("patching", table, draw(study, pl.DataFrame(results), models[0]))


if __name__ == "__main__":
    main()
