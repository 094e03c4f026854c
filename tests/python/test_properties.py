"""Properties that hold for any series: hypothesis draws lengths, holes, labels and options."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST

WHOLE = {**FAST, "max_null": 0.0}
"""No window may miss a value."""

holes = st.lists(st.integers(0, 119), max_size=6)


def holed(rows: int, missing: list[int], known: list[int], seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    t = pl.int_range(rows, eager=True)
    wave = pl.Series(np.sin(np.arange(rows) / 4) + rng.normal(0, 0.1, rows))
    return pl.DataFrame({"t": t, "x": wave, "flag": (t % 7 == 0)}).select(
        "t",
        pl.when(pl.col("t").is_in(missing)).then(None).otherwise("x").alias("x"),
        pl.col("t").is_in(known).alias("known"),
    )


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 120),
    missing=holes,
    known=holes,
    seed=st.integers(0, 5),
    contamination=st.floats(0.01, 0.2),
    patch=st.sampled_from(["deviation", "length", "none"]),
    form=st.sampled_from(["residual", "decoded", "deformed"]),
)
def test_generate(rows, missing, known, seed, contamination, patch, form):
    frame = holed(rows, missing, known, seed)
    try:
        out = frame.genias.generate(
            features="x",
            label="known",
            contamination=contamination,
            patch=patch,
            form=form,
            **WHOLE,
        )
    except pl.exceptions.ComputeError as error:
        assert "fit without overlap" in str(error)
        return
    assert_frame_equal(out.select(frame.columns), frame, check_exact=True)
    untouched = out.filter(~pl.col("x_mask").fill_null(False))
    assert untouched["x_synthetic"].equals(untouched["x"])
    hit = out.filter(pl.col("is_anomaly").fill_null(False))
    assert hit["x"].null_count() == 0
    assert not hit["known"].any()
    assert hit["x_synthetic"].is_finite().all()
    assert out["is_anomaly"].null_count() in (0, rows)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 120), missing=holes, size=st.integers(1, 20), stride=st.integers(1, 30))
def test_windows_round_trip(rows, missing, size, stride):
    frame = holed(rows, missing, [], 0)
    out = frame.select(pg.windows("x", size, stride))["x"]
    x = frame["x"].cast(pl.Float32).to_list()
    assert out.to_list() == [x[i : i + size] for i in range(0, rows - size + 1, stride)]


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(0, 120), missing=holes, seed=st.integers(0, 3))
def test_score_is_null_exactly_where_no_window_covers(rows, missing, seed):
    frame = holed(rows, missing, [], seed)
    # The default detector also scores series that are shorter than the window.
    out = frame.genias.score(features="x", detector="reconstruction", **WHOLE)["anomaly_score"]
    x = frame["x"].to_list()
    covered = [False] * rows
    for start in range(rows - 15):
        if None not in x[start : start + 16]:
            covered[start : start + 16] = [True] * 16
    assert out.is_not_null().to_list() == covered
