"""Strength, patching, seams, slow onset and the event table of generated anomalies."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, both, make_hosts

pytestmark = pytest.mark.once

FRAME = {"features": ["cpu", "mem"], "by": "host", "order_by": "t", "label": "known"}
WIDE = {**FAST, "window": 32}
FACTS = [
    *("features", "strength", "asked", "unable", "kind", "cluster"),
    *("psi", "distance", "redraws", "fallback"),
]

DEFORMATIONS = {
    *("residual", "walk", "other-window", "tempo", "phase", "hold", "texture", "amplitude"),
}


@pytest.fixture(scope="module")
def models() -> pl.DataFrame:
    return make_hosts(rows=400).genias.fit(**FRAME, detector="reconstruction", **WIDE)


def changes(out: pl.DataFrame) -> pl.DataFrame:
    """What each anomaly changed, read from the rows: one row per anomaly and feature."""
    training = ~pl.col("known")
    parts = [
        out.with_columns(std=pl.col(name).filter(training).std(ddof=0).over("host"))
        .filter(pl.col("is_anomaly"), pl.col(f"{name}_mask").any().over("host", "anomaly_id"))
        .with_columns(z=(pl.col(f"{name}_synthetic") - pl.col(name)) / pl.col("std"))
        .group_by("host", id="anomaly_id")
        .agg(pl.lit(name).alias("feature"), pl.col("z"))
        for name in ("cpu", "mem")
    ]
    return pl.concat(parts).sort("host", "id", "feature")


@pytest.mark.parametrize("form", ["residual", "deformed"])
def test_events_are_the_anomalies_of_generate(models, form):
    frame = make_hosts(rows=400)
    options = {"strength": (0.5, 8.0), "length": (5, 20), "contamination": 0.2, "seed": 3}
    options["form"] = form
    out = frame.genias.generate(models=models, **FRAME, **options)
    table = frame.genias.events(models=models, **FRAME, **options)
    assert table.columns == ["host", "id", "start", "length", "t_start", "t_end", *FACTS]
    rows = out.filter("is_anomaly").group_by("host", id="anomaly_id")
    expected = rows.agg(
        start=pl.col("t").min().cast(pl.UInt32),
        length=pl.len(),
        t_start=pl.col("t").min(),
        t_end=pl.col("t").max(),
        kind=pl.col("anomaly_kind").first(),
    ).sort("host", "id")
    assert_frame_equal(table.select(expected.columns), expected)
    found = changes(out)
    features = found.group_by("host", "id", maintain_order=True).agg(
        features=pl.col("feature"),
        strength=pl.col("z").explode().pow(2).mean().sqrt(),
    )
    assert_frame_equal(table.select(features.columns), features)
    # And beside every row.
    beside = rows.agg(pl.col("anomaly_strength").unique()).sort("host", "id")
    assert beside["anomaly_strength"].list.len().max() == 1
    assert beside["anomaly_strength"].explode().to_numpy() == pytest.approx(
        table["strength"].to_numpy(), rel=1e-5
    )


def test_events_are_lazy_and_an_expression(models):
    frame = make_hosts(rows=400)
    lazy = frame.lazy().genias.events(models=models, **FRAME)
    assert isinstance(lazy, pl.LazyFrame)
    table = lazy.collect()
    assert lazy.collect_schema() == table.schema
    assert_frame_equal(table, frame.genias.events(models=models, **FRAME))
    one = frame.filter(pl.col("host") == "h1").select(
        both().genias.events(
            model=models.filter(pl.col("host") == "h1")["model"][0], order_by="t", label="known"
        )
    )
    expected = table.filter(pl.col("host") == "h1").drop("host")
    assert_frame_equal(one.unnest(one.columns[0]), expected)


def test_order_decides_and_not_the_rows(models):
    frame = make_hosts(rows=400)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    table = shuffled.genias.events(models=models, **FRAME).sort("host", "id")
    assert_frame_equal(table, frame.genias.events(models=models, **FRAME))


def test_events_of_inject():
    frame = make_hosts()
    options = {"kind": ["mean", "trend"], "count": 4, "length": 8, "seed": 2}
    table = frame.genias.events(of="inject", **FRAME, **options)
    out = frame.genias.inject(**FRAME, **options)
    rows = out.filter("is_anomaly").group_by("host", id="anomaly_id")
    expected = rows.agg(pl.len().alias("length"), pl.col("anomaly_kind").first().alias("kind"))
    assert_frame_equal(table.select(expected.columns), expected.sort("host", "id"))
    assert (table["strength"] > 0).all()
    assert table.select("psi", "distance", "redraws", "fallback").null_count().row(0) == (12,) * 4


def test_no_events_where_there_is_no_model(models):
    short = make_hosts(rows=400).filter((pl.col("host") != "h1") | (pl.col("t") < 9))
    table = short.genias.events(models=models, **FRAME)
    assert table["host"].unique(maintain_order=True).to_list() == ["h0", "h2"]
    empty = short.clear().genias.events(models=models, **FRAME)
    assert empty.schema == table.schema


@pytest.mark.parametrize("strength", [0.5, 2.0, 8.0])
def test_every_feature_has_the_strength_that_was_asked_for(models, strength):
    frame = make_hosts(rows=400)
    out = frame.genias.generate(models=models, **FRAME, strength=strength, length=(4, 16))
    rms = changes(out).select(pl.col("z").list.eval(pl.element().pow(2).mean().sqrt()).list.first())
    assert rms["z"].to_numpy() == pytest.approx(strength, rel=2e-3)


def test_strength_comes_of_psi_where_the_model_can_give_it(models):
    frame = make_hosts(rows=400)
    psi = [
        frame.genias.events(models=models, **FRAME, strength=s)["psi"].median()
        for s in (0.1, 0.5, 2.0)
    ]
    assert psi == sorted(psi)
    assert psi[2] > 2 * psi[1]
    large = frame.genias.events(models=models, **FRAME, strength=1e4)["psi"]
    assert large.max() <= 64


def test_strengths_of_a_range_are_log_uniform():
    frame = make_hosts(hosts=1, rows=3000)
    options = {"length": 4, "contamination": 0.3, "by": "host", "features": "cpu", **FAST}
    strengths = frame.genias.events(strength=(0.5, 8.0), **options)["strength"].log(2)
    assert strengths.is_between(-1.01, 3.01).all()
    counts = strengths.hist([-1.01, 0, 1, 2, 3.01])["count"]
    assert counts.min() > 0.6 * counts.mean()


def test_no_anomaly_is_inert_and_diagnostics_are_counted(models):
    frame = make_hosts(rows=400)
    for options in ({}, {"tau": 50.0}, {"distance": "rms"}, {"length": 3}):
        options = {"contamination": 0.2, **options}
        out = frame.genias.generate(models=models, **FRAME, **options)
        table = frame.genias.events(models=models, **FRAME, **options)
        sizes = changes(out).with_columns(pl.col("z").list.eval(pl.element().abs()).list.max())
        assert sizes["z"].min() > 1e-3
        assert table["features"].list.len().min() >= 1
        assert (table["redraws"] <= 3).all()
        # What no draw passes falls back, after all redraws.
        assert (table.filter("fallback")["redraws"] == 3).all()
        assert (table["features"].list.len() == 1).filter(table["fallback"]).all()
        assert table["fallback"].all() == (options.get("tau") == 50.0)


def test_describe_says_what_share_is_patched(models):
    about = models.select(pg.describe("model")).unnest("model")
    assert about["patch_rate"].is_between(0.05, 0.95).all()
    assert (about["tau"] > 0).all()


def steps(out: pl.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps at the ends of the anomalies of a feature, and those of the series itself."""
    hit = (pl.col(f"{name}_mask")).cast(pl.Int8)
    out = out.with_columns(
        end=hit.diff().over("host").fill_null(0) != 0,
        step=pl.col(f"{name}_synthetic").diff().abs().over("host"),
        own=pl.col(name).diff().abs().over("host"),
    )
    ends = out.filter("end")["step"].to_numpy()
    return ends, out["own"].drop_nulls().to_numpy()


@pytest.mark.parametrize("strength", [None, 4.0])
def test_seams_are_no_larger_than_the_steps_of_the_series(models, strength):
    frame = make_hosts(rows=2000).with_columns(known=pl.lit(value=False))
    options = {"strength": strength, "length": (3, 30), "contamination": 0.3}
    out = frame.genias.generate(models=models, **FRAME, **options)
    for name in ("cpu", "mem"):
        ends, own = steps(out, name)
        assert len(ends) > 20
        assert np.quantile(ends, 0.99) <= np.quantile(own, 0.995)


@pytest.mark.parametrize("creep", [0.5, 10])
def test_creep_is_a_slow_onset(models, creep):
    frame = make_hosts(rows=400)
    options = {"length": 20, "strength": 0.3, "contamination": 0.3, "patch": "none"}
    sharp = frame.genias.generate(models=models, **FRAME, **options)
    slow = frame.genias.generate(models=models, **FRAME, **options, creep=creep)

    def share(out: pl.DataFrame) -> float:
        """Of the squared change, what lies in the first quarter."""
        z = np.array(changes(out)["z"].to_list())
        return float((z[:, :5] ** 2).sum() / (z**2).sum())

    assert share(slow) < 0.4 * share(sharp)


def test_kinds_are_names_in_every_verb(models):
    """The same dtype, and the same word where the same is done."""
    frame = make_hosts(rows=400)
    options = {**FRAME, "contamination": 0.2}
    for chosen, names in (
        ({"form": "residual"}, {"residual"}),
        ({"form": "decoded"}, {"decoded"}),
        ({"form": "deformed", "seed": 1}, DEFORMATIONS),
    ):
        rows = frame.genias.generate(models=models, **options, **chosen)
        table = frame.genias.events(models=models, **options, **chosen)
        windows = frame.genias.pairs(models=models, **FRAME, window_stride=9, window=32, **chosen)
        injected = frame.genias.inject(**options)
        for kinds in (rows["anomaly_kind"], table["kind"], windows["kind"]):
            assert kinds.dtype == injected["anomaly_kind"].dtype == pl.String
            assert set(kinds.drop_nulls()) <= names
        assert table["cluster"].dtype == pl.UInt32
        assert table["cluster"].is_null().all() == (chosen["form"] == "deformed")
        assert windows["kind"].null_count() == 0
        hit = rows.filter("is_anomaly")
        assert hit["anomaly_kind"].null_count() == 0
        assert rows["anomaly_kind"].null_count() == rows.height - hit.height


def test_deformations_are_named_and_of_their_own_size(models):
    frame = make_hosts(rows=400).lazy()
    options = {**FRAME, "form": "deformed", "length": (5, 20), "contamination": 0.4}
    runs = [frame.genias.events(models=models, **options, seed=seed) for seed in range(6)]
    table = pl.concat(runs).collect()
    assert set(table["kind"]) == DEFORMATIONS
    counts = dict(table.group_by("kind").len().iter_rows())
    assert counts.pop("walk") > max(counts.values())
    residual = table["kind"] == "residual"
    assert (table.filter(residual)["psi"] > 1).all()
    assert (table.filter(~residual)["psi"] == 1).all()
    assert table["strength"].min() > 0.01
    assert table["strength"].n_unique() > 0.9 * table.height
    # The same in memory and streaming.
    rows = frame.genias.generate(models=models, **options)
    assert_frame_equal(rows.collect(), rows.collect(engine="streaming"))


def test_bad_options_of_events(series):
    for options, text in (
        ({"creep": 0}, "`creep` = 0"),
        ({"creep": 1.5}, "`creep` = 1.5"),
        ({"creep": "slow"}, "`creep`"),
        ({"distance": "far"}, '`distance` = "far"'),
        ({"form": "bent"}, '`form` = "bent"'),
        ({"strength": (0, 1)}, "`strength`"),
        ({"of": "nothing"}, "`of` = 'nothing'"),
        ({"of": "inject", "model": b""}, "no model is used"),
        ({"of": "inject", "window": 9}, "`window` = 9: must be left out of `inject`"),
        ({"shift": 3}, "it is an option of `inject`"),
    ):
        with pytest.raises(ValueError, match=text):
            series.lazy().genias.events(features="cpu", **options)
    clash = series.with_columns(start=pl.lit(1))
    with pytest.raises(ValueError, match="column 'start' of its own"):
        clash.genias.events(features="cpu", by="start")
    with pytest.raises(pl.exceptions.ComputeError, match="`creep` = 17"):
        series.genias.generate(features="cpu", creep=17, **FAST)


@settings(max_examples=15, deadline=None)
@given(
    strength=st.floats(0.2, 20.0),
    length=st.integers(1, 16),
    creep=st.none() | st.floats(0.05, 1.0),
    distance=st.sampled_from(["normal", "rms", "l2"]),
    form=st.sampled_from(["residual", "deformed"]),
    seed=st.integers(0, 1000),
)
def test_events_hold_whatever_is_asked(models, strength, length, creep, distance, form, seed):
    table = make_hosts(rows=400).genias.events(
        models=models, **FRAME, strength=strength, length=length, creep=creep,
        distance=distance, form=form, seed=seed,
    )  # fmt: skip
    # 40 rows of each host, the last anomaly shortened.
    assert table["length"].max() == length
    assert table.group_by("host").agg(pl.col("length").sum())["length"].is_between(37, 40).all()
    assert table["strength"].to_numpy() == pytest.approx(strength, rel=5e-3)
    assert table["psi"].is_between(1, 64).all()
    assert table["start"].to_list() == table["t_start"].to_list()
