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
    frame = fleet(seed=1, size=0)
    table = frame.genias.alarms(**FRAME, models=models, false_alarm_rate=0.001)
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
    weak = pl.col("t").is_between(300, 311) & (pl.col("host") == "a")
    frame = fleet().with_columns(cpu=pl.col("cpu") + 0.35 * weak)
    few = frame.genias.alarms(**FRAME, models=models, alarms_per_day=0.001)
    many = frame.genias.alarms(**FRAME, models=models, alarms_per_day=20)
    assert few["host"].to_list() == ["b"]
    assert set(many["host"]) == {"a", "b"}
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


REACH = 123
"""1.5 of the largest windows of `models`: labels of as many rows at the end of a day may change."""


def changing(day: int) -> pl.DataFrame:
    """Four days: incidents of host a, one of them over midnight, and a level that moves."""
    t = pl.col("t")
    odd = [(150, 170), (640, 655), (795, 806), (1060, 1072), (1500, 1520)]
    hit = pl.any_horizontal(*(t.is_between(*rows) for rows in odd)) & (pl.col("host") == "a")
    frame = fleet(4 * day, seed=3, size=0)
    return frame.with_columns(cpu=pl.col("cpu") + 3 * hit + 3 * (t > 840))


def test_day_by_day_gives_what_one_pass_gives(models):
    """With enough history: the same models, and the same labels but for the last rows of a day."""
    day, t = 400, pl.col("t")
    frame = changing(day)
    whole = frame.genias.label(**FRAME, models=models, update=True)
    daily, revised, current = [], [], models
    for start in range(0, 4 * day, day):
        today = frame.filter(t.is_between(start, start + day - 1))
        before = frame.filter(t < start)
        given = {"history": before} if start else {}
        out = today.genias.label(**FRAME, models=current, update=True, **given)
        # The same rows with those that the last labels were not final of.
        again = frame.filter(t < start + day).genias.label(**FRAME, models=current, update=True)
        current = out.drop_nulls("model").select("host", "model")
        same = again.drop_nulls("model").select("host", "model")
        assert_frame_equal(same, current, check_row_order=False)
        daily.append(out.drop("model"))
        revised.append(again.select("host", "t", "anomaly_label").drop_nulls())
    expected = whole.drop_nulls("model").select("host", "model")
    assert_frame_equal(current, expected, check_row_order=False)
    whole = whole.drop("model")
    # A row that is labelled again has its last label.
    last = pl.concat(revised).group_by("host", "t", maintain_order=True).last()
    assert_frame_equal(
        last.sort("t", "host"), whole.select("host", "t", "anomaly_label").sort("t", "host")
    )
    rows = pl.concat(daily).join(whole, on=["host", "t"], suffix=" of one pass", validate="1:1")
    differ = rows.filter(pl.col("anomaly_label").ne_missing(pl.col("anomaly_label of one pass")))
    assert (differ["t"] % day >= day - REACH).all()
    assert differ.height <= 30
    # Every incident is found on its day, and the level that moves.
    for of in (pl.concat(daily), whole):
        starts = [start for start, _ in runs_of(of)]
        for known in (150, 640, 795, 1500, 841):
            assert any(abs(start - known) <= 5 for start in starts), (known, starts)
        assert len(starts) <= 7
    # Without what the models have seen, the level that moved is new every day.
    forgetful = frame.filter(t >= 3 * day).genias.label(**FRAME, models=models)
    assert len(runs_of(forgetful)) > 1


def test_days_without_history_are_followed_all_the_same(models):
    """Rows that do not come again count with the scores that they had."""
    frame, current = changing(400), models
    for start in range(0, 1600, 400):
        today = frame.filter(pl.col("t").is_between(start, start + 399))
        out = today.genias.label(**FRAME, models=current, update=True)
        assert out["anomaly_label"].null_count() == 0
        current = out.drop_nulls("model").select("host", "model")
    # The level that moved on the third day is normal on the last one.
    assert out.filter(host="b")["anomaly_label"].mean() < 0.05


def runs_of(labels: pl.DataFrame) -> list[tuple[int, int]]:
    """First row and end of every run of labelled rows, host after host."""
    found = []
    for _, rows in labels.sort("host", "t").group_by("host", maintain_order=True):
        flags = np.concatenate([[0], rows["anomaly_label"].fill_null(value=False), [0]])
        edges = np.flatnonzero(np.diff(flags.astype(int)))
        found += [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return found


def hosts(count: int, broken: int) -> pl.DataFrame:
    """Hosts of 600 rows: incidents of 12 rows on the first `broken` ones, weak ones on 3 more."""
    frames = []
    for number in range(count):
        rows = fleet(600, seed=100 + number, size=0).filter(host="a")
        size = 4 if number < broken else 0.25 if number < broken + 3 else 0
        cpu = pl.col("cpu") + size * pl.col("t").is_between(400, 411)
        frames.append(rows.with_columns(cpu, host=pl.lit(f"h{number:02}")))
    return pl.concat(frames)


def test_one_budget_for_the_fleet(models):
    model = models.filter(host="a")["model"][0]
    frame = hosts(12, 3)
    at = {**FRAME, "models": model, "false_alarm_rate": 0.02}
    each = frame.genias.alarms(**at)
    fleet_wide = frame.genias.alarms(**at, budget="fleet", false_groups=0.01)
    # Each on its own, hosts with a weak incident have an alarm. Among twelve, it is no surprise.
    assert each["host"].n_unique() > 3
    assert set(fleet_wide["host"]) == {"h00", "h01", "h02"}
    kept = each.join(fleet_wide.select("host").unique(), on="host", how="semi")
    assert_frame_equal(fleet_wide, kept)
    labels = frame.genias.label(**at, budget="fleet", false_groups=0.01)
    assert labels["anomaly_label"].null_count() == 0
    marked = labels.filter("anomaly_label").group_by("host").len().sort("host")
    rows = fleet_wide.group_by("host").agg(pl.col("length").sum().alias("len")).sort("host")
    assert_frame_equal(marked, rows, check_dtypes=False)
    # A condition on the keys does not change what the fleet is, and neither do batches.
    lazy = frame.lazy().genias.alarms(**at, budget="fleet", false_groups=0.01)
    one = lazy.filter(host="h01").collect()
    assert_frame_equal(one, fleet_wide.filter(host="h01"))


def test_a_fleet_does_not_depend_on_batches(models, monkeypatch):
    model = models.filter(host="a")["model"][0]
    frame = hosts(6, 1).lazy()
    at = {
        **FRAME,
        "models": model,
        "false_alarm_rate": 0.02,
        "budget": "fleet",
        "false_groups": 0.01,
    }
    whole = frame.genias.alarms(**at).collect()
    monkeypatch.setenv("GENIAS_MEMORY_MB", "0.05")
    assert_frame_equal(frame.genias.alarms(**at).collect(), whole)
    assert set(whole["host"]) == {"h00"}


def test_alarms_of_a_day_are_shared_by_the_fleet(models):
    """A count for all groups is as many times smaller for each."""
    frame = fleet()
    at = {**FRAME, "models": models}
    shared = frame.genias.alarms(**at, alarms_per_day=4, budget="fleet", false_groups=0.99)
    own = frame.genias.alarms(**at, alarms_per_day=2)
    kept = own.join(shared.select("host").unique(), on="host", how="semi")
    assert_frame_equal(shared, kept)


def test_a_fleet_needs_groups(models):
    model = models["model"][0]
    with pytest.raises(pl.exceptions.ComputeError, match='`budget` = "fleet"'):
        fleet().filter(host="a").genias.alarms(
            features=["cpu", "mem"], order_by="time", models=model, budget="fleet"
        )
    over = pg.label(pl.struct("cpu", "mem"), model=model, order_by="time", budget="fleet")
    with pytest.raises(pl.exceptions.ComputeError, match='`budget` = "fleet"'):
        fleet().select(over.over("host"))


def test_more_accepted_alarms_are_more_alarms(models):
    """Over the whole range, and not only below the number that a few long alarms reach."""
    normal = fleet(6000, seed=6, size=0)
    counts, rows = [], []
    for number in (0.1, 1, 5, 10, 50):
        given = {"models": models, "alarms_per_day": number}
        counts.append(normal.genias.alarms(**FRAME, **given).height)
        rows.append(normal.genias.label(**FRAME, **given)["anomaly_label"].sum())
    assert sorted(counts) == counts
    assert sorted(rows) == rows
    assert len(set(rows)) >= 4


def test_an_accepted_number_of_alarms_leaves_most_rows_alone(models):
    """However many alarms are accepted, and however long they are."""
    normal = fleet(3000, seed=5, size=0)
    labels = normal.genias.label(**FRAME, models=models, alarms_per_day=50)["anomaly_label"]
    assert labels.mean() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "all"}, '`budget` = "all"'),
        ({"false_groups": 0.2}, "`false_groups` = 0.2"),
        ({"budget": "fleet", "false_groups": 0}, "`false_groups` = 0"),
        ({"budget": "fleet", "threshold": 2.0}, "given without `budget`"),
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
    with pytest.warns(UserWarning, match=message) as warned:
        table = frame.genias.fit(**FRAME, detector="evidence", window=64, on_error="null")
    assert len(warned) == 1
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
