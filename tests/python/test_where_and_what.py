"""Where anomalies go, how many, which way, on what, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import FAST, make_hosts

BY = {"by": "host", "order_by": "time", "features": ["cpu", "mem"]}
SMALL = {"length": (3, 8)}


def timed(hosts: int = 3, rows: int = 400) -> pl.DataFrame:
    start = datetime(2026, 1, 5)
    time = pl.lit(start) + pl.col("t") * pl.duration(minutes=30)
    return make_hosts(hosts=hosts, rows=rows).with_columns(time=time)


def put(verb: str, frame: Any, **options: Any) -> Any:
    options = BY | options
    if verb == "inject":
        return frame.genias.inject(kind=["level-shift", "noise-burst"], **options)
    return frame.genias.generate(**FAST, **options)


def table(verb: str, frame: Any, **options: Any) -> Any:
    options = BY | options
    if verb == "inject":
        options = {"of": "inject", "kind": ["level-shift", "noise-burst"]} | options
        return frame.genias.events(**options)
    return frame.genias.events(**FAST, **options)


MORNINGS = (pl.col("time").dt.weekday() < 6) & pl.col("time").dt.hour().is_between(6, 11)


@pytest.mark.parametrize("verb", ["inject", "generate"])
def test_as_many_as_asked_over_all_series_where_they_may_be(verb):
    frame = timed()
    events = table(verb, frame, total=30, strength=2.0, where=MORNINGS, **SMALL)
    assert events.height == 30
    assert events["host"].n_unique() == 3
    assert (events["strength"] - 2).abs().max() < 1e-3
    rows = put(verb, frame, total=30, strength=2.0, where=MORNINGS, **SMALL)
    assert rows.filter("is_anomaly").select(MORNINGS.all()).item()
    assert rows.filter("is_anomaly").n_unique(["host", "anomaly_id"]) == 30
    lazy = put(verb, frame.lazy(), total=30, strength=2.0, where=MORNINGS, **SMALL)
    assert_frame_equal(lazy.collect(), rows)
    one = lazy.filter(pl.col("host") == "h1").collect()
    assert_frame_equal(one, rows.filter(host="h1"))
    named = put(verb, frame.with_columns(ok=MORNINGS), total=30, strength=2.0, where="ok", **SMALL)
    assert_frame_equal(named.drop("ok"), rows)
    turned = frame.sort("host", descending=True, maintain_order=True)
    again = table(verb, turned, total=30, strength=2.0, where=MORNINGS, **SMALL)
    assert_frame_equal(again.sort("host", "id"), events.sort("host", "id"))


@pytest.mark.parametrize("verb", ["inject", "generate"])
def test_over_and_group_by_place_as_the_frame_verb(verb):
    frame = timed()
    busy = pl.col("cpu") > pl.col("cpu").quantile(0.3)
    options = {"count": 4, "length": 3, "where": busy}
    whole = put(verb, frame, **(options | {"where": busy.over("host")}))
    column = pl.struct("cpu", "mem").genias
    if verb == "inject":
        options["kind"] = ["level-shift", "noise-burst"]
        expr = column.inject(order_by="time", **options)
    else:
        expr = column.generate(order_by="time", **FAST, **options)
    over = frame.with_columns(expr.over("host", order_by="time").alias("out"))
    assert over["out"].struct.field("anomaly_id").equals(whole["anomaly_id"])
    grouped = frame.group_by("host", maintain_order=True).agg(expr.alias("out")).explode("out")
    assert grouped["out"].struct.field("is_anomaly").equals(whole["is_anomaly"])
    assert whole["is_anomaly"].sum() == 3 * 4 * 3


def test_durations_are_rows_or_times():
    frame = timed()
    for duration in ("2h", timedelta(hours=2), 4):
        events = table("inject", frame, count=3, duration=duration)
        assert events["length"].unique().to_list() == [4]
    events = table("inject", frame, count=5, duration=("1h", "3h"))
    assert set(events["length"]) <= {2, 3, 4, 5, 6}
    with pytest.raises(Exception, match="one temporal `order_by`"):
        table("inject", frame, count=3, duration="2h", order_by="t")


def test_sizes_directions_and_features():
    frame = timed().with_columns(mem=100 * pl.col("mem"))
    rows = put("inject", frame, count=4, size=30.0, direction="down", hit="mem", length=6)
    shifts = rows.filter(pl.col("anomaly_kind") == "level-shift")
    moved = shifts.select(pl.col("mem_synthetic") - pl.col("mem")).to_series()
    assert (moved + 30).abs().max() < 1e-9
    assert not rows["cpu_mask"].any()
    up = put("generate", frame, count=4, strength=1.5, direction="up", hit=["cpu"], length=6)
    change = up.filter("is_anomaly").group_by("host", "anomaly_id")
    means = change.agg((pl.col("cpu_synthetic") - pl.col("cpu")).mean().alias("mean"))["mean"]
    assert (means > 0).all()
    assert not up["mem_mask"].any()


@given(
    contamination=st.floats(0.01, 0.4),
    length=st.integers(1, 60),
    verb=st.sampled_from(["inject", "generate"]),
)
@settings(max_examples=15, deadline=None)
def test_contamination_is_a_promise(contamination, length, verb):
    frame = timed(hosts=1, rows=300).drop("host")
    model = _model(frame)
    at = {"order_by": "time", "features": ["cpu", "mem"]}
    asked = round(300 * contamination)
    if verb == "inject":
        out = frame.genias.inject(
            kind="level-shift", contamination=contamination, length=length, **at
        )
    else:
        length = min(length, FAST["window"])
        out = frame.genias.generate(models=model, contamination=contamination, length=length, **at)
    assert asked - 4 < out["is_anomaly"].sum() <= max(asked, 1)


_MODELS: dict[int, Any] = {}


def _model(frame: pl.DataFrame) -> bytes:
    if frame.height not in _MODELS:
        fitted = frame.genias.fit(
            order_by="time", features=["cpu", "mem"], detector="amplitude", **FAST
        )
        _MODELS[frame.height] = fitted["model"].item()
    return _MODELS[frame.height]


def test_kinds_are_balanced_over_the_fleet():
    kinds = ["level-shift", "ramp", "spike", "pulse", "walk", "dropout", "stuck"]
    events = table("inject", timed(), kind=kinds, total=24, **SMALL)
    counts = events["kind"].value_counts()
    assert set(counts["kind"]) == set(kinds)
    assert set(counts["count"]) <= {3, 4}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "nowhere"}, "`where`"),
        ({"where": pl.col("cpu")}, "`where`: must be one Boolean column"),
        ({"where": pl.col("cpu", "mem") > 0}, "`where`: must be one Boolean column"),
        ({"total": 3, "count": 3}, "`total` = 3"),
        ({"total": 3, "contamination": 0.1}, "`total` = 3"),
        ({"total": 10_000}, "`total` = 10000"),
        ({"duration": "2 parsecs"}, "`duration`"),
        ({"duration": 3, "length": 3}, "without `length`"),
        ({"size": 2, "strength": 2}, "without `strength`"),
        ({"direction": "sideways"}, "`direction`"),
        ({"hit": "disk"}, "`hit` = disk"),
        ({"where": pl.lit(value=False), "count": 1}, "0 fit"),
    ],
)
@pytest.mark.parametrize("verb", ["inject", "generate"])
def test_bad_input(verb, options, said):
    with pytest.raises(Exception, match=said):
        put(verb, timed(), **options)


def test_an_expression_sees_one_series():
    with pytest.raises(ValueError, match="`total`"):
        pl.col("cpu").genias.inject(total=3)
    with pytest.raises(ValueError, match="`total`"):
        pl.col("cpu").genias.generate(total=3)


def test_every_row_is_a_place_where_nothing_is_said():
    frame = timed()
    plain = put("inject", frame, count=3)
    assert_frame_equal(put("inject", frame, count=3, where=pl.lit(value=True)), plain)
    assert pg.events(frame, of="inject", count=3, **BY).height == 9
