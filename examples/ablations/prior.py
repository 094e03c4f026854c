"""Deviation of the latent prior, 0.1 to 1.0, against separation and detection.

    python examples/ablations/prior.py [FILE.parquet SERIES] [--steps N] [--seeds N]

Separation: AUC-ROC of the reconstruction error between held-out normal windows and the same windows
with a generated anomaly, with psi calibrated after training (the default) and as training left it.
Detection: a classifier trained on the model's anomalies, on the labelled test rows.
"""

from __future__ import annotations

import altair as alt
import common
import polars as pl

PRIORS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
X = alt.X("sigma_prior:Q", title="sigma_prior", scale=alt.Scale(domain=[0, 1.05]))


def panel(frame: pl.DataFrame, columns: dict[str, str], colour: alt.Color, y: str) -> alt.Chart:
    """Lines of some figures over sigma_prior, between 0 and 1."""
    renamed = frame.select("sigma_prior", **columns)
    long = renamed.unpivot(index="sigma_prior", variable_name="which")
    return common.points_and_means(long, X, "value", y, colour, width=230, height=210)


def draw(study: common.Study, frame: pl.DataFrame) -> alt.TopLevelMixin:
    form = alt.Color("which:N", title="anomalies", scale=common.COLOURS)
    metric = alt.Color("which:N", title="detector", scale=alt.Scale(range=["#2a7f62", "#d98e04"]))
    auc = "AUC-ROC of the reconstruction error"
    calibrated = panel(frame, {name: name for name in common.FORMS}, form, auc)
    learned = panel(frame, {name: f"{name}_learned" for name in common.FORMS}, form, auc)
    found = panel(frame, {"AUC-PR": "auc_pr", "VUS-PR": "vus_pr"}, metric, "on labelled test rows")
    separations = alt.hconcat(
        alt.layer(calibrated, common.level(0.5)).properties(title="separation, psi calibrated"),
        alt.layer(learned, common.level(0.5)).properties(title="separation, psi as learned"),
    )
    chance = common.level(study.test["label"].mean())
    detection = alt.layer(found, chance).properties(title="classifier on GenIAS anomalies")
    both = alt.hconcat(separations, detection).resolve_scale(color="independent")
    dashed = "points: seeds, lines: means, dashed: chance"
    return common.titled(both, "Prior deviation", [study.about, dashed])


def main() -> None:
    study = common.study(__doc__)
    results = []
    for prior in PRIORS:
        for seed in study.seeds:
            figures, _ = study.with_either_psi(seed, sigma_prior=prior)
            results.append({"sigma_prior": prior, "seed": seed} | figures)
    table = common.over_seeds(results, ["sigma_prior"])
    study.write("prior", table, draw(study, pl.DataFrame(results)))


if __name__ == "__main__":
    main()
