"""Every classical kind on the same two made-up metrics: ``python examples/inject_gallery.py``.

Writes ``inject_gallery.png``, or the path that is given. Needs the extra ``plot``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import altair as alt
import numpy as np
import polars as pl

import polars_genias as pg
from polars_genias._options import InjectKind

ROWS = 600
AROUND = 110


def metrics() -> pl.DataFrame:
    """Load and temperature of a machine: they rise and fall together, with noise."""
    rng = np.random.default_rng(7)
    t = np.arange(ROWS)
    load = np.sin(t / 8) + 0.35 * np.sin(t / 4 + 1)
    return pl.DataFrame(
        {
            "t": t,
            "load": 50 + 12 * load + rng.normal(0, 0.8, ROWS),
            "temperature": 61 + 5 * np.roll(load, 3) + rng.normal(0, 0.4, ROWS),
        }
    )


def one(kind: str) -> pl.DataFrame:
    """The rows around the one anomaly of a kind, on one of the features."""
    points = kind in ("global", "contextual", "extremum")
    tempo = kind in ("seasonal", "frequency")
    out = pg.inject(
        metrics(),
        kind=kind,
        factor=2.5 if tempo else None,
        features=["load", "temperature"],
        order_by="t",
        count=1,
        length=2 if points else 70,
        feature_share=0.5,
        seed=3,
    )
    hit = "load" if out["load_mask"].any() else "temperature"
    other = "temperature" if hit == "load" else "load"
    start = out.filter("is_anomaly")["t"][0]
    view = out.filter(pl.col("t").is_between(start - AROUND, start + AROUND + 70))
    near = pl.col("is_anomaly") | pl.col("is_anomaly").shift(1) | pl.col("is_anomaly").shift(-1)
    scaled = {
        name: (pl.col(name) - metrics()[name].mean()) / metrics()[name].std()
        for name in (hit, other)
    }
    return view.select(
        kind=pl.lit(kind),
        row=pl.col("t") - start,
        before=scaled[hit],
        after=pl.when(near.fill_null(value=False)).then(
            (pl.col(f"{hit}_synthetic") - metrics()[hit].mean()) / metrics()[hit].std()
        ),
        # Shown where how the features go together is what changes.
        other=scaled[other] if kind == "mode-correlation" else pl.lit(None, dtype=pl.Float64),
        is_anomaly="is_anomaly",
    )


def panel(kind: str) -> alt.Chart:
    """The series as it was (grey), with the anomaly (red), and its rows (yellow)."""
    view = one(kind)
    span = view.filter("is_anomaly").select(first=pl.col("row").min(), last=pl.col("row").max() + 1)
    rows = alt.X("row:Q", title=None, axis=alt.Axis(tickCount=4, grid=False))
    axis = alt.Axis(tickCount=4, grid=False)
    shade = alt.Chart(span).mark_rect(color="#f2c14e", opacity=0.3).encode(x="first:Q", x2="last:Q")
    line = alt.Chart(view)
    layers = [
        shade,
        line.mark_line(strokeWidth=1, color="#b3b8c0", strokeDash=[2, 2]).encode(
            rows, alt.Y("other:Q", title=None)
        ),
        line.mark_line(strokeWidth=1.2, color="#8a8f98").encode(
            rows, alt.Y("before:Q", title=None, axis=axis)
        ),
        line.mark_line(strokeWidth=1.6, color="#c8423b").encode(rows, alt.Y("after:Q", title=None)),
    ]
    return alt.layer(*layers).properties(width=250, height=90, title=kind)


def main(path: Path) -> Path:
    """Draw the gallery."""
    panels = [panel(kind) for kind in get_args(InjectKind)]
    title = "Before (grey) and after (red), in standard deviations; dashed: the other feature"
    chart = alt.concat(*panels, columns=3, title=alt.TitleParams(title, anchor="start"))
    chart.save(str(path), scale_factor=2)
    return path


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "inject_gallery.png")))
