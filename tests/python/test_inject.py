"""Classical anomalies as columns."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import both, make_hosts
from polars_genias._options import InjectKind

ARGS = {"by": "host", "order_by": "t", "features": ["cpu", "mem"], "count": 4, "length": (3, 12)}
KINDS = sorted({*get_args(InjectKind)} - {"reset", "counter-reset"})


def same(a: pl.DataFrame, b: pl.DataFrame) -> None:
    assert_frame_equal(a, b, check_exact=True)


def injected(frame: pl.DataFrame, **options) -> pl.DataFrame:
    return frame.genias.inject(**{**ARGS, "kind": KINDS, "label": "known", **options})


def test_labels_ids_kinds_and_masks_agree(hosts):
    out = injected(hosts)
    assert out.columns[len(hosts.columns) :] == [
        "cpu_synthetic",
        "mem_synthetic",
        "is_anomaly",
        "anomaly_id",
        "anomaly_kind",
        "anomaly_strength",
        "cpu_mask",
        "mem_mask",
    ]
    same(out.select(hosts.columns), hosts)
    assert not out.filter("known")["is_anomaly"].any()
    assert out["is_anomaly"].equals(out["anomaly_id"].is_not_null(), check_names=False)
    assert out["is_anomaly"].equals(out["anomaly_kind"].is_not_null(), check_names=False)
    changed = out["cpu_mask"] | out["mem_mask"]
    assert not (changed & ~out["is_anomaly"]).any()
    # The value that takes the place of another may be equal.
    assert (out["is_anomaly"] & ~changed).sum() <= 0.1 * out["is_anomaly"].sum()
    for name in ("cpu", "mem"):
        moved = out[name].ne_missing(out[f"{name}_synthetic"])
        assert not (moved & ~out[f"{name}_mask"]).any()
    spans = out.drop_nulls("anomaly_id").group_by("host", "anomaly_id")
    spans = spans.agg(pl.col("anomaly_kind").n_unique(), rows=pl.len(), first=pl.col("t").min())
    assert (spans["anomaly_kind"] == 1).all()
    assert spans.group_by("host").len()["len"].to_list() == [4, 4, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_by_name(hosts, kind):
    out = injected(hosts, kind=kind)
    assert out["anomaly_kind"].drop_nulls().unique().to_list() == [kind]
    moved = pl.any_horizontal(
        pl.col(n).ne_missing(pl.col(f"{n}_synthetic")) for n in ("cpu", "mem")
    )
    by_anomaly = out.filter("is_anomaly").group_by("host", "anomaly_id").agg(moved.sum() > 0)
    assert by_anomaly["cpu"].all()
    assert by_anomaly.height == 12


def test_lazy_is_eager_and_over_is_by(hosts):
    frame = injected(hosts)
    lazy = hosts.lazy().genias.inject(**ARGS, kind=KINDS, label="known")
    for engine in ("streaming", "in-memory"):
        same(lazy.collect(engine=engine), frame)
    chunked = pl.concat([hosts[i : i + 7] for i in range(0, hosts.height, 7)], rechunk=False)
    same(injected(chunked), frame)
    options = {key: ARGS[key] for key in ("count", "length")}
    verb = both().genias.inject(kind=KINDS, label="known", suffix="_synthetic", **options)
    over = hosts.with_columns(verb.over("host", order_by="t").alias("g")).unnest("g")
    same(over, frame)
    alone = [injected(part) for part in hosts.reverse().partition_by("host")]
    same(pl.concat(alone).sort("host", "t"), frame)


def test_parquet_in_and_out(hosts, tmp_path):
    hosts.write_parquet(tmp_path / "in.parquet", row_group_size=50)
    query = pl.scan_parquet(tmp_path / "in.parquet").genias.inject(
        **ARGS, kind=KINDS, label="known"
    )
    pg.sink_parquet(query, tmp_path / "out.parquet")
    same(pl.read_parquet(tmp_path / "out.parquet"), injected(hosts))


def test_expression_of_one_column_keeps_its_float_type(series):
    out = series.select(pl.col("cpu").cast(pl.Float32).genias.inject(kind="trend", count=2))
    fields = out["cpu"].struct.unnest()
    labels = ["is_anomaly", "anomaly_id", "anomaly_kind", "anomaly_strength"]
    assert fields.columns == ["cpu", *labels, "cpu_mask"]
    assert fields["cpu"].dtype == pl.Float32
    assert fields["anomaly_id"].max() == 2


def test_nulls_gaps_and_empty_groups_are_left_alone():
    hosts = make_hosts(hosts=2).with_columns(
        cpu=pl.when(pl.col("t") % 20 == 7).then(None).when(host="h0").then("cpu")
    )
    out = injected(hosts, kind=["mean", "seasonal"])
    assert out.filter(pl.col("cpu").is_null())["cpu_synthetic"].is_null().all()
    assert not out.filter(pl.col("cpu").is_null())["is_anomaly"].any()
    assert out.filter(host="h1")["is_anomaly"].is_null().all()
    assert out.filter(host="h0")["is_anomaly"].sum() > 0
    with pytest.raises(pl.exceptions.ComputeError, match="none of the 160 rows"):
        injected(hosts, kind="mean", strict=True)
    # Segments of ten rows, and time jumps every ten: each fills a stretch.
    stretches = make_hosts(hosts=1).with_columns(t=pl.col("t") + pl.col("t") // 10 * 100)
    out = injected(stretches, kind="mean", max_gap=1, length=10)
    starts = out.filter("is_anomaly").group_by("anomaly_id").agg(pl.col("t").min())
    assert (starts["t"] % 110 == 0).all()


def test_strength_is_in_deviations_of_each_group(hosts):
    scaled = hosts.with_columns(cpu=pl.when(host="h1").then(pl.col("cpu") * 1000).otherwise("cpu"))
    scaled = scaled.drop("known")
    out = scaled.genias.inject(
        kind="mean", strength=2, count=3, by="host", order_by="t", features="cpu"
    )
    shift = (pl.col("cpu_synthetic") - pl.col("cpu")).abs() / pl.col("cpu").std(ddof=0).over("host")
    np.testing.assert_allclose(out.select(shift).filter(out["is_anomaly"])["cpu_synthetic"], 2.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "spikes"}, '`kind` = "spikes": must be one or several of "global"'),
        ({"kind": []}, r"`kind` = \[\]"),
        ({"contamination": 0}, "`contamination` = 0"),
        ({"contamination": 0.1, "count": 3}, "given without `contamination`"),
        ({"count": 0}, "`count` = 0"),
        ({"count": 1.5}, "`count` = 1.5"),
        ({"length": (9, 3)}, r"`length` = \(9, 3\)"),
        ({"strength": 0}, "`strength`"),
        ({"strength": float("inf")}, "`strength` = inf"),
        ({"factor": 1}, "`factor`"),
        ({"factor": 2, "kind": "mean"}, "`factor` = 2.0: must be left out with `kind` = .*pattern"),
        ({"shift": 3}, 'it is an option of "pattern-shift"'),
        ({"feature_share": 2}, "`feature_share` = 2"),
        ({"max_gap": 3}, "`max_gap`"),
        ({"window": 100}, "`window` = 100: must be left out of `inject`"),
        ({"seed": -1}, "`seed` = -1"),
    ],
)
def test_bad_options_are_named_at_once(series, options, text):
    for data in (pl.col("cpu"), series, series.lazy()):
        with pytest.raises(ValueError, match=text):
            pg.inject(data, **options)


def test_what_does_not_fit_or_exist_is_an_error(series):
    with pytest.raises(pl.exceptions.ComputeError, match="`count` = 9 needs 9 anomalies"):
        series.genias.inject(features="cpu", count=9, length=40)
    with pytest.raises(pl.exceptions.ComputeError, match="another kind for a single feature"):
        series.genias.inject(features="cpu", kind="mode-correlation")
    with pytest.raises(ValueError, match="'cpu_mask' exists already"):
        series.with_columns(cpu_mask=True).genias.inject(features="cpu")
    with pytest.raises(ValueError, match="`features` = 'nope'"):
        series.genias.inject(features="nope")


@pytest.mark.parametrize(
    "dtype", [pl.Int16, pl.UInt64, pl.Float32, pl.Float64, pl.Boolean, pl.Decimal(12, 2)]
)
def test_missing_stretches(dtype):
    rows = pl.select(t=pl.int_range(300), x=(pl.int_range(300) % 2).cast(dtype)).with_columns(
        x=pl.when(pl.col("t") != 100).then("x")
    )
    options = {"features": "x", "order_by": "t", "length": 20, "count": 4}
    out = rows.genias.inject(kind="missing", **options)
    assert out["x_synthetic"].dtype == dtype
    assert out.filter("is_anomaly")["x_synthetic"].null_count() == 80
    assert out.filter(~pl.col("is_anomaly"))["x_synthetic"].equals(
        out.filter(~pl.col("is_anomaly"))["x"], check_names=False
    )
    assert out["x_mask"].equals(out["is_anomaly"] & out["x"].is_not_null(), check_names=False)
    events = rows.genias.events(of="inject", kind="missing", **options)
    assert events["features"].to_list() == [["x"]] * 4
    assert events["strength"].to_list() == [0.0] * 4
    with pytest.raises(ValueError, match="rows without them have no scores"):
        rows.lazy().genias.sensitivity(features="x", order_by="t", kind="missing-stretch")


def test_every_kind_and_option_is_explained():
    text = (Path(__file__).parents[2] / "docs" / "inject.md").read_text()
    for name in [*KINDS, *pg.InjectOptions.__annotations__]:
        assert f"`{name}`" in text, name
