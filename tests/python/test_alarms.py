"""Labels as a promise, and alarms as a table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg

FRAME: dict[str, Any] = {"features": ["cpu", "mem"], "by": "host", "order_by": "time"}
ODD = (700, 711)


def fleet(rows: int = 1000, seed: int = 0, size: float = 4.0) -> pl.DataFrame:
    """Two hosts, a row every five minutes; `cpu` of host b is `size` too high in twelve rows."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)
    frames = []
    for number, host in enumerate("ab"):
        cpu = np.sin(t / 8 + number) + rng.normal(0, 0.1, rows)
        odd = (t >= ODD[0]) & (t <= ODD[1]) & (host == "b")
        times = [datetime(2026, 1, 1) + timedelta(minutes=5 * int(i)) for i in t]
        frames.append(
            pl.DataFrame(
                {
                    "host": [host] * rows,
                    "t": t,
                    "time": times,
                    "cpu": cpu + size * odd,
                    "mem": np.cos(t / 8) + rng.normal(0, 0.1, rows),
                    "odd": odd,
                }
            )
        )
    return pl.concat(frames).sort("t", "host")


@pytest.fixture(scope="module")
def models() -> pl.DataFrame:
    return fleet(seed=1, size=0).genias.fit(**FRAME, detector="evidence", window=64)


def test_a_label_is_as_long_as_the_incident(models):
    out = fleet().genias.label(**FRAME, models=models)
    hit = out.filter("anomaly_label")
    assert set(hit["host"]) == {"b"}
    assert abs(hit["t"].min() - ODD[0]) <= 1
    assert abs(hit["t"].max() - ODD[1]) <= 1
    assert out["anomaly_label"].null_count() == 0


def test_alarms_are_the_rows_that_label_marks(models):
    frame = fleet()
    for options in ({}, {"false_alarm_rate": 0.2, "adapt": "off"}, {"quantile": 0.9}):
        table = frame.genias.alarms(**FRAME, models=models, **options)
        marked = frame.genias.label(**FRAME, models=models, **options).filter("anomaly_label")
        spans = table.with_columns(t=pl.int_ranges("start", pl.col("start") + pl.col("length")))
        rows = spans.explode("t").select("host", "t")
        assert_frame_equal(
            rows, marked.select("host", "t"), check_row_order=False, check_dtypes=False
        )
        assert table.height > 0


def test_the_table_says_what_happened(models):
    table = fleet().genias.alarms(**FRAME, models=models)
    assert table.columns == [
        *("host", "id", "start", "length", "peak", "time_start", "time_end", "time_peak"),
        *("severity", "p", "direction", "features", "shares", "expected", "actual"),
        *("change", "open"),
    ]
    row = table.row(0, named=True)
    assert (table.height, row["host"], row["id"], row["open"]) == (1, "b", 1, False)
    assert row["time_start"] == datetime(2026, 1, 1) + timedelta(minutes=5 * row["start"])
    assert row["features"][0] == "cpu"
    assert row["shares"][0] > 0.9
    assert row["direction"] == "up"
    assert abs(row["actual"] - row["expected"] - 4) < 0.7
    assert row["p"] < 1e-3
    assert row["severity"] == pytest.approx(min(1, -np.log10(max(row["p"], 1e-300)) / 12))


def test_every_way_to_ask_is_the_same(models):
    frame = fleet()
    options = {"false_alarm_rate": 0.01}
    eager = frame.genias.alarms(**FRAME, models=models, **options)
    lazy = frame.lazy().genias.alarms(**FRAME, models=models, **options)
    assert lazy.collect_schema() == eager.schema
    for engine in ("in-memory", "streaming"):
        assert_frame_equal(lazy.collect(engine=engine), eager)
    features = pl.struct("cpu", "mem")
    joined = frame.join(models, on="host")
    grouped = joined.group_by("host", maintain_order=True).agg(
        pg.alarms(features, model="model", order_by="time", **options).alias("alarm")
    )
    grouped = grouped.explode("alarm").drop_nulls("alarm").unnest("alarm")
    assert_frame_equal(grouped, eager, check_row_order=False)
    labels = frame.genias.label(**FRAME, models=models, **options)["anomaly_label"]
    over = joined.select(
        pg.label(features, model="model", order_by="time", **options).over("host").alias("label")
    )
    assert over["label"].to_list() == labels.to_list()


def test_no_alarm_is_a_table_without_rows(models):
    table = fleet(seed=1, size=0).genias.alarms(**FRAME, models=models)
    assert table.height == 0
    assert table.schema["features"] == pl.List(pl.String)


def test_p_values(models):
    out = fleet().genias.score(**FRAME, models=models, as_="pvalue")
    assert out["anomaly_pvalue"].dtype == pl.Float32
    assert out["anomaly_pvalue"].is_between(0, 1).all()
    at = pl.col("t").is_between(*ODD) & (pl.col("host") == "b")
    assert out.filter(at)["anomaly_pvalue"].max() < 0.01
    assert out.filter(~at)["anomaly_pvalue"].median() > 0.1


def test_alarms_per_day(models):
    frame = fleet()
    few = frame.genias.alarms(**FRAME, models=models, alarms_per_day=0.01)
    many = frame.genias.alarms(**FRAME, models=models, alarms_per_day=20)
    assert few["host"].to_list() == ["b"]
    assert many.height > few.height
    with pytest.raises(pl.exceptions.ComputeError, match="alarms_per_day"):
        frame.genias.alarms(**(FRAME | {"order_by": "t"}), models=models, alarms_per_day=1)


def test_updated_models_know_what_they_have_seen(models):
    shift = pl.when(pl.col("t") > 300).then(5).otherwise(0)
    moved = fleet(1600, seed=2).with_columns(pl.col("cpu") + shift)
    today, tomorrow = moved.filter(pl.col("t") < 1000), moved.filter(pl.col("t") >= 1000)
    out = today.genias.label(**FRAME, models=models, update=True)
    assert_frame_equal(out.drop("model"), today.genias.label(**FRAME, models=models))
    new = out.drop_nulls("model").select("host", "model")
    assert new["host"].sort().to_list() == ["a", "b"]
    assert out.drop_nulls("model")["t"].to_list() == [999, 999]
    # The level that moved yesterday is normal today.
    assert not tomorrow.genias.label(**FRAME, models=new)["anomaly_label"].any()
    assert tomorrow.genias.label(**FRAME, models=models)["anomaly_label"].any()
    # Scores come from what was fitted.
    scores = [tomorrow.genias.score(**FRAME, models=table) for table in (new, models)]
    assert_frame_equal(*scores)
    lazy = today.lazy().genias.label(**FRAME, models=models, update=True)
    assert lazy.collect_schema() == out.schema
    assert_frame_equal(lazy.collect(), out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_alarm_rate": 0}, "`false_alarm_rate` = 0"),
        ({"false_alarm_rate": 0.5}, "`false_alarm_rate` = 0.5"),
        ({"alarms_per_day": -1}, "`alarms_per_day` = -1"),
        ({"alarms_per_day": 1, "false_alarm_rate": 0.1}, "given without `false_alarm_rate`"),
        ({"threshold": 2.0, "false_alarm_rate": 0.1}, "given without `false_alarm_rate`"),
        ({"threshold": "pot", "alarms_per_day": 1}, "given without `alarms_per_day`"),
        ({"adapt": "quickly"}, '`adapt` = "quickly"'),
        ({"join": -1}, "`join` = -1"),
        ({"min_rows": 0}, "`min_rows` = 0"),
        ({"cooldown": 1.5}, "`cooldown` = 1.5"),
        ({"min_change": -0.1}, "`min_change` = -0.1"),
    ],
)
def test_bad_options_are_refused_before_any_work(options, message):
    for verb in (pg.label, pg.alarms):
        with pytest.raises(ValueError, match=message):
            verb(fleet(100), **FRAME, **options)


def test_names_that_the_table_has_itself_are_refused():
    frame = fleet(100).rename({"t": "p"})
    with pytest.raises(ValueError, match="`by`: the table of alarms has a column 'p'"):
        frame.genias.alarms(features="cpu", by="p", order_by="time")


def test_one_group_that_fails_leaves_the_others_their_labels(models):
    frame = fleet().with_columns(
        cpu=pl.when((pl.col("host") == "a") & (pl.col("t") == 40)).then(np.inf).otherwise("cpu")
    )
    message = "host = .*a.*: column `cpu` is infinite at row 40"
    for verb in (pg.label, pg.score, pg.alarms):
        with pytest.raises(pl.exceptions.ComputeError, match=message):
            verb(frame, **FRAME, models=models)
    with pytest.warns(UserWarning, match="1 of 2 groups failed, .* null: " + message):
        out = frame.genias.label(**FRAME, models=models, on_error="null")
    assert out.filter(host="a")["anomaly_label"].null_count() == 1000
    clean = fleet().genias.label(**FRAME, models=models)
    assert_frame_equal(out.filter(host="b"), clean.filter(host="b"))
    with pytest.warns(UserWarning, match=message):
        table = frame.genias.fit(**FRAME, detector="evidence", window=64, on_error="null")
    assert table["model"].is_null().to_list() == [True, False]
    with pytest.raises(ValueError, match='`on_error` = "skip"'):
        frame.genias.label(**FRAME, on_error="skip")


def test_a_model_that_cannot_be_read_is_named(models):
    first = pl.col("host") == "a"
    broken = models.with_columns(
        model=pl.when(first).then(pl.lit(b"no model")).otherwise(pl.col("model"))
    )
    with pytest.raises(pl.exceptions.ComputeError, match=r"host = .*a.*: model: "):
        fleet().genias.label(**FRAME, models=broken)
    with pytest.warns(UserWarning, match="1 of 2 groups failed"):
        out = fleet().genias.label(**FRAME, models=broken, on_error="null")
    assert out.group_by("host").agg(pl.col("anomaly_label").null_count()).sort("host")[
        "anomaly_label"
    ].to_list() == [1000, 0]
