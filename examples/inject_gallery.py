"""Every classical kind on the same two generated metrics: ``python examples/inject_gallery.py``.

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
from polars_genias.plots import _look as look
from polars_genias.plots import _pairs as windows
from polars_genias.plots import save

ROWS = 600
AROUND = 110


def metrics() -> pl.DataFrame:
    """Correlated load and temperature of a machine, with noise."""
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
    scaled = {
        name: (pl.col(column) - metrics()[feature].mean()) / metrics()[feature].std()
        for name, column, feature in (
            ("before", hit, hit),
            ("after", f"{hit}_synthetic", hit),
            ("other", other, other),
        )
    }
    if kind != "mode-correlation":
        # Shown if the correlation of the features changes.
        scaled["other"] = pl.lit(None, dtype=pl.Float64)
    return view.select("is_anomaly", row=pl.col("t") - start, **scaled)


def panel(kind: str) -> alt.LayerChart:
    """The original series, the anomaly, and its rows (shaded)."""
    view = one(kind)
    span = view.filter("is_anomaly").select(first=pl.col("row").min(), last=pl.col("row").max() + 1)
    x = alt.X("row:Q", title=None, axis=look.numbers(tickCount=4, grid=False))
    y = alt.Y("value:Q", title=None, axis=look.numbers(tickCount=4, grid=False))
    shade = alt.Chart(span).mark_rect(color=look.PASTELS[0], opacity=0.8)
    other = alt.Chart(view).mark_line(strokeWidth=1, color="#b3b8c0", strokeDash=[2, 2])
    layers = [
        shade.encode(x="first:Q", x2="last:Q"),
        other.encode(x, alt.Y("other:Q", title=None)),
        *windows.changed_lines(view, "before", "after", "is_anomaly", x, y, key=None),
    ]
    return alt.layer(*layers).properties(
        width=250, height=90, title=look.panel_title(kind), view=look.NO_FRAME
    )


def main(path: Path) -> Path:
    """Draw the gallery."""
    panels = [panel(kind) for kind in get_args(InjectKind)]
    title = "Before (grey) and after (orange), in standard deviations; dashed: the other feature"
    return save(alt.concat(*panels, columns=3, title=look.title(title)), path)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "inject_gallery.png")))
