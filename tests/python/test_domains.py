"""Anomalies of values that their features can take."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import FAST
from polars_genias import datasets, demo
from polars_genias._option_types import InjectKind

pytestmark = pytest.mark.once

MODEL = {name: FAST[name] for name in ("steps", "channels", "latent", "batch_size")} | {
    "window": 16
}
ROWS = 1_500


def sorts(rows: int = ROWS) -> pl.DataFrame:
    """A feature of each sort."""
    rng = np.random.default_rng(3)
    wave = np.sin(np.arange(rows) / 9) + 0.1 * rng.standard_normal(rows)
    return pl.DataFrame(
        {
            "percentage": (50 + 45 * wave).clip(0, 100),
            "count": rng.poisson(0.3 + 0.2 * wave.clip(0)).astype(float),
            "flag": wave > 0.9,
            "counter": np.cumsum(rng.poisson(2, rows)),
            "temperature": (200 + 30 * wave).round() / 10,
            "state": np.array([0, 2, 7])[(np.arange(rows) // 40) % 3],
        }
    )


def assert_possible(frame: pl.DataFrame, out: pl.DataFrame) -> None:
    """Every value is one that the feature can take."""
    made = {name: out[f"{name}_synthetic"] for name in frame.columns}
    assert {name: column.dtype for name, column in made.items()} == dict(frame.schema)
    assert made["percentage"].is_between(0, 100).all()
    assert ((made["count"] >= 0) & (made["count"] % 1 == 0)).all()
    assert (made["counter"].diff().drop_nulls() >= 0).all()
    tenths = made["temperature"] * 10
    assert ((tenths - tenths.round()).abs() < 1e-6).all()
    assert set(made["state"]) <= {0, 2, 7}


def put(verb: str, frame: pl.DataFrame, **options: Any) -> pl.DataFrame:
    options["features"] = frame.columns  # a Boolean column is one where it is named
    if verb == "inject":
        return frame.genias.inject(kind=["mean", "trend", "variance", "global"], **options)
    return frame.genias.generate(patch="none", length=(4, 16), **MODEL, **options)


@pytest.mark.parametrize("strength", [None, 2.0, 8.0])
@pytest.mark.parametrize("verb", ["generate", "inject"])
def test_values_of_every_sort_are_possible(verb, strength):
    frame = sorts()
    out = put(verb, frame, contamination=0.3, strength=strength)
    assert out["is_anomaly"].any()
    assert_possible(frame, out)
    for name in ("percentage", "count", "temperature"):
        assert out[f"{name}_mask"].any(), name


def test_strengths_are_met_where_the_domain_allows():
    frame = sorts(6_000).select("percentage", "count", "temperature")
    found = frame.genias.events(
        of="inject", kind="mean", strength=(0.3, 2.0), length=(20, 60), contamination=0.3
    )
    assert found.select(pl.corr("asked", "strength", method="spearman")).item() > 0.95
    near = (found["strength"] / found["asked"] - 1).abs() < 0.2
    assert near.mean() > 0.8
    table = frame.genias.events(contamination=0.3, strength=(0.3, 2.0), length=(8, 16), **MODEL)
    assert table.select(pl.corr("asked", "strength", method="spearman")).item() > 0.95


def test_what_cannot_show_an_anomaly_says_so():
    """A counter that rises by one at a time has no room for a shift."""
    frame = pl.DataFrame({"counter": range(900), "wave": np.sin(np.arange(900) / 5)})
    table = frame.genias.events(of="inject", kind="mean", strength=2.0, count=20, length=30, seed=1)
    assert table["features"].to_list() == [["wave"]] * 20
    assert set(table["unable"].explode().drop_nulls()) == {"counter"}
    free = frame.genias.events(
        of="inject", kind="mean", strength=2.0, count=20, length=30, seed=1, domain="none"
    )
    assert "counter" in set(free["features"].explode())
    assert free["unable"].list.len().sum() == 0


def test_a_count_that_nothing_can_show_is_an_error():
    """A counter that stands still, but for a stretch."""
    frame = pl.DataFrame({"counter": [0] * 60 + list(range(40)) + [40] * 60})
    options = {"kind": "mean", "count": 12, "length": 6}
    with pytest.raises(pl.exceptions.ComputeError, match=r"`count` = 12: must be at most \d+"):
        frame.genias.inject(**options)
    assert frame.genias.inject(**options, domain="none")["anomaly_id"].max() == 12


def test_a_user_has_the_last_word():
    frame = sorts().select("count", "percentage")
    options = {"kind": "mean", "strength": 6.0, "count": 12, "length": 20}
    free = frame.genias.inject(domain="none", **options)
    assert free["percentage_synthetic"].max() > 100
    assert (free["count_synthetic"] % 1 != 0).any()
    halves = {"count": {"min": -2, "step": 0.5}, "percentage": {"max": 70}}
    out = frame.genias.inject(domain=halves, **options)
    assert (out["count_synthetic"] % 0.5 == 0).all()
    assert out.filter("percentage_mask")["percentage_synthetic"].max() <= max(
        70, frame["percentage"].max()
    )
    with pytest.raises(pl.exceptions.ComputeError, match="`domain` = nothing"):
        frame.genias.inject(domain={"nothing": "none"}, **options)
    for bad in ("some", {"count": {"least": 3}}, {"count": {"min": 3, "max": 2}}):
        with pytest.raises(ValueError, match="`domain`"):
            frame.genias.inject(domain=bad, **options)


AT: dict[str, Any] = {
    "features": demo.METRICS,
    "by": "host",
    "order_by": "timestamp",
    "label": "incident",
}
KINDS = sorted({*get_args(InjectKind)} - {"reset", "counter-reset"})
"""Kinds that features of the demo can show: none of them is a counter."""


def beyond_limits(rows: pl.DataFrame, out: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """Generated values that lie outside of what the documentation allows."""
    made = out.join(asked, left_on=["host", "anomaly_id"], right_on=["host", "id"], how="left")
    found = []
    for name in demo.METRICS:
        value = pl.col(name).cast(pl.Float64)
        normal = rows.filter(~pl.col("incident")).group_by("host")
        limits = normal.agg(low=value.min(), high=value.max(), std=value.std(ddof=0)).with_columns(
            width=pl.col("high") - pl.col("low")
        )
        reach = pl.max_horizontal(
            "width", 10 * pl.col("std"), 4 * pl.col("asked").fill_null(0) * pl.col("std")
        )
        changed = made.filter(f"{name}_mask").join(limits, on="host")
        inside = pl.col("made").is_between(
            pl.max_horizontal(0, pl.col("low") - reach), pl.col("high") + reach
        )
        values = changed.with_columns(made=pl.col(f"{name}_synthetic").cast(pl.Float64))
        found.append(
            values.filter(~inside).select("host", "anomaly_id", "made", feature=pl.lit(name))
        )
    return pl.concat(found)


@pytest.mark.parametrize("verb", ["generate", "inject"])
def test_the_demo_holds_nothing_impossible(verb):
    """Default options: errors are whole, nothing is negative, nothing far outside of training."""
    rows = datasets.demo()
    options: dict[str, Any] = {"kind": KINDS, "count": 8} if verb == "inject" else {}
    out = getattr(rows.genias, verb)(**AT, **options)
    assert out["errors_synthetic"].dtype == rows["errors"].dtype == pl.Int64
    assert out["errors_mask"].sum() > 10
    for name in ("cpu", "memory"):
        assert out.filter(f"{name}_mask")[f"{name}_synthetic"].is_between(0, 100).all()
    asked = rows.genias.events(of=verb, **AT, **options).select("host", "id", "asked")
    assert asked.height == out.filter("is_anomaly").n_unique(["host", "anomaly_id"])
    assert beyond_limits(rows, out, asked).is_empty()
    # Where floats count, they are whole all the same.
    floats = rows.with_columns(pl.col("errors").cast(pl.Float32))
    again = getattr(floats.genias, verb)(**AT, **options)
    assert again["errors_synthetic"].to_list() == out["errors_synthetic"].to_list()


def test_a_domain_of_none_shows_what_the_rule_is_for():
    rows = datasets.demo().with_columns(pl.col("errors").cast(pl.Float32))
    out = rows.genias.inject(**AT, kind="mean", strength=3.0, count=8, domain="none")
    errors = out.filter("errors_mask")["errors_synthetic"]
    assert ((errors % 1) != 0).any()
    assert (errors < 0).any()


@st.composite
def features(draw: st.DrawFn) -> pl.Series:
    """A column of some dtype and sort."""
    rows = draw(st.integers(60, 200))
    rng = np.random.default_rng(draw(st.integers(0, 9_999)))
    sort = draw(
        st.sampled_from(["flag", "states", "count", "steps", "positive", "share", "counter"])
    )
    noise = rng.standard_normal(rows)
    values = {
        "flag": (noise > 1).astype(float),
        "states": rng.choice([1.0, 4.0, 6.0], rows),
        "count": rng.poisson(0.7, rows).astype(float),
        "steps": 5 * np.round(4 * noise) + 200,
        "positive": np.exp(noise),
        "share": 1 / (1 + np.exp(-noise)),
        "counter": np.cumsum(rng.poisson(3, rows)).astype(float),
    }[sort]
    whole = sort not in ("positive", "share")
    dtypes: list[Any] = [pl.Float64, pl.Float32]
    if whole:
        dtypes += [pl.Int16, pl.Int64, pl.UInt16, pl.UInt64, pl.Decimal(12, 2)]
    if sort == "flag":
        dtypes += [pl.Boolean, pl.Int8, pl.UInt8]
    dtype = draw(st.sampled_from(dtypes))
    exact = pl.Series(sort, values).cast(pl.Int64) if whole else pl.Series(sort, values)
    return exact.cast(dtype)


def check(column: pl.Series, out: pl.DataFrame, strength: float) -> None:
    sort = column.name
    made, mask = out[f"{sort}_synthetic"], out[f"{sort}_mask"]
    assert made.dtype == column.dtype
    assert mask.to_list() == (made != column).to_list()
    assert not (mask & ~out["is_anomaly"]).any()
    new, old = made.cast(pl.Float64), column.cast(pl.Float64)
    width, std = old.max() - old.min(), old.std(ddof=0)
    reach = max(width, 10 * std, 4 * strength * std) * (1 + 1e-6)
    assert new.is_between(old.min() - reach, old.max() + reach).all()
    if sort in ("flag", "states"):
        assert set(new) <= set(old)
    elif sort == "steps":
        assert (new % 5 == 0).all()
    else:
        assert (new >= 0).all()
    if sort == "count":
        assert (new % 1 == 0).all()
    if sort == "share":
        assert (new <= 1).all()
    if sort == "counter":
        assert (new.diff().drop_nulls() >= 0).all()


@settings(max_examples=40, deadline=None)
@given(features(), st.integers(0, 99), st.floats(0.3, 8.0))
def test_injected_values_are_possible(column, seed, strength):
    kinds = ["mean", "trend", "variance", "global", "extremum", "amplitude", "platform"]
    out = pl.DataFrame(column).genias.inject(
        features=column.name, kind=kinds, count=4, length=6, strength=strength, seed=seed
    )
    check(column, out, strength)


@settings(max_examples=10, deadline=None)
@given(features(), st.integers(0, 99), st.floats(0.3, 8.0))
def test_generated_values_are_possible(column, seed, strength):
    out = pl.DataFrame(column).genias.generate(
        features=column.name, length=6, strength=strength, seed=seed, **(MODEL | {"window": 8})
    )
    check(column, out, strength)
