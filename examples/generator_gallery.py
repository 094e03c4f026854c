"""Strengths, seams and kinds of generated anomalies, drawn into the folder that is given, or here.

Writes ``generator_strength.png``, ``generator_seams.png`` and ``generator_kinds.png``, and fails
where a value is one that its feature cannot take. Needs the extra ``plot``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import altair as alt
import inject_gallery as sorts
import numpy as np
import polars as pl

import polars_genias as pg
from polars_genias._options import GenerateKind, InjectKind
from polars_genias.plots import save

ROWS = 1600
LENGTH = 60
STRENGTHS = (None, 0.5, 1.0, 2.0, 4.0, 8.0)
GREY, RED, YELLOW = "#8a8f98", "#c8423b", "#f2c14e"


def metrics() -> pl.DataFrame:
    """Correlated load and temperature of a machine, with noise."""
    rng = np.random.default_rng(7)
    t = np.arange(ROWS)
    load = np.sin(t / 8) + 0.35 * np.sin(t / 4 + 1)
    return pl.DataFrame(
        {
            "t": t,
            "load": load + rng.normal(0, 0.07, ROWS),
            "temperature": np.roll(load, 3) + rng.normal(0, 0.05, ROWS),
        }
    )


def anomaly(model: bytes, number: int = 1, **options) -> tuple[pl.DataFrame, dict]:
    """The rows around one anomaly, in standard deviations of the load, and its event."""
    given = {"model": model, "features": ["load", "temperature"], "order_by": "t"}
    given |= {"contamination": 0.2, "length": LENGTH, "patch": "none", "seed": 5, **options}
    data = metrics()
    out = pg.generate(data, **given)
    event = pg.events(data, **given).row(number, named=True)
    scale = data["load"].std()
    near = pl.col("t").is_between(event["t_start"] - 1, event["t_end"] + 1)
    view = out.select(
        row=pl.col("t") - event["t_start"],
        before=pl.col("load") / scale,
        after=pl.when(near).then(pl.col("load_synthetic") / scale),
    )
    return view, event


def panel(
    view: pl.DataFrame,
    rows: tuple[int, int],
    title: str,
    values: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """The original series (grey), the anomaly (red), and its rows (yellow)."""
    view = view.filter(pl.col("row").is_between(*rows))
    span = pl.DataFrame({"first": [max(-0.5, rows[0])], "last": [min(LENGTH - 0.5, rows[1])]})
    scale = alt.Scale(domain=rows, nice=False)
    x = alt.X("row:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4, grid=False))
    scale_y = alt.Scale(domain=values) if values else alt.Scale()
    y = alt.Y("before:Q", title=None, scale=scale_y, axis=alt.Axis(tickCount=4, grid=False))
    dots = {"color": RED, "size": 12} if values else False
    shade = alt.Chart(span).mark_rect(color=YELLOW, opacity=0.3)
    line = alt.Chart(view)
    layers = [
        shade.encode(alt.X("first:Q", scale=scale), x2="last:Q"),
        line.mark_line(strokeWidth=1.2, color=GREY).encode(x, y),
        line.mark_line(strokeWidth=1.6, color=RED, point=dots).encode(
            x, alt.Y("after:Q", title=None)
        ),
    ]
    return alt.layer(*layers).properties(
        width=250, height=110, title=alt.TitleParams(title, fontSize=11, fontWeight="normal")
    )


def beside(panels: list[alt.LayerChart], title: str) -> alt.ConcatChart:
    """Three panels in a row, under one title."""
    heading = alt.TitleParams(title, anchor="start", offset=12)
    return alt.concat(*panels, columns=3, title=heading, bounds="flush", spacing=45)


def ladder(model: bytes) -> alt.ConcatChart:
    """The same anomaly at every strength."""
    panels = []
    for strength in STRENGTHS:
        view, event = anomaly(model, strength=strength)
        asked = "None" if strength is None else f"{strength:g}"
        found = f"strength={asked} (realised {event['strength']:.2f}, psi {event['psi']:.1f})"
        panels.append(panel(view, (-50, 110), found))
    title = "The same anomaly at every strength: load before (grey) and after (red), in deviations"
    return beside(panels, title)


def seams(model: bytes) -> alt.ConcatChart:
    """The first rows of an anomaly, as decoded and blended, and a slow onset."""
    ways = {
        "decoded, as in the paper: a jump": {"form": "decoded"},
        "residual, blended": {},
        "residual, blended, creep=0.5": {"creep": 0.5},
    }
    panels = []
    for title, options in ways.items():
        view, _ = anomaly(model, strength=2.0, number=3, **options)
        panels.append(panel(view, (-15, 35), title, (-7, 7)))
    title = "The onset of an anomaly of strength 2, close up"
    return beside(panels, title)


KINDS = [word for word in get_args(GenerateKind) if word not in get_args(InjectKind)]
SAME = ["walk", "other-window", "tempo", "phase", "amplitude"]
"""Kinds of the model whose names classical kinds have too."""


def kinds() -> alt.ConcatChart:
    """Every kind of the model on a feature of each sort; `constant` changes none that varies."""
    rows = sorts.metrics()
    at = {"features": list(sorts.FEATURES), "order_by": "t"}
    model = rows.genias.fit(**at, window=96, latent=12, detector="reconstruction")["model"][0]
    panels = []
    for kind in [kind for kind in [*KINDS, *SAME] if kind != "constant"]:
        options = at | {"models": model, "kind": kind, "length": sorts.LENGTH, "seed": 3}
        panels += [
            sorts.panel(f"{kind}: {feature}", one(rows, feature, options))
            for feature in sorts.FEATURES
        ]
    return sorts.grid(panels)


def one(rows: pl.DataFrame, feature: str, options: dict) -> pl.DataFrame | None:
    """The rows around the strongest of six anomalies of a kind, if a feature shows it."""
    if options["kind"] != "correlation":
        options = options | {"hit": feature}
    options = options | {"count": 6}
    events = rows.genias.events(**options).filter(pl.col("features").list.contains(feature))
    out = rows.genias.generate(**options)
    sorts.refuse_impossible(out)
    if events.is_empty():
        return None
    event = events.sort("strength", "id").row(-1, named=True)
    # Neighbouring anomalies are not shown.
    own = (pl.col("anomaly_id") == event["id"]).fill_null(value=False)
    after = pl.when(own).then(f"{feature}_synthetic").otherwise(feature)
    alone = out.with_columns(after.alias(f"{feature}_synthetic"), is_anomaly=own)
    return sorts.around(alone, feature, event["t_start"])


def main(folder: Path) -> None:
    """Draw all."""
    model = pg.fit(
        metrics(),
        features=["load", "temperature"],
        order_by="t",
        window=100,
        detector="reconstruction",
    )["model"][0]
    for name, chart in (("strength", ladder(model)), ("seams", seams(model))):
        path = folder / f"generator_{name}.png"
        chart.save(str(path), scale_factor=1.5)
        print(path)
    print(save(kinds(), folder / "generator_kinds.png", scale=1.2))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
