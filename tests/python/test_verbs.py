"""Every verb as expression and as frame verb: shapes, types, and what the values mean."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

import polars_genias as pg
from conftest import FAST, both, make_hosts

LABELS = ["is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength"]
HIT = [*LABELS, "cpu_mask", "mem_mask"]


def test_windows_of_a_column_and_of_a_struct(series):
    one = series.select(pg.windows("cpu", 16, 4))["cpu"]
    assert one.dtype == pl.Array(pl.Float32, 16)
    assert len(one) == (160 - 16) // 4 + 1
    expected = series["cpu"].to_numpy()[4:20].astype(np.float32)
    assert np.array_equal(one.to_numpy()[1], expected)
    two = series.select(both().genias.windows(16).alias("w"))["w"]
    assert two.dtype == pl.Array(pl.Float32, (16, 2))
    matrix = series.select("cpu", "mem").to_numpy().astype(np.float32)
    assert np.array_equal(two.to_numpy()[7], matrix[7:23])


def test_windows_follow_the_order_and_keep_nulls():
    frame = pl.DataFrame({"t": [2, 0, 1], "x": [30, 10, None]})
    assert frame.select(pg.windows("x", 3, order_by="t"))["x"].to_list() == [[10.0, None, 30.0]]


def test_generate_of_a_struct(series):
    out = series.select(both().genias.generate(**FAST).alias("g")).unnest("g")
    assert out.columns == ["cpu", "mem", *HIT]
    assert out.schema["anomaly_id"] == pl.UInt32
    hit = out["is_anomaly"]
    assert abs(hit.sum() - 16) <= 16
    assert out["anomaly_id"].is_null().equals(~hit)
    assert out.filter("is_anomaly").select(pl.any_horizontal("cpu_mask", "mem_mask").all()).item()
    for name in ("cpu", "mem"):
        untouched = ~out[f"{name}_mask"]
        assert_series_equal(
            out[name].filter(untouched), series[name].filter(untouched), check_exact=True
        )
        changed = out[name].filter(~untouched) != series[name].filter(~untouched)
        assert changed.sum() >= 0.9 * len(changed)


def test_generate_of_a_column(series):
    out = series.select(pl.col("cpu").cast(pl.Float32).genias.generate(**FAST)).unnest("cpu")
    assert out.columns == ["cpu", *LABELS, "cpu_mask"]
    assert out.schema["cpu"] == pl.Float32


def test_generate_of_a_frame_keeps_the_frame(hosts):
    out = hosts.genias.generate(by="host", order_by="t", label="known", **FAST)
    assert_frame_equal(out.select(hosts.columns), hosts, check_exact=True)
    assert out.columns[len(hosts.columns) :] == ["cpu_synthetic", "mem_synthetic", *HIT]
    assert not out.filter("known")["is_anomaly"].any()
    assert out.group_by("host").agg(pl.col("is_anomaly").sum())["is_anomaly"].min() >= 16


def test_contamination_is_met_to_within_one_anomaly():
    frame = make_hosts(hosts=2, rows=1500)
    out = frame.genias.generate(by="host", length=(3, 9), contamination=0.07, **FAST)
    for (_,), group in out.group_by("host"):
        assert abs(group["is_anomaly"].sum() - 0.07 * 1500) <= 9
        spans = (
            group.filter("is_anomaly")
            .group_by("anomaly_id")
            .agg(rows=pl.len(), span=pl.col("t").max() - pl.col("t").min() + 1)
        )
        assert (spans["rows"] == spans["span"]).all()
        assert spans["rows"].min() >= 3
        assert spans["rows"].max() <= 9
        assert spans["anomaly_id"].max() == spans.height


def test_impossible_contamination_says_what_fits(series):
    with pytest.raises(pl.exceptions.ComputeError, match=r"only \d+ fit"):
        series.genias.generate(features="cpu", contamination=1.0, **FAST)


def test_pairs(hosts, series):
    out = hosts.genias.pairs(
        by="host", order_by="t", features=["cpu", "mem"], window_stride=8, **FAST
    )
    assert out.columns == ["host", "start", "normal", "anomalous", "mask", "kind"]
    assert out.schema["normal"] == pl.Array(pl.Float64, (16, 2))
    assert out.schema["mask"] == pl.Array(pl.Boolean, (16, 2))
    first = out.filter(pl.col("host") == "h0")
    assert first["start"].to_list() == list(range(0, 145, 8))
    normal, anomalous, mask = (first[c].to_numpy() for c in ("normal", "anomalous", "mask"))
    assert np.array_equal(normal[1], series.select("cpu", "mem").to_numpy()[8:24])
    assert np.array_equal(normal[~mask], anomalous[~mask])
    assert (normal[mask] != anomalous[mask]).mean() > 0.9
    assert mask.any(axis=(1, 2)).all()
    one = series.select(pg.pairs("cpu", window_stride=8, **FAST)).unnest("cpu")
    assert one.schema["normal"] == pl.Array(pl.Float64, 16)


def test_pairs_leave_out_groups_without_a_window(hosts):
    short = hosts.filter((pl.col("host") != "h1") | (pl.col("t") < 9))
    out = short.genias.pairs(by="host", features="cpu", window_stride=8, **FAST)
    assert out["host"].unique(maintain_order=True).to_list() == ["h0", "h2"]


def test_score_and_label(series):
    table = series.genias.fit(features=["cpu", "mem"], detector="reconstruction", **FAST)
    assert table.schema == {"model": pl.Binary}
    at = 80
    spiked = series.with_columns(cpu=pl.when(pl.col("t") == at).then(50.0).otherwise("cpu"))
    out = spiked.genias.score(models=table, features=["cpu", "mem"])
    assert out.schema["anomaly_score"] == pl.Float32
    assert out["anomaly_score"].arg_max() == at
    labels = spiked.genias.label(models=table, features=["cpu", "mem"])["anomaly_label"]
    assert labels[at]
    assert labels.mean() < 0.5
    above = spiked.genias.label(models=table, features=["cpu", "mem"], threshold=1e8)
    assert not above["anomaly_label"].any()
    none = spiked.select(
        pg.label(both(), model=table["model"][0], threshold=0.0).alias("all"),
        pg.label(both(), model=table["model"][0], threshold="auto").alias("auto"),
    )
    assert none["all"].all()
    assert_series_equal(none["auto"], labels, check_names=False)


def test_score_of_other_columns_by_mapping(series):
    table = series.genias.fit(features=["cpu", "mem"], **FAST)
    renamed = series.rename({"cpu": "c", "mem": "m"})
    out = renamed.genias.score(models=table, features={"cpu": "c", "mem": "m"})
    expected = series.genias.score(models=table, features=["cpu", "mem"])
    assert_series_equal(out["anomaly_score"], expected["anomaly_score"])


def test_reconstruct_and_embed(series):
    model = series.select(both().genias.fit(**FAST)).item()
    out = series.select(pg.reconstruct(both(), model=model, suffix="_hat").alias("r")).unnest("r")
    assert out.columns == ["cpu_hat", "mem_hat"]
    assert out.null_count().sum_horizontal().item() == 0
    # Beside PCA of four components, so far better than the mean.
    error = (out["mem_hat"] - series["mem"]).pow(2).mean()
    assert error < 0.7 * series["mem"].var()
    latent = series.select(pg.embed(both(), model=model, window_stride=16).alias("z"))["z"]
    assert latent.dtype == pl.Array(pl.Float32, 4)
    assert len(latent) == 10
    assert np.isfinite(latent.to_numpy()).all()


def test_describe(hosts):
    table = hosts.genias.fit(by="host", order_by="t", features=["cpu", "mem"], **FAST)
    about = table.select("host", pg.describe("model").alias("d")).unnest("d")
    assert about["features"].to_list() == [["cpu", "mem"]] * 3
    assert about["window"].to_list() == [16] * 3
    assert (about["psi"] >= 1).all()
    assert about["steps"].to_list() == [8] * 3
    assert (about["seconds"] > 0).all()
    assert about["in_band"].is_between(0, 1).all()
    assert about["patch_rate"].is_between(0, 1).all()
    assert about["history"].list.last().struct.field("step").to_list() == [8] * 3
    known = {"posterior_collapse", "psi_at_one", "patch_inert", "patch_total", "underfit"}
    assert set(about["health"].explode().drop_nulls()) <= known | {"copies_input"}


def test_describe_of_null_and_of_nothing(series):
    nothing = pl.DataFrame({"model": [None]}, schema={"model": pl.Binary})
    assert nothing.select(pg.describe("model").struct.field("psi")).item() is None
    empty = nothing.clear().select(pg.describe("model")).unnest("model")
    assert empty.schema == nothing.select(pg.describe("model")).unnest("model").schema
    lazy = series.lazy().genias.fit(features="cpu", **FAST).select(pg.describe("model"))
    assert lazy.collect_schema() == lazy.collect().schema


@pytest.mark.parametrize("dtype", [pl.Int32, pl.UInt8, pl.Float32, pl.Decimal(12, 3), pl.Boolean])
def test_numeric_types(series, dtype):
    scaled = series.select((pl.col("cpu") * 20 + 60).alias("x"))
    if dtype == pl.Boolean:
        scaled = scaled.select(pl.col("x") > 60)
    frame = scaled.select(pl.col("x").cast(dtype))
    out = frame.genias.generate(features="x", **FAST)
    assert out.schema["x"] == dtype
    assert out.schema["x_synthetic"] == dtype
    same = out.filter(~pl.col("x_mask"))
    assert_series_equal(
        same["x_synthetic"],
        same["x"],
        check_names=False,
        check_exact=True,
    )


def test_strength_is_the_rms_of_the_change(series):
    out = series.genias.generate(features="cpu", strength=2.0, length=8, **FAST)
    hit = out.filter("is_anomaly")
    std = series["cpu"].std(ddof=0)
    change = ((hit["cpu_synthetic"] - hit["cpu"]) / std).pow(2)
    rms = (
        hit.select("anomaly_id", change=change)
        .group_by("anomaly_id")
        .agg(pl.col("change").mean().sqrt())
    )
    assert rms["change"].to_numpy() == pytest.approx(2.0, rel=1e-3)


def test_columns_that_exist_are_not_overwritten(series):
    frame = series.with_columns(is_anomaly=False)
    with pytest.raises(ValueError, match="'is_anomaly' exists already"):
        frame.genias.generate(features="cpu", **FAST)


def test_frame_kind_is_kept(series):
    assert isinstance(series.lazy().genias.generate(features="cpu", **FAST), pl.LazyFrame)
    assert isinstance(series.genias.generate(features="cpu", **FAST), pl.DataFrame)


def test_empty_frame(series):
    empty = series.clear()
    out = empty.genias.generate(features="cpu", **FAST)
    assert out.height == 0
    assert "cpu_synthetic" in out.columns
    assert empty.genias.fit(features="cpu", **FAST)["model"].to_list() == [None]
    assert empty.genias.score(features="cpu", **FAST).height == 0


def test_known_anomalies_are_left_out_of_training(series):
    wild = series.with_columns(cpu=pl.when("known").then(1e6).otherwise("cpu"))
    config = wild.genias.fit(features="cpu", label="known", detector="reconstruction", **FAST)
    score = wild.genias.score(features="cpu", models=config)["anomaly_score"]
    # Scaled by the normal rows, the known anomalies stand out by twelve orders of magnitude.
    assert score.filter(wild["known"]).min() > 1e9
    assert score.filter(~wild["known"] & (wild["t"] < 80)).max() < 1e3


def test_max_gap_splits_windows(series):
    gap = series.with_columns(t=pl.when(pl.col("t") < 50).then("t").otherwise(pl.col("t") + 100))
    args = {"features": "cpu", "order_by": "t", "window_stride": 1, **FAST}
    assert gap.genias.pairs(**args).height == 145
    starts = gap.genias.pairs(max_gap=1, **args)["start"]
    assert starts.to_list() == [*range(35), *range(50, 145)]
