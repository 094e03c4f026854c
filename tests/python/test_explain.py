"""Which feature it is, what rows should have been, and rows before the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg

FRAME: dict[str, Any] = {"features": ["cpu", "mem"], "by": "host", "order_by": "t"}
ODD = (700, 711)
DATA = Path(__file__).parents[3] / "shared" / "data"


def fleet(rows: int = 1000, seed: int = 0, size: float = 4.0) -> pl.DataFrame:
    """Two hosts; `mem` of host b is `size` too high in twelve rows."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    frames = []
    for number, host in enumerate("ab"):
        odd = (t >= ODD[0]) & (t <= ODD[1]) & (host == "b")
        values = {
            "cpu": np.sin(t / 8 + number) + rng.normal(0, 0.1, rows),
            "mem": np.cos(t / 8) + rng.normal(0, 0.1, rows) + size * odd,
        }
        frames.append(pl.DataFrame({"host": [host] * rows, "t": t, **values, "odd": odd}))
    return pl.concat(frames).sort("t", "host")


@pytest.fixture(scope="module")
def models() -> pl.DataFrame:
    return fleet(seed=1, size=0).genias.fit(**FRAME, window=64, steps=2)


def test_the_table_of_reasons(models):
    frame = fleet()
    table = frame.genias.explain(**FRAME, models=models)
    assert table.columns == [
        *("host", "id", "start", "length", "peak", "t_start", "t_end", "t_peak", "feature"),
        *("share", "expected", "actual", "evidence", "nearest_start", "nearest_length"),
    ]
    first = table.row(0, named=True)
    assert (first["host"], first["id"], first["feature"]) == ("b", 1, "mem")
    assert first["share"] > 0.9
    assert abs(first["actual"] - first["expected"] - 4) < 0.7
    assert first["evidence"] is not None
    assert 0 <= first["nearest_start"] <= 1000 - first["nearest_length"]
    sums = table.group_by("host", "id").agg(pl.col("share").sum())["share"]
    assert ((sums - 1).abs() < 1e-9).all()
    alarms = frame.genias.alarms(**FRAME, models=models)
    place = ["host", "id", "start", "length", "peak", "t_start", "t_end", "t_peak"]
    assert_frame_equal(table.select(place).unique(maintain_order=True), alarms.select(place))


def test_every_way_to_ask_for_reasons_is_the_same(models):
    frame = fleet()
    options = {"false_alarm_rate": 0.01}
    eager = frame.genias.explain(**FRAME, models=models, **options)
    lazy = frame.lazy().genias.explain(**FRAME, models=models, **options)
    assert lazy.collect_schema() == eager.schema
    for engine in ("in-memory", "streaming"):
        assert_frame_equal(lazy.collect(engine=engine), eager, check_row_order=False)
    grouped = (
        frame.join(models, on="host")
        .group_by("host", maintain_order=True)
        .agg(pg.explain(pl.struct("cpu", "mem"), model="model", order_by="t", **options).alias("r"))
        .explode("r")
        .drop_nulls("r")
        .unnest("r")
    )
    assert_frame_equal(grouped, eager, check_row_order=False)


@pytest.mark.parametrize("verb", ["score", "expect"])
def test_every_way_to_ask_for_rows_is_the_same(models, verb):
    frame = fleet()
    options = {"explain": True, "bounds": 0.9, "as_": "pvalue"} if verb == "score" else {}
    eager = getattr(frame.genias, verb)(**FRAME, models=models, **options)
    lazy = getattr(frame.lazy().genias, verb)(**FRAME, models=models, **options)
    assert lazy.collect_schema() == eager.schema
    for engine in ("in-memory", "streaming"):
        assert_frame_equal(lazy.collect(engine=engine), eager)
    expression = getattr(pg, verb)(pl.struct("cpu", "mem"), model="model", order_by="t", **options)
    over = frame.join(models, on="host", maintain_order="left").select(
        expression.over("host").alias("found")
    )
    new = over.unnest("found")
    ours = eager.select(pl.exclude(frame.columns))
    new = new.rename(dict(zip(new.columns, ours.columns, strict=True)))
    assert_frame_equal(new, ours)


def test_rows_with_reasons(models):
    frame = fleet()
    out = frame.genias.score(**FRAME, models=models, explain=True)
    assert out.columns[len(frame.columns) :] == [
        *("anomaly_score", "cpu_blame", "mem_blame", "anomaly_evidence", "anomaly_nearest")
    ]
    plain = frame.genias.score(**FRAME, models=models)["anomaly_score"]
    assert out["anomaly_score"].equals(plain)
    assert out.filter("odd")["mem_blame"].mean() > 0.9
    sums = out.select(s=pl.sum_horizontal("cpu_blame", "mem_blame"))["s"]
    assert ((sums - 1).abs().min() < 1e-5) and sums.is_between(0, 1 + 1e-5).all()
    # What was added is no feature of the next verb.
    again = out.genias.score(by="host", order_by="t", name="again", models=models)
    assert again["again"].equals(plain)


def test_bounds(models):
    frame = fleet(seed=2)
    out = frame.genias.score(**FRAME, models=models, bounds=0.95)
    new = ["cpu_expected", "cpu_lower", "cpu_upper", "mem_expected", "mem_lower", "mem_upper"]
    assert out.columns[len(frame.columns) :] == ["anomaly_score", *new]
    assert_frame_equal(out.select(new), frame.genias.expect(**FRAME, models=models).select(new))
    odd = out.filter("odd")
    assert (odd["mem"] > odd["mem_upper"]).all()
    assert ((odd["mem_expected"] - (odd["mem"] - 4)).abs() < 2).all()
    normal = out.filter(~pl.col("odd"))
    for name in ("cpu", "mem"):
        inside = normal.select(pl.col(name).is_between(f"{name}_lower", f"{name}_upper").mean())
        assert 0.92 < inside.item() < 0.98
    wide = frame.genias.expect(**FRAME, models=models, bounds=0.99)
    assert (wide["cpu_upper"] >= out["cpu_upper"] - 1e-9).mean() > 0.9


def test_dtypes_and_what_a_feature_can_take():
    rng = np.random.default_rng(0)
    t = np.arange(1200)
    load = 3 + 2 * np.sin(t / 20)
    frame = pl.DataFrame(
        {
            "count": rng.poisson(np.maximum(load, 0)),
            "level": (load + rng.normal(0, 0.1, 1200)).astype(np.float32),
            "same": np.full(1200, 7.5),
        }
    )
    out = frame.genias.expect(window=64)
    kinds = [out.schema[f"{name}_expected"] for name in frame.columns]
    assert kinds == [pl.Float64, pl.Float32, pl.Float64]
    assert out["count_lower"].min() >= 0
    assert (out["same_expected"] == 7.5).all()
    assert (out["same_upper"] - 7.5).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["mean", "variance", "shapelet"])
def test_the_first_feature_is_one_that_was_changed(kind):
    rng = np.random.default_rng(5)
    t = np.arange(3500)
    common = np.stack([np.sin(t / 9), np.cos(t / 23)])
    values = rng.normal(size=(8, 2)) @ common + 0.1 * rng.normal(size=(8, len(t)))
    names = [f"f{i}" for i in range(8)]
    rows = pl.DataFrame(dict(zip(names, values, strict=True)))
    model = rows.head(1500).genias.fit(window=64, steps=2)
    given = {"kind": kind, "feature_share": 0.25, "contamination": 0.1, "length": (20, 40)}
    odd = rows.tail(2000).genias.inject(**given, seed=3)
    masks = odd.select(f"{name}_mask" for name in names).to_numpy()
    new = odd.select(pl.col(f"{name}_synthetic").alias(name) for name in names)
    firsts = new.genias.explain(models=model, false_alarm_rate=0.02).unique("id", keep="first")
    right = []
    for row in firsts.iter_rows(named=True):
        hit = masks[row["start"] : row["start"] + row["length"]].any(axis=0)
        if hit.any():
            right.append(hit[names.index(row["feature"])])
    assert len(right) >= 2
    assert np.mean(right) >= 0.8


def test_the_incidents_of_the_demo():
    rows, at = pg.datasets.demo(), {"by": "host", "order_by": "timestamp"}
    models = rows.genias.fit(**at, label="incident", steps=2)
    table = rows.genias.explain(**at, models=models).filter(pl.col("host") == "web-03")
    first = table.group_by("id").agg(pl.col("feature").head(3))
    hit = rows.filter("incident").select(pl.col("timestamp").alias("timestamp_peak"))
    incidents = table.join(hit, on="timestamp_peak", how="semi")["id"].unique()
    assert len(incidents) == 3
    for features in first.filter(pl.col("id").is_in(incidents.implode()))["feature"]:
        assert set(features) == {"cpu", "latency", "errors"}


@pytest.mark.parametrize("name", ["nab"])
def test_bounds_hold_on_public_series(name):
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip("no shared data here")
    rows = pl.read_parquet(path).filter(pl.col("series").str.contains("nyc_taxi|machine"))
    at = {"features": "value", "by": "series", "order_by": "t"}
    train = rows.filter((pl.col("split") == "train") & ~pl.col("label"))
    models = train.genias.fit(**at, steps=2)
    test = rows.filter(pl.col("split") == "test").genias.expect(**at, models=models)
    normal = test.filter(~pl.col("label"))
    inside = normal.group_by("series").agg(
        pl.col("value").is_between("value_lower", "value_upper").mean()
    )
    assert inside["value"].is_between(0.92, 0.98).all()


def test_history_is_context(models):
    frame = fleet(seed=3)
    before, after = frame.filter(pl.col("t") < 600), frame.filter(pl.col("t") >= 600)
    for verb in ("score", "expect", "label"):
        whole = getattr(frame.genias, verb)(**FRAME, models=models)
        given = {"models": models, "history": before}
        found = getattr(after.genias, verb)(**FRAME, **given)
        assert_frame_equal(found, whole.filter(pl.col("t") >= 600))
        lazy = getattr(after.lazy().genias, verb)(**FRAME, models=models, history=before.lazy())
        assert_frame_equal(lazy.collect(), found)
        last = getattr(frame.sample(fraction=1, shuffle=True, seed=1).genias, verb)(
            **FRAME, models=models, only_last=50
        )
        assert_frame_equal(last.sort("t", "host"), whole.filter(pl.col("t") >= 950))
    # A history of other groups adds none.
    one = after.filter(pl.col("host") == "a")
    assert one.genias.score(**FRAME, models=models, history=before).height == 400


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bounds": 0}, "parameter `bounds`"),
        ({"bounds": 1.0}, "parameter `bounds`"),
        ({"explain": True, "per_feature": True}, "parameter `per_feature`"),
        ({"only_last": 0}, "parameter `only_last`"),
        ({"history": pl.DataFrame({"host": ["a"]})}, "parameter `history`"),
    ],
)
def test_bad_input(models, given, message):
    with pytest.raises((ValueError, pl.exceptions.ComputeError), match=message):
        fleet().genias.score(**FRAME, models=models, **given)


def test_columns_have_no_history():
    with pytest.raises(ValueError, match="parameter `only_last`"):
        pg.score("x", only_last=3)


def test_other_detectors(models):
    table = fleet().genias.explain(**FRAME, models=models, detector="amplitude", quantile=0.99)
    assert table["feature"].null_count() == 0
    assert table["evidence"].null_count() == table.height
    carla = {"detector": "carla", "detector_steps": 5, "steps": 2, "window": 64}
    nets = fleet(400, seed=1, size=0).genias.fit(**FRAME, **carla)
    out = fleet(400).genias.score(**FRAME, models=nets, explain=True)
    assert out["cpu_blame"].is_between(0, 1 + 1e-5).all()
    with pytest.raises(pl.exceptions.ComputeError, match="evidence"):
        fleet(400).genias.expect(**FRAME, models=nets)
