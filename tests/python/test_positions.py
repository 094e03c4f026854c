"""The same row, the same score: whatever slice it came in."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

ROWS = 1200
SETTINGS = {"window": 64, "steps": 20, "channels": 8, "latent": 8, "detector": "reconstruction"}


def orders() -> dict[str, pl.Series | None]:
    t = pl.int_range(ROWS, eager=True)
    irregular = pl.Series(np.random.default_rng(5).integers(1, 10_000, ROWS)).cum_sum()
    start = datetime(2026, 3, 28, 0, 7)
    return {
        "integers": t + 3,
        "negative": -5 * t.reverse(),
        "unsigned": (t * 7).cast(pl.UInt64),
        "floats": t.cast(pl.Float64),
        "datetimes": pl.select(pl.lit(start) + pl.duration(minutes=10 * t)).to_series(),
        "nanoseconds": pl.select(
            (pl.lit(start) + pl.duration(seconds=30 * t)).dt.cast_time_unit("ns")
        ).to_series(),
        "zone": pl.select((pl.lit(start) + pl.duration(minutes=15 * t)).dt.replace_time_zone("UTC"))
        .to_series()
        .dt.convert_time_zone("Europe/Berlin"),
        "dates": pl.select(pl.lit(date(2020, 1, 1)) + pl.duration(days=t)).to_series(),
        "durations": pl.select(pl.duration(seconds=5 * t)).to_series(),
        "missing rows": t + t // 50,
        "irregular": irregular,
        "fractions": irregular / 7,
        "text": t.cast(pl.String).str.zfill(6),
        "none": None,
    }


def frame(order: pl.Series | None) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    t = np.arange(ROWS)
    out = pl.DataFrame(
        {
            "row": t,
            "x": np.sin(2 * np.pi * t / 24) + 0.3 * rng.standard_normal(ROWS),
            "y": np.cos(2 * np.pi * t / 31) + 0.1 * rng.standard_normal(ROWS),
        }
    )
    return out if order is None else out.with_columns(order.alias("t"))


def difference(whole: pl.DataFrame, part: pl.DataFrame, apart: int) -> float:
    """Largest difference between the scores of the rows `apart` rows from the ends of `part`."""
    low, high = part["row"].min() + apart, part["row"].max() - apart
    inside = part.filter(pl.col("row").is_between(low, high))
    both = inside.join(whole, on="row", suffix="_whole")
    assert both.height == inside.height > 100
    assert (both["s"].is_null() == both["s_whole"].is_null()).all()
    return (both["s"] - both["s_whole"]).abs().max() / whole["s"].std()


@pytest.mark.parametrize("kind", orders())
@pytest.mark.parametrize("stride", [None, 5, 64])
def test_slices_score_as_the_whole(kind, stride):
    data = frame(orders()[kind])
    at = {"features": ["x", "y"], "order_by": None if kind == "none" else "t"}
    models = data.head(600).genias.fit(**at, **SETTINGS)
    options = {"models": models, "score_stride": stride, "name": "s"}
    whole = data.genias.score(**at, **options)
    for start, rows in ((1, 900), (13, 900), (250, 701), (300, 900)):
        part = data.slice(start, rows).genias.score(**at, **options)
        assert difference(whole, part, apart=128) < 1e-4, start


def test_labels_agree_with_scores():
    """Those that do not follow the rows before them."""
    data = frame(orders()["datetimes"])
    at = {"features": ["x", "y"], "order_by": "t"}
    models = data.head(600).genias.fit(**at, **SETTINGS)
    at |= {"models": models, "name": "s", "adapt": "off"}
    whole = data.genias.label(**at)
    part = data.slice(37, 1000).genias.label(**at)
    assert 0 < whole["s"].sum() < 100
    both = part.slice(64, 872).join(whole, on="row")
    assert (both["s"] == both["s_right"]).all()


def test_a_clock_needs_a_window_at_either_end_only():
    data = frame(orders()["datetimes"])
    at = {"features": ["x", "y"], "order_by": "t"}
    models = data.head(600).genias.fit(**at, **SETTINGS)
    whole = data.genias.score(**at, models=models, name="s")
    part = data.slice(101, 500).genias.score(**at, models=models, name="s")
    assert difference(whole, part, apart=64) < 1e-4


def test_groups_and_contexts_agree():
    """By the verb over groups, by over(), and alone, with jumps in time and nulls."""
    t = orders()["datetimes"]
    data = pl.concat(
        frame(t).with_columns(
            pl.col("t") + timedelta(minutes=17 * host),
            x=pl.when(pl.col("row") % (90 + host) == 0).then(None).otherwise("x"),
            host=pl.lit(f"h{host}"),
        )
        for host in range(3)
    )
    data = data.filter(~pl.col("row").is_between(500, 540)).sample(fraction=1, shuffle=True, seed=1)
    at = {"features": ["x", "y"], "order_by": "t", "by": "host"}
    gap = {"max_gap": timedelta(hours=1)}
    models = data.genias.fit(**at, **gap, **SETTINGS)
    scored = data.genias.score(**at, **gap, models=models, name="s").sort("host", "row")
    joined = data.join(models, on="host").sort("host", "row")
    over = joined.with_columns(
        s=pl.struct("x", "y").genias.score(model=pl.col("model"), order_by="t", **gap).over("host")
    )
    assert scored["s"].equals(over["s"], null_equal=True)
    for host in ("h0", "h2"):
        own = scored.filter(pl.col("host") == host)
        part = data.filter((pl.col("host") == host) & pl.col("row").is_between(77, 1100))
        part = part.genias.score(**at, **gap, models=models, name="s").sort("row")
        assert difference(own, part, apart=64) < 1e-4


def test_flat_stretches_cost_little():
    """Without a clock every row of a flat stretch has a window, of which one is scored."""
    flat = pl.DataFrame({"x": np.r_[np.random.default_rng(0).standard_normal(400), np.zeros(400)]})
    models = flat.genias.fit(features="x", **SETTINGS)
    whole = flat.with_row_index("row").genias.score(features="x", models=models, name="s")
    part = flat.with_row_index("row").slice(33, 700)
    part = part.genias.score(features="x", models=models, name="s")
    assert difference(whole, part, apart=128) < 1e-4
