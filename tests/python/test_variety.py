"""Anomalies between features, draws, kinds, distances of shapes, and psi by window, from Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polars_genias as pg
from conftest import FAST

pytestmark = pytest.mark.once

ROWS = 400
ROLES: dict[str, Any] = {"features": ["load", "heat", "other"], "order_by": "t"}


def machine(seed: int = 0, rows: int = ROWS) -> pl.DataFrame:
    """Load and heat go together, `other` with neither."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    load = np.sin(t / 9) + 0.5 * np.cos(t / 23)
    return pl.DataFrame(
        {
            "t": t,
            "load": 50 + 9 * load + rng.normal(0, 0.5, rows),
            "heat": 60 - 4 * load + rng.normal(0, 0.2, rows),
            "other": np.sin(t / 3.1) + rng.normal(0, 0.1, rows),
        }
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"patch": "correlated"}, "patch"),
        ({"patch": "correlation", "strength": 2.0}, "strength"),
        ({"distance": "euclid"}, "distance"),
        ({"draws": 0}, "draws"),
        ({"draws": 2.5}, "draws"),
        ({"noise": "white"}, "noise"),
        ({"kinds": 0}, "kinds"),
        ({"kinds": 65}, "kinds"),
        ({"local": "yes"}, "local"),
    ],
)
def test_bad_options_are_named_where_they_are_written(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"`{named}`"):
        pg.generate("x", **options)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(3, 16))
def test_a_broken_correlation_stays_in_every_range(seed: int, length: int) -> None:
    frame = machine()
    out = pg.generate(
        frame,
        **ROLES,
        patch="correlation",
        contamination=0.3,
        length=length,
        seed=seed,
        **FAST,
    )
    for name in ROLES["features"]:
        hit = out.filter(f"{name}_mask")[f"{name}_synthetic"]
        slack = 1e-5 * (frame[name].max() - frame[name].min())
        assert ((hit >= frame[name].min() - slack) & (hit <= frame[name].max() + slack)).all()
    assert not out["other_mask"].any()
    both = out.filter(pl.col("load_mask") & pl.col("heat_mask"))
    assert both.is_empty()


def test_data_without_a_correlation_says_so() -> None:
    apart = machine().select("t", "load", "other")
    roles = {"features": ["load", "other"], "order_by": "t"}
    out = pg.generate(apart, **roles, patch="correlation", **FAST)
    assert out["is_anomaly"].null_count() == ROWS
    assert out["load_synthetic"].equals(out["load"])
    with pytest.raises(pl.exceptions.ComputeError, match="two features whose reconstructions"):
        pg.generate(apart, **roles, patch="correlation", strict=True, **FAST)
    with pytest.raises(pl.exceptions.ComputeError, match="two features or more"):
        pg.generate(apart, features="load", order_by="t", patch="correlation", **FAST)


def test_groups_with_and_without_a_correlation() -> None:
    flat = machine(1).with_columns(heat=pl.lit(20.0), other=pl.lit(1.0))
    frame = pl.concat(
        [machine().with_columns(host=pl.lit("a")), flat.with_columns(host=pl.lit("b"))]
    )
    out = pg.generate(frame, **ROLES, by="host", patch="correlation", **FAST)
    hit = out.group_by("host", maintain_order=True).agg(pl.col("is_anomaly").any())
    assert hit["is_anomaly"].to_list()[0] is True
    assert out.filter(host="b")["is_anomaly"].null_count() == ROWS


def test_describe_tells_correlation_and_diversity() -> None:
    about = (
        machine()
        .genias.fit(**ROLES, kinds=4, detector="reconstruction", **FAST)  # type: ignore[attr-defined]
        .select(pg.describe("model").alias("about"))
        .unnest("about")
    )
    assert about["correlation"][0] > 0.8
    assert 0 <= about["edi"][0] <= math.log(4)
    alone = pg.fit(machine(), features="load", order_by="t", detector="reconstruction", **FAST)
    about = alone.select(pg.describe("model").struct.field("correlation"))
    assert about.item() is None


def test_clusters_are_numbered_so_that_they_can_be_chosen() -> None:
    options = {**ROLES, "contamination": 0.5, "kinds": 3, **FAST}
    table = pg.events(machine(rows=1600), **options)
    assert table["cluster"].null_count() == 0
    assert {1} < set(table["cluster"]) <= {1, 2, 3}
    out = pg.generate(machine(rows=1600), **options).filter("is_anomaly")
    rows = out.join(table, left_on="anomaly_id", right_on="id")
    assert rows.height == out.height
    assert set(rows["kind"]) == set(rows["anomaly_kind"]) == {"residual"}


@pytest.mark.parametrize("distance", ["normal", "rms", "l2", "dtw", "sbd"])
def test_every_distance_has_a_threshold_of_its_own(distance: str) -> None:
    model = pg.fit(machine(), **ROLES, detector="reconstruction", **FAST)
    given = {"models": model, **ROLES, "contamination": 0.4, "distance": distance}
    out = pg.generate(machine(), **given)
    hit = sum(out[f"{name}_mask"].sum() for name in ROLES["features"])
    all_of_them = pg.generate(machine(), **given, tau=0.0)
    assert 0 < hit < sum(all_of_them[f"{name}_mask"].sum() for name in ROLES["features"])


def test_draws_and_local_models_are_reproducible() -> None:
    model = pg.fit(machine(), **ROLES, local=True, detector="reconstruction", **FAST)
    for options in ({"draws": 4}, {"draws": 2, "noise": "independent"}, {"noise": "stratified"}):
        given = {"models": model, **ROLES, "contamination": 0.4, **options}
        assert pg.generate(machine(), **given).equals(pg.generate(machine(), **given))
