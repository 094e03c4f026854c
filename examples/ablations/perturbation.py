"""What psi scales, the latent noise (variance) or the latent mean: separation and detection.

    python examples/ablations/perturbation.py [FILE.parquet SERIES] [--steps N] [--seeds N]

Separation: reconstruction error of held-out normal windows against generated anomalies, with psi
calibrated after training (the default) and as training left it. Detection: a classifier trained on
the model's anomalies, on the labelled test rows.
"""

from __future__ import annotations

import altair as alt
import common
import polars as pl

from polars_genias.plots import _look as look
from polars_genias.plots import plot_ablation
from polars_genias.plots._pairs import before_after

KINDS = ("variance", "mean")


def errors(study: common.Study, models: dict[str, bytes]) -> pl.DataFrame:
    """Reconstruction errors of all windows under the model of each kind, seed 0."""
    parts = []
    for kind, model in models.items():
        for form in common.FORMS:
            made = study.errors(model, study.pairs(model, 0, form=form))
            side = pl.when("anomalous").then(pl.lit(form)).otherwise(pl.lit("normal"))
            # The normal windows are the same beside both forms.
            once = pl.col("anomalous") | pl.lit(value=form == common.FORMS[0])
            named = pl.format("{}, {}", pl.lit(kind), side)
            parts.append(made.filter(once).select("error", side=side, which=named))
    return pl.concat(parts)


def boxes(frame: pl.DataFrame) -> alt.Chart:
    """Quartiles and range of the errors."""
    sides = ["normal", *common.FORMS]
    colours = alt.Scale(domain=sides, range=[look.GREY, *common.COLOURS.values()])
    error = alt.X(
        "error:Q",
        title="reconstruction error of a window (log scale)",
        scale=alt.Scale(type="log"),
        axis=look.numbers(values=look.log_ticks(frame["error"], (1,)), grid=False),
    )
    order = [f"{kind}, {side}" for kind in KINDS for side in sides]
    which = alt.Y("which:N", title=None, sort=order, axis=look.axis(grid=False))
    chart = alt.Chart(frame).mark_boxplot(extent="min-max", size=16)
    title = look.panel_title("windows under each model, psi calibrated, seed 0")
    return chart.encode(error, which, alt.Color("side:N", legend=None, scale=colours)).properties(
        width=330, height=160, title=title, view=look.NO_FRAME
    )


def bars(frame: pl.DataFrame) -> alt.ConcatChart:
    """Mean (bar) and seeds (points) of separation and detection."""
    figures = {
        "AUC-ROC, residual": "residual",
        "AUC-ROC, decoded": "decoded",
        "classifier AUC-PR": "auc_pr",
        "classifier VUS-PR": "vus_pr",
    }
    return plot_ablation(
        frame.select("perturbation", **figures).unpivot(index="perturbation"),
        option="variable",
        figures={"value": "separation and detection"},
        colour="perturbation",
        colours={"variance": look.GREEN, "mean": look.PURPLE},
        domain=(0, 1),
        width=270,
        height=160,
    )


def draw(study: common.Study, frame: pl.DataFrame, models: dict[str, bytes]) -> alt.TopLevelMixin:
    made = {kind: study.pairs(model, 0, patch="none") for kind, model in models.items()}
    features = common.most_moved(study, made["variance"], 2)
    starts = made["variance"]["start"].unique().sort()
    middle = starts[len(starts) // 2]
    windows = {
        f"{kind} perturbed": rows.filter(pl.col("start") == middle) for kind, rows in made.items()
    }
    examples = before_after(list(windows.values()), features, titles=list(windows), width=310)
    figures = alt.hconcat(boxes(errors(study, models)), bars(frame), spacing=30)
    key = "one window before (grey) and after (orange, residual form, psi calibrated, no patching)"
    both = alt.vconcat(examples, figures.resolve_scale(color="independent"), spacing=20)
    return common.titled(both, "What psi scales", [study.about, key])


def main() -> None:
    study = common.study(__doc__)
    results, models = [], {}
    for kind in KINDS:
        for seed in study.seeds:
            figures, model = study.with_either_psi(seed, perturbation=kind)
            results.append({"perturbation": kind, "seed": seed} | figures)
            models.setdefault(kind, model)
    table = common.over_seeds(results, ["perturbation"])
    study.write("perturbation", table, draw(study, pl.DataFrame(results), models))


if __name__ == "__main__":
    main()
