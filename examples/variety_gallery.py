"""Clusters, deformations and a broken correlation: ``python examples/variety_gallery.py``.

Writes ``clusters.png``, ``deformations.png`` and ``correlation.png`` into the folder that is given,
or here. Needs the extra ``plot``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl

import polars_genias as pg

ROWS = 6000
LENGTH = 80
AROUND = 60
FEATURES = ["load", "temperature"]
DEFORMATIONS = {
    "residual": "residual of a perturbation",
    "walk": "walk through other windows",
    "other-window": "another window",
    "tempo": "tempo",
    "phase": "phase",
    "hold": "level",
    "texture": "texture",
    "amplitude": "amplitude",
}
"""Description of the deformations, by `anomaly_kind`."""
GREY, RED, BLUE, YELLOW = "#8a8f98", "#c8423b", "#35639f", "#f2c14e"


def metrics() -> pl.DataFrame:
    """Correlated load and temperature of a machine, with noise."""
    rng = np.random.default_rng(7)
    t = np.arange(ROWS)
    load = np.sin(t / 16) + 0.35 * np.sin(t / 8 + 1) + 0.5 * np.sin(t / 311)
    return pl.DataFrame(
        {
            "t": t,
            "load": 50 + 12 * load + rng.normal(0, 0.8, ROWS),
            "temperature": 61 + 5 * np.roll(load, 3) + rng.normal(0, 0.4, ROWS),
        }
    )


def fitted() -> pl.DataFrame:
    """The model of all figures, with few latent units, so that changes are smooth."""
    return pg.fit(
        metrics(),
        features=FEATURES,
        order_by="t",
        detector="reconstruction",
        kinds=6,
        latent=10,
        window=160,
    )


def generated(model: pl.DataFrame, **options: object) -> pl.DataFrame:
    """The rows with anomalies."""
    return pg.generate(metrics(), models=model, features=FEATURES, order_by="t", **options)


def clusters(model: pl.DataFrame, most: int = 3) -> alt.Chart:
    """Up to three anomalies of each cluster: their changes, in standard deviations."""
    options = {"contamination": 0.6, "length": LENGTH, "draws": 8, "strength": (1.0, 3.0)}
    out = generated(model, **options, seed=1)
    at = {"features": FEATURES, "order_by": "t"}
    table = pg.events(metrics(), models=model, **at, **options, seed=1)
    out = out.join(table.select("cluster", anomaly_id="id"), on="anomaly_id", how="left")
    deviations = pl.concat(
        out.select(
            "cluster",
            "anomaly_id",
            pl.int_range(pl.len()).over("anomaly_id").alias("row"),
            pl.lit(name).alias("feature"),
            ((pl.col(f"{name}_synthetic") - pl.col(name)) / pl.col(name).std()).alias("change"),
            "is_anomaly",
        ).filter("is_anomaly")
        for name in FEATURES
    )
    numbers = sorted(deviations["cluster"].unique())
    rows = []
    for number in numbers:
        alike = deviations.filter(pl.col("cluster") == number)
        count = alike["anomaly_id"].n_unique()
        panels = []
        for i, anomaly in enumerate(alike["anomaly_id"].unique(maintain_order=True)[:most]):
            title = f"cluster {number}, {count} anomalies" if i == 0 else ""
            panels.append(_change(alike.filter(pl.col("anomaly_id") == anomaly), title))
        rows.append(alt.hconcat(*panels, spacing=8))
    title = "What generated anomalies add, in standard deviations: load (red), temperature (blue)"
    return alt.vconcat(*rows, title=alt.TitleParams(title, anchor="start"), spacing=8)


def _change(change: pl.DataFrame, title: str) -> alt.Chart:
    colour = alt.Color(
        "feature:N", legend=None, scale=alt.Scale(domain=FEATURES, range=[RED, BLUE])
    )
    axis = alt.Axis(tickCount=3, grid=False)
    lines = (
        alt.Chart(change)
        .mark_line(strokeWidth=1.4)
        .encode(
            alt.X("row:Q", title=None, axis=axis),
            alt.Y("change:Q", title=None, axis=axis, scale=alt.Scale(domain=[-6, 6], clamp=True)),
            colour,
        )
    )
    zero = alt.Chart(pl.DataFrame({"y": [0]})).mark_rule(color="#d5d8dd").encode(y="y:Q")
    heading = alt.TitleParams(title, anchor="start", fontSize=11)
    return alt.layer(zero, lines).properties(width=220, height=70, title=heading)


def deformations(model: pl.DataFrame) -> alt.Chart:
    """One anomaly of each deformation, in its series."""
    out = generated(model, form="deformed", patch="none", contamination=0.6, length=LENGTH, seed=1)
    hit = out.filter(pl.col("load_mask"))
    panels = []
    for number, (kind, name) in enumerate(DEFORMATIONS.items(), 1):
        of_kind = hit.filter(pl.col("anomaly_kind") == kind)
        # The one with the median strength.
        by_strength = of_kind.group_by("anomaly_id").agg(pl.first("anomaly_strength"))
        ranked = by_strength.sort("anomaly_strength", "anomaly_id")
        rows = of_kind.filter(pl.col("anomaly_id") == ranked["anomaly_id"][ranked.height // 2])["t"]
        view = out.filter(pl.col("t").is_between(rows.min() - AROUND, rows.max() + AROUND))
        # Neighbouring anomalies are not shown.
        view = view.with_columns(load_mask=pl.col("t").is_in(rows.implode()))
        heading = alt.TitleParams(f"{number}: {name}", anchor="start", fontSize=11)
        panel = alt.layer(_shade(rows), _series(view, "load"))
        panels.append(panel.properties(width=330, height=85, title=heading))
    title = 'form="deformed": before (grey) and after (red)'
    pairs = [alt.hconcat(*panels[i : i + 2]) for i in range(0, len(panels), 2)]
    return alt.vconcat(*pairs, title=alt.TitleParams(title, anchor="start"), spacing=8)


def _shade(rows: pl.Series) -> alt.Chart:
    span = pl.DataFrame({"start": [rows.min()], "end": [rows.max() + 1]})
    return alt.Chart(span).mark_rect(color=YELLOW, opacity=0.3).encode(x="start:Q", x2="end:Q")


def correlation(model: pl.DataFrame) -> alt.Chart:
    """Each feature looks normal; together, and as a pair plot, they do not."""
    out = generated(model, patch="correlation", contamination=0.06, length=120, seed=2)
    hit = out.filter("is_anomaly")
    first = hit.filter(pl.col("anomaly_id") == 2)["t"]
    view = out.filter(pl.col("t").is_between(first.min() - AROUND, first.max() + AROUND))
    panels = [_shade(first) + _series(view, name) for name in FEATURES]
    series = alt.vconcat(*(panel.properties(width=430, height=125) for panel in panels), spacing=8)
    pairs = pl.concat(
        [
            out.filter(~pl.col("is_anomaly")).select(*FEATURES, rows=pl.lit("normal")),
            hit.select(
                *(pl.col(f"{name}_synthetic").alias(name) for name in FEATURES),
                rows=pl.lit("anomaly"),
            ),
        ]
    )
    scale = alt.Scale(zero=False)
    colour = alt.Color(
        "rows:N",
        title=None,
        scale=alt.Scale(domain=["normal", "anomaly"], range=["#c3c7cd", RED]),
        legend=alt.Legend(orient="top"),
    )
    scatter = (
        alt.Chart(pairs)
        .mark_circle(size=10, opacity=0.6)
        .encode(
            alt.X("load:Q", scale=scale, axis=alt.Axis(grid=False)),
            alt.Y("temperature:Q", scale=scale, axis=alt.Axis(grid=False)),
            colour,
        )
        .properties(width=270, height=270)
    )
    title = 'patch="correlation": before (grey) and after (red); right: all anomalies of the series'
    return alt.hconcat(series, scatter, title=alt.TitleParams(title, anchor="start"))


def _series(view: pl.DataFrame, name: str) -> alt.LayerChart:
    near = pl.any_horizontal(pl.col(f"{name}_mask").shift(by) for by in (-1, 0, 1))
    rows = view.with_columns(after=pl.when(near).then(f"{name}_synthetic"))
    x = alt.X("t:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False))
    axis = alt.Axis(tickCount=4, grid=False)
    before = alt.Y(f"{name}:Q", title=name, axis=axis, scale=alt.Scale(zero=False))
    grey = alt.Chart(rows).mark_line(strokeWidth=1.1, color=GREY).encode(x, before)
    red = alt.Chart(rows).mark_line(strokeWidth=1.5, color=RED)
    return grey + red.encode(x, alt.Y("after:Q", title=name))


def main(folder: Path) -> list[Path]:
    """Draw them all."""
    model = fitted()
    drawn = []
    for draw in (clusters, deformations, correlation):
        path = folder / f"{draw.__name__}.png"
        draw(model).save(str(path), scale_factor=2)
        drawn.append(path)
    return drawn


if __name__ == "__main__":
    print(*main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")), sep="\n")
