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

from polars_genias.plots import _look as look
from polars_genias.plots import plot_ablation

PRIORS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
DETECTION = {"AUC-PR": look.GREEN, "VUS-PR": look.PURPLE}


def panel(
    frame: pl.DataFrame, columns: dict[str, str], colours: dict[str, str], title: str, chance: float
) -> alt.ConcatChart:
    """Lines of some figures over sigma_prior, between 0 and 1."""
    long = frame.select("sigma_prior", **columns).unpivot(index="sigma_prior")
    return plot_ablation(
        long,
        option="sigma_prior",
        figures={"value": title},
        colour="variable",
        colours=colours,
        levels={"value": chance},
        domain=(0, 1),
        width=240,
        height=210,
    )


def draw(study: common.Study, frame: pl.DataFrame) -> alt.TopLevelMixin:
    forms = {name: name for name in common.FORMS}
    learned = {name: f"{name}_learned" for name in common.FORMS}
    metrics = {"AUC-PR": "auc_pr", "VUS-PR": "vus_pr"}
    chance = study.test["label"].mean()
    separations = alt.hconcat(
        panel(frame, forms, common.COLOURS, "AUC-ROC of errors, psi calibrated", 0.5),
        panel(frame, learned, common.COLOURS, "AUC-ROC of errors, psi as learned", 0.5),
    )
    detection = panel(frame, metrics, DETECTION, "classifier on labelled test rows", chance)
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
