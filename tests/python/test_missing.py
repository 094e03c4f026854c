"""Nulls inside windows, and wild values in training, through Polars."""

import warnings
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

import polars_genias as pg

FIT = {"window": 64, "steps": 20, "channels": 8, "latent": 8}
QUICK = {**FIT, "detector": "reconstruction"}


def waves(rows: int, columns: int, missing: np.ndarray | None = None) -> pl.DataFrame:
    """Waves with noise; null (or NaN, in every second column) where `missing` says."""
    rng = np.random.default_rng(0)
    t = np.arange(rows)
    frame = {"t": t}
    for i in range(columns):
        frame[f"c{i}"] = np.sin(2 * np.pi * t / (20 + i)) + 0.1 * rng.standard_normal(rows)
    out = pl.DataFrame(frame)
    if missing is None:
        return out
    gone = [pl.Series(missing[:, i]) for i in range(columns)]
    return out.with_columns(
        pl.when(gone[i]).then(float("nan") if i % 2 else None).otherwise(f"c{i}").alias(f"c{i}")
        for i in range(columns)
    )


def null_rows(frame: pl.DataFrame) -> pl.Series:
    columns = [pl.col(name) for name in frame.columns if name.startswith("c")]
    return frame.select(pl.any_horizontal(c.is_null() | c.is_nan() for c in columns)).to_series()


def patterns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    block = np.zeros((1200, 5), bool)
    block[700:790, 2] = True
    bursts = np.zeros((1200, 5), bool)
    for start in range(50, 1150, 110):
        bursts[start : start + 3] = True
    return {
        "sporadic": rng.random((1200, 5)) < 0.01,
        "two in a hundred": rng.random((1200, 5)) < 0.02,
        "one column": np.pad(rng.random((1200, 1)) < 0.05, ((0, 0), (4, 0))),
        "block": block,
        "bursts": bursts,
    }


@pytest.mark.parametrize("pattern", patterns())
@pytest.mark.parametrize("columns", [1, 5])
def test_nulls_cost_their_own_rows(pattern, columns):
    frame = waves(1200, columns, patterns()[pattern][:, -columns:])
    models = frame.head(800).genias.fit(order_by="t", **QUICK)
    assert models["model"].null_count() == 0
    labelled = frame.genias.label(order_by="t", models=models)
    scored = frame.genias.score(order_by="t", models=models)
    assert (labelled["anomaly_label"].is_null() == null_rows(frame)).all()
    assert (scored["anomaly_score"].is_null() == null_rows(frame)).all()


def test_no_share_leaves_windows_with_nulls_out():
    frame = waves(1200, 1, patterns()["two in a hundred"][:, :1])
    scored = frame.genias.score(order_by="t", max_null=0, **QUICK)["anomaly_score"]
    assert scored.null_count() > 1.5 * null_rows(frame).sum()


def test_a_model_remembers_its_share():
    frame = waves(600, 1)
    models = frame.genias.fit(order_by="t", max_null=0, **QUICK)
    holed = frame.with_columns(c0=pl.when(pl.col("t") % 40 == 0).then(None).otherwise("c0"))
    assert holed.genias.score(order_by="t", models=models)["anomaly_score"].is_null().all()
    models = frame.genias.fit(order_by="t", **QUICK)
    scored = holed.genias.score(order_by="t", models=models)["anomaly_score"]
    assert scored.null_count() == 15


def test_complete_rows_do_not_depend_on_the_share():
    frame = waves(500, 2)
    none, some = (frame.genias.score(order_by="t", max_null=share, **QUICK) for share in (0, 0.3))
    assert none.equals(some)
    none, some = (frame.genias.generate(order_by="t", max_null=share, **FIT) for share in (0, 0.3))
    assert none.equals(some)


@pytest.mark.parametrize("share", [1, -0.1, "few"])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(ValueError, match="max_null"):
        waves(100, 1).genias.fit(max_null=share)


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int32])
def test_nulls_come_back_from_generate(dtype):
    missing = patterns()["two in a hundred"]
    frame = waves(1200, 3, missing[:, :3]).with_columns(
        (pl.col(f"c{i}").fill_nan(None) * 100).cast(dtype) for i in range(3)
    )
    for form in ("residual", "decoded", "deformed"):
        out = frame.genias.generate(order_by="t", form=form, **FIT)
        assert out["is_anomaly"].sum() > 60
        for i in range(3):
            null = out[f"c{i}"].is_null()
            assert (out[f"c{i}_synthetic"].is_null() == null).all()
            assert not out[f"c{i}_mask"].filter(null).any()
            assert out[f"c{i}_synthetic"].is_nan().sum() == 0


def test_groups_without_a_model_are_named():
    """Every fifth value of two hosts is null."""
    frame = pl.concat(
        waves(300, 1).with_columns(host=pl.lit(f"web-{i}"), rack=pl.lit(i)) for i in range(4)
    )
    holed = frame.with_columns(
        c0=pl.when((pl.col("t") % 5 == 0) & (pl.col("rack") < 2)).then(None).otherwise("c0")
    )
    at = {"features": "c0", "by": ["host", "rack"], "order_by": "t"}
    text = "no model for host = web-0, rack = 0; host = web-1, rack = 1: .*`max_null` = 0.1"
    with pytest.warns(UserWarning, match=text):
        models = holed.genias.fit(**at, **QUICK)
    assert models["model"].is_null().to_list() == [True, True, False, False]
    with pytest.warns(UserWarning, match=text):
        holed.lazy().genias.score(**at, **QUICK).collect()
    with pytest.warns(UserWarning, match="no model for a series"):
        holed.head(300).select(pl.col("c0").genias.fit(**QUICK))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame.genias.fit(**at, **QUICK)
        with pytest.raises(pl.exceptions.ComputeError, match="no model for"):
            holed.genias.fit(**at, **QUICK)


@pytest.mark.parametrize("wild", [1e12, -1e9, 1e300])
@pytest.mark.parametrize("rows", [[300], [40, 41, 300]])
def test_wild_values_are_named_and_left_out(wild, rows):
    frame = waves(700, 2).with_columns(
        c0=pl.when(pl.col("t").is_in(rows)).then(wild).otherwise("c0")
    )
    models = frame.genias.fit(order_by="t", **(QUICK | {"steps": 100}))
    about = models.select(pg.describe("model")).unnest("model")
    assert "wild_values" in about["health"][0]
    moved = waves(700, 2).with_columns(
        c0=pl.when(pl.col("t").is_between(400, 430)).then(pl.col("c0") + 10).otherwise("c0")
    )
    labels = moved.genias.label(order_by="t", models=models)
    assert labels.filter(pl.col("t").is_between(400, 430))["anomaly_label"].sum() > 16


def test_ordinary_values_are_not_named():
    models = waves(700, 2).genias.fit(order_by="t", **QUICK)
    about = models.select(pg.describe("model")).unnest("model")
    assert "wild_values" not in about["health"][0]


def test_jumps_in_time_and_nulls_together():
    missing = patterns()["sporadic"]
    start = datetime(2026, 1, 1)
    frame = waves(1200, 2, missing[:, :2]).with_columns(
        t=pl.lit(start) + pl.duration(minutes=pl.col("t") + 600 * (pl.col("t") >= 640))
    )
    scored = frame.genias.score(order_by="t", max_gap=timedelta(minutes=5), **QUICK)
    assert (scored["anomaly_score"].is_null() == null_rows(frame)).all()
