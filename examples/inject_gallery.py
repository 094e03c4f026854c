"""Every classical kind on a feature of each sort: ``python examples/inject_gallery.py``.

Writes ``inject_gallery.png``, or the path that is given, and fails where a value is one that its
feature cannot take. Needs the extra ``plot``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl

import polars_genias  # noqa: F401 # registers the namespace
from polars_genias._table import of_verb
from polars_genias.plots import _look as look
from polars_genias.plots import _pairs as windows
from polars_genias.plots import save

ROWS = 900
AROUND = 60
LENGTH = 48
FEATURES = ("cpu, %", "errors, count", "busy, flag", "bytes, counter", "room, °C")
POINTS = ("global", "contextual", "extremum")


def metrics() -> pl.DataFrame:
    """A percentage, a count, a flag, a counter and a temperature, which rise and fall together."""
    rng = np.random.default_rng(7)
    t = np.arange(ROWS)
    load = np.sin(t / 11) + 0.35 * np.sin(t / 5.5 + 1)
    values = {
        "cpu, %": (38 + 24 * load + rng.normal(0, 2, ROWS)).clip(0, 100).round(1),
        "errors, count": rng.poisson(2.5 + 1.5 * load.clip(-1)),
        "busy, flag": load + rng.normal(0, 0.2, ROWS) > 0.6,
        "bytes, counter": np.cumsum(rng.poisson(40 + 15 * load.clip(-2))),
        "room, °C": (23 + 1.5 * np.roll(load, 5) + rng.normal(0, 0.15, ROWS)).round(1),
    }
    return pl.DataFrame({"t": t, **values})


def one(kind: str, feature: str, seed: int = 4) -> pl.DataFrame | None:
    """The rows around the one anomaly of a kind; None where the feature cannot show it."""
    options = {
        "kind": kind,
        "features": list(FEATURES),
        "order_by": "t",
        "count": 1,
        "length": 2 if kind in POINTS else LENGTH,
        "hit": feature,
        "factor": 2.5 if kind in ("seasonal", "frequency", "amplitude") else None,
        "seed": seed,
    }
    rows = metrics()
    events = rows.genias.events(of="inject", **options)
    if events.is_empty() or events["unable"].list.len().item() > 0:
        return None
    out = rows.genias.inject(**options)
    refuse_impossible(out)
    return around(out, feature, out.filter("is_anomaly")["t"][0])


def around(out: pl.DataFrame, feature: str, start: int) -> pl.DataFrame:
    """The rows around an anomaly that starts at a row."""
    near = pl.col("t").is_between(start - AROUND, start + AROUND + LENGTH)
    return out.filter(near).select(
        "is_anomaly",
        row=pl.col("t") - start,
        before=pl.col(feature).cast(pl.Float64),
        after=pl.col(f"{feature}_synthetic").cast(pl.Float64),
    )


def refuse_impossible(out: pl.DataFrame) -> None:
    """Fails for a value that a feature of its sort cannot take."""
    cpu, errors = out["cpu, %_synthetic"], out["errors, count_synthetic"]
    assert cpu.is_between(0, 100).all()
    assert errors.dtype == pl.Int64
    assert (errors >= 0).all()
    assert out["busy, flag_synthetic"].dtype == pl.Boolean
    falls = out["bytes, counter_synthetic"].diff() < 0
    assert (out["anomaly_kind"].fill_null("") == "reset").filter(falls).all()


def injected(kind: str, feature: str) -> alt.LayerChart:
    """An anomaly of a kind."""
    try:
        view = one(kind, feature)
    except pl.exceptions.ComputeError:
        view = None
    return panel(f"{kind}: {feature}", view)


def panel(text: str, view: pl.DataFrame | None) -> alt.LayerChart:
    """The series as it was, with the anomaly, and its rows (shaded)."""
    title = look.panel_title(text)
    if view is None:
        empty = alt.Chart(pl.DataFrame({"text": ["cannot show it"]}))
        text = empty.mark_text(color=look.GREY, fontSize=11).encode(text="text:N")
        return alt.layer(text).properties(width=190, height=62, title=title, view=look.NO_FRAME)
    span = view.filter("is_anomaly").select(first=pl.col("row").min(), last=pl.col("row").max() + 1)
    x = alt.X("row:Q", title=None, axis=look.numbers(tickCount=3, grid=False))
    scale = alt.Scale(zero=False)
    y = alt.Y("value:Q", title=None, scale=scale, axis=look.numbers(tickCount=3, grid=False))
    shade = alt.Chart(span).mark_rect(color=look.PASTELS[0], opacity=0.8)
    layers = [
        shade.encode(x="first:Q", x2="last:Q"),
        *windows.changed_lines(view, "before", "after", "is_anomaly", x, y, key=None),
    ]
    return alt.layer(*layers).properties(width=190, height=62, title=title, view=look.NO_FRAME)


def main(path: Path) -> Path:
    """Draw the gallery."""
    option = next(option for option in of_verb("inject") if option.name == "kind")
    kinds = [word for word in option.words if word not in option.aliases]
    panels = [injected(kind, feature) for kind in kinds for feature in FEATURES]
    return save(grid(panels), path, scale=1.2)


def grid(panels: list[alt.LayerChart]) -> alt.ConcatChart:
    """A row per kind, a column per feature."""
    title = "Before (grey) and after (orange), on a feature of each sort"
    return alt.concat(*panels, columns=len(FEATURES), spacing=10, title=look.title(title))


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else "inject_gallery.png")))
