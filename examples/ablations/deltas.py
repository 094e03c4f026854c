"""The band of the perturbation distance: delta_min and delta_max against psi and separation.

    python examples/ablations/deltas.py [FILE.parquet SERIES] [--steps N] [--seeds N]

Measured per pair: psi, the share of held-out windows inside the band, and how well the
reconstruction error separates the generated anomalies from normal windows.
"""

from __future__ import annotations

import altair as alt
import common
import polars as pl

from polars_genias.plots import plot_ablation

LOWER = (0.05, 0.1, 0.2, 0.4)
UPPER = (0.1, 0.2, 0.4, 0.8)
FIGURES = {
    "psi": "psi, calibrated",
    "in_band": "share of windows in the band",
    "residual": "AUC-ROC, residual anomalies",
    "decoded": "AUC-ROC, decoded anomalies",
}


def measure(study: common.Study, lower: float, upper: float, seed: int) -> dict[str, float]:
    """All figures of one band and seed."""
    model = study.fit(seed, delta_min=lower, delta_max=upper, detector="reconstruction")
    key = {"delta_min": lower, "delta_max": upper, "seed": seed}
    about = common.described(model, "psi", "in_band", "r2")
    psi = {"psi_learned": common.psi_before_calibration(model)}
    return key | about | psi | study.separations(model, seed)


def draw(study: common.Study, frame: pl.DataFrame) -> alt.TopLevelMixin:
    maps = [
        plot_ablation(
            frame,
            option="delta_max",
            against="delta_min",
            figures={name: title},
            domain=None if name == "psi" else (0, 1),
            width=230,
        )
        for name, title in FIGURES.items()
    ]
    grid = alt.concat(*maps, columns=2, spacing=16).resolve_scale(color="independent")
    key = "means over the seeds; deltas in training variances; AUC-ROC of reconstruction errors"
    return common.titled(grid, "Band of the perturbation distance", [study.about, key])


def main() -> None:
    study = common.study(__doc__)
    bands = [(lower, upper) for lower in LOWER for upper in UPPER if lower < upper]
    results = [measure(study, *band, seed) for band in bands for seed in study.seeds]
    table = common.over_seeds(results, ["delta_min", "delta_max"])
    study.write("deltas", table, draw(study, pl.DataFrame(results)))


if __name__ == "__main__":
    main()
