"""Generated anomalies of kinds that are asked for by name."""

from __future__ import annotations

from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from conftest import FAST, make_hosts
from polars_genias._options import GenerateKind, InjectKind

AT: dict[str, Any] = {"by": "host", "order_by": "t", "features": ["cpu", "mem"]}
MIX = ["residual", "walk", "texture", "level-shift", "spike", "missing"]
NEEDY = {"correlation", "constant", "reset", "counter-reset"}
"""Kinds that need features of a sort that these hosts lack."""


def counts(frame: pl.DataFrame) -> dict[str, int]:
    anomalies = frame.filter("is_anomaly").unique(["host", "anomaly_id"])
    return dict(anomalies["anomaly_kind"].value_counts().iter_rows())


def test_names_are_those_of_the_model_and_of_inject():
    names = get_args(GenerateKind)
    assert len(set(names)) == len(names)
    assert set(get_args(InjectKind)) < set(names)
    assert {"residual", "decoded", "hold", "texture", "correlation", "constant"} <= set(names)


def test_all_verbs_and_contexts_make_the_same():
    frame = make_hosts(rows=400)
    options: dict[str, Any] = {"kind": MIX, "count": 13, "length": (3, 8)} | FAST
    whole = frame.genias.generate(**AT, **options)
    found = counts(whole)
    assert set(found) == set(MIX)
    assert sum(found.values()) == 3 * 13
    for _, host in whole.group_by("host"):
        assert set(counts(host).values()) == {2, 3}
    events = frame.genias.events(**AT, **options)
    assert dict(events["kind"].value_counts().iter_rows()) == found
    assert_frame_equal(frame.lazy().genias.generate(**AT, **options).collect(), whole)
    expr = pl.struct("cpu", "mem").genias.generate(order_by="t", **options)
    over = frame.with_columns(expr.over("host", order_by="t").alias("out"))
    grouped = frame.group_by("host", maintain_order=True).agg(expr.alias("out")).explode("out")
    for made in (over, grouped):
        for name in ("anomaly_kind", "anomaly_id", "anomaly_strength"):
            assert made["out"].struct.field(name).equals(whole[name])
        assert made["out"].struct.field("cpu").equals(whole["cpu_synthetic"])
    turned = frame.reverse().genias.generate(**AT, **options)
    assert_frame_equal(turned.reverse(), whole)


def test_kinds_are_balanced_over_all_groups():
    frame = make_hosts(rows=400)
    total = frame.genias.generate(kind=MIX, total=31, length=(3, 8), **AT, **FAST)
    found = counts(total)
    assert sorted(found.values()) == [5, 5, 5, 5, 5, 6]
    pairs = frame.genias.pairs(kind=MIX, window_stride=40, length=(3, 8), **AT, **FAST)
    for (_,), host in pairs.group_by("host"):
        dealt = host["kind"].value_counts()["count"]
        assert dealt.len() == len(MIX)
        assert dealt.max() - dealt.min() <= 1


@given(
    kinds=st.lists(
        st.sampled_from(sorted({*get_args(GenerateKind)} - NEEDY)),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    count=st.integers(1, 14),
    seed=st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
def test_every_kind_is_within_one_of_its_share_and_in_the_domain(kinds, count, seed):
    frame = _typed()
    options: dict[str, Any] = {"kind": kinds, "count": count, "length": (2, 7), "seed": seed}
    out = frame.genias.generate(models=_model(), features=["cpu", "mem", "hits", "up"], **options)
    ids = out.filter("is_anomaly").unique("anomaly_id")
    assert ids.height == count
    dealt = ids["anomaly_kind"].value_counts()["count"]
    assert dealt.len() == min(count, len(kinds))
    assert dealt.max() - dealt.min() <= 1
    for name in ("cpu", "mem", "hits", "up"):
        assert out[f"{name}_synthetic"].dtype == frame[name].dtype
    assert out["hits_synthetic"].min() >= 0
    calm = out.filter(~pl.col("is_anomaly"))
    assert calm["hits_synthetic"].equals(calm["hits"])


def _typed() -> pl.DataFrame:
    frame = make_hosts(hosts=1, rows=400)
    return frame.with_columns(
        hits=(10 * pl.col("cpu")).round().abs().cast(pl.UInt8), up=pl.col("mem") > 0
    )


MODELS: list[bytes] = []


def _model() -> bytes:
    if not MODELS:
        MODELS.append(
            _typed().genias.fit(features=["cpu", "mem", "hits", "up"], **FAST)["model"][0]
        )
    return MODELS[0]


def test_what_nothing_can_show_is_said():
    frame = make_hosts(hosts=1)
    model = frame.genias.fit(features="cpu", **FAST)["model"][0]
    for kind, text in (
        ("correlation", "used with two features or more"),
        ("constant", "constant in training"),
        ("reset", "no feature is a counter"),
    ):
        with pytest.raises(pl.exceptions.ComputeError, match=text):
            frame.genias.generate(features="cpu", models=model, kind=["residual", kind])
    nulls = frame.genias.generate(
        features="cpu", models=model, kind="correlation", on_error="null", by="host"
    )
    assert nulls["is_anomaly"].is_null().all()


def test_kind_is_an_option_of_the_command_line(tmp_path):
    from polars_genias.cli import main

    rows, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    make_hosts(rows=400).write_parquet(rows)
    options = (
        "--features cpu,mem --by host --order-by t --window 16 --steps 5 --count 6 --length 3:8"
    )
    words = ["--kind", "walk,level-shift", *options.split()]
    assert not main(["generate", str(rows), str(out), *words])
    found = counts(pl.read_parquet(out))
    assert found == {"walk": 9, "level-shift": 9}
