"""What labels would catch, and which detector is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import polars_genias as pg
from polars_genias import cli

ROWS = 700
AT = {"by": "host", "order_by": "time"}
TRIED = {"kind": ["level-shift", "noise-burst"], "strength": [0.5, 2, 6], "duration": ["1h"]}


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    t = np.arange(ROWS)
    hosts = [
        pl.DataFrame(
            {
                "host": f"h{number}",
                "time": pl.datetime_range(
                    pl.datetime(2026, 1, 1), pl.datetime(2026, 2, 1), "5m", eager=True
                ).head(ROWS),
                "cpu": 50 + 10 * np.sin(t / (8 + number)) + rng.normal(0, 1, ROWS),
                "errors": rng.poisson(1 + number, ROWS),
            }
        )
        for number in range(2)
    ]
    return pl.concat(hosts)


@pytest.fixture(scope="module")
def models(rows) -> pl.DataFrame:
    return rows.genias.fit(window=32, detector="evidence", **AT)


@pytest.fixture(scope="module")
def table(rows, models) -> pl.DataFrame:
    return rows.genias.sensitivity(models=models, alarms_per_day=1, tries=3, **TRIED, **AT)


def test_a_row_for_everything_that_is_tried(table):
    assert table.height == 2 * 3 * 2 * 3
    assert table["feature"].unique(maintain_order=True).to_list() == ["cpu", "errors", None]
    assert table["duration"].unique().to_list() == [12]
    assert (table["caught"] <= table["tries"]).all()
    within = pl.col("rate").is_between("rate_low", "rate_high").all()
    assert table.select(within).item()
    strong = table.filter(pl.col("strength") == 6, pl.col("feature") == "cpu")
    weak = table.filter(pl.col("strength") == 0.5, pl.col("feature") == "cpu")
    assert strong["caught"].sum() > weak["caught"].sum()
    assert (table["realised"] - table["strength"]).abs().max() < 1


def test_lazy_over_and_grouped_give_the_same(rows, models, table):
    options = {"alarms_per_day": 1, "tries": 3, **TRIED}
    lazy = rows.lazy().genias.sensitivity(models=models.lazy(), **options, **AT)
    assert lazy.collect_schema() == table.schema
    for engine in ("streaming", "in-memory"):
        assert_frame_equal(lazy.collect(engine=engine), table)
    own = lazy.filter(pl.col("host") == "h1").collect()
    assert_frame_equal(own, table.filter(host="h1"))
    expr = pl.struct("cpu", "errors").genias.sensitivity(model="model", order_by="time", **options)
    joined = rows.join(models, on="host", maintain_order="left")
    grouped = joined.group_by("host", maintain_order=True).agg(expr.alias("out"))
    found = grouped.explode("out").unnest("out")
    assert_frame_equal(found, table)
    one = rows.filter(host="h1").genias.sensitivity(models=models, **options, **AT)
    assert_frame_equal(one, table.filter(host="h1"))


def test_figures_are_those_of_the_whole_job(rows, models):
    """One anomaly at a time into the whole series, labelled: the same share as in the table."""
    options = {"kind": "level-shift", "strength": 2.0, "duration": 12, "tries": 4, "hit": "cpu"}
    table = rows.genias.sensitivity(models=models, alarms_per_day=1, **options, **AT)
    assert table.height == 2
    for row in table.iter_rows(named=True):
        own = rows.filter(host=row["host"])
        quiet = own.genias.label(models=models, alarms_per_day=1, **AT)
        starts = np.flatnonzero(_starts(quiet["anomaly_label"].to_numpy()))
        assert row["false_alarms"] == len(starts)
        assert row["false_alarm_rate"] == pytest.approx(quiet["anomaly_label"].mean())
        days = ROWS / 288
        assert row["alarms_per_day"] == pytest.approx(len(starts) / days)
        # What is caught everywhere is caught at the places of the tries.
        caught = [_caught(own, models, start) for start in range(100, 600, 100)]
        if all(caught):
            assert row["caught"] == row["tries"]


def _starts(labels: np.ndarray) -> np.ndarray:
    return labels & ~np.concatenate([[False], labels[:-1]])


def _caught(own: pl.DataFrame, models: pl.DataFrame, start: int) -> bool:
    hit = pl.int_range(pl.len()).is_between(start, start + 11)
    std = own["cpu"].std(ddof=0)
    changed = own.with_columns(cpu=pl.col("cpu") + pl.when(hit).then(2.0 * std).otherwise(0.0))
    labels = changed.genias.label(models=models, alarms_per_day=1, **AT)
    return bool(labels.filter(hit)["anomaly_label"].any())


def test_only_where_anomalies_may_be(rows, models):
    never = rows.genias.sensitivity(models=models, where=pl.lit(value=False), **TRIED, **AT)
    assert never["tries"].sum() == 0
    assert never["rate"].null_count() == never.height
    assert pg.in_words(never)["sentence"].null_count() == 4


def test_in_words(table):
    said = pg.in_words(table)
    assert said.columns == ["host", "feature", "kind", "duration", "sentence"]
    assert said.height == 4
    for sentence in said["sentence"]:
        assert sentence.startswith(("A level shift of", "A noise burst of"))
        assert "deviations that lasts 60 minutes is" in sentence
        assert sentence.endswith("false alarms a day.")
    assert_frame_equal(pg.in_words(table.lazy()).collect(), said)
    with pytest.raises(ValueError, match="`table`"):
        pg.in_words(pl.DataFrame({"host": ["a"]}))


def test_what_is_missed_is_said_with_the_largest_strength(table):
    missed = table.with_columns(smallest=pl.lit(None, dtype=pl.Float64))
    for sentence in pg.in_words(missed)["sentence"]:
        assert " of up to 6.0 deviations that lasts 60 minutes is not caught" in sentence


def test_pictures(table):
    pytest.importorskip("altair")
    plots = pytest.importorskip("polars_genias.plots")
    assert len(plots.plot_sensitivity(table).concat) == 2
    chart = table.genias.plot("sensitivity", by="host", title="caught")
    assert chart.to_dict()["title"]
    with pytest.raises(ValueError, match="host2"):
        plots.plot_sensitivity(table, by="host2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strength": [-1]}, "`strength`"),
        ({"strength": []}, "`strength`"),
        ({"tries": 0}, "`tries` = 0"),
        ({"kind": "odd"}, "`kind`"),
        ({"duration": "long"}, "`duration`"),
        ({"duration": 9_999}, "at most the 700 rows"),
        ({"hit": "disk"}, "`hit` = disk"),
        ({"count": 3}, "`count`"),
    ],
)
def test_bad_input(rows, models, options, said):
    with pytest.raises(Exception, match=said):
        rows.genias.sensitivity(models=models, **options, **AT)


def test_command_line(rows, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows.write_parquet("rows.parquet")
    models.write_parquet("models.parquet")
    given = "--by host --order-by time --models models.parquet --kind level-shift,ramp --tries 2"
    more = "--strength 1,6 --duration 1h,30m --alarms-per-day 1 --hit cpu"
    given = f"sensitivity rows.parquet out.parquet {given} {more}"
    command = [*given.split(), "--place", "cpu < 55"]
    assert cli.main(command) == 0, capsys.readouterr().err
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 * 2 * 2
    assert said[0].startswith("h0: A level shift")
    written = pl.read_parquet("out.parquet")
    expected = rows.genias.sensitivity(
        models=models,
        kind=["level-shift", "ramp"],
        tries=2,
        strength=[1, 6],
        duration=["1h", "30m"],
        alarms_per_day=1,
        hit="cpu",
        where=pl.col("cpu") < 55,
        **AT,
    )
    assert_frame_equal(written, expected)
    pytest.importorskip("altair")
    assert cli.main(["plot", "sensitivity", "out.parquet", "out.html", "--by", "host"]) == 0
    assert "share caught" in Path("out.html").read_text()


@pytest.fixture(scope="module")
def scored(rows) -> pl.DataFrame:
    hit = rows.genias.inject(kind="level-shift", total=20, strength=3.0, length=8, hit="cpu", **AT)
    hit = hit.select("host", "time", "is_anomaly", cpu="cpu_synthetic")
    cpu = pl.col("cpu")
    return hit.with_columns(
        level=(cpu - cpu.mean().over("host")).abs(),
        jump=cpu.diff().abs().over("host"),
        noise=pl.Series(np.random.default_rng(1).random(hit.height)),
    )


def compare(frame: Any, **options: Any) -> Any:
    columns = ["noise", "level", "jump"]
    return frame.genias.compare(scores=columns, label="is_anomaly", **AT, **options)


def test_compare_counts_events_at_one_rate_of_false_alarms(scored):
    found = compare(scored, false_alarm_rate=0.01)
    assert found["detector"].to_list() == ["noise", "level", "jump"]
    assert (found["false_alarm_rate"] <= 0.01).all()
    for name, row in zip(found["detector"], found.iter_rows(named=True), strict=True):
        caught, events = _by_hand(scored, name, 0.01)
        assert (row["caught"], row["events"]) == (caught, events)
        assert row["recall"] == pytest.approx(caught / events)
    other = found.row(2, named=True)
    assert other["difference"] == pytest.approx(other["recall"] - found["recall"][0])
    assert other["difference_low"] < other["difference"] < other["difference_high"]
    assert found["difference"].null_count() == 1


def _by_hand(frame: pl.DataFrame, name: str, rate: float) -> tuple[int, int]:
    caught = events = 0
    for _, own in frame.group_by("host", maintain_order=True):
        normal = own.filter(~pl.col("is_anomaly"), pl.col(name).is_not_null())[name]
        line = normal.sort(descending=True)[int(rate * len(normal))]
        above = (own[name] > line).fill_null(value=False).to_numpy()
        labels = own["is_anomaly"].to_numpy()
        numbers = np.cumsum(_starts(labels)) * labels
        events += numbers.max()
        caught += len(set(numbers[above & labels]))
    return caught, int(events)


def test_compare_lazily_and_as_an_expression(scored):
    found = compare(scored)
    assert_frame_equal(compare(scored.lazy()).collect(), found)
    assert compare(scored.lazy()).collect_schema() == found.schema
    own = scored.filter(host="h0")
    expr = pl.struct("noise", "level", "jump").genias.compare(label="is_anomaly", order_by="time")
    assert_frame_equal(own.select(expr.alias("out")).unnest("out"), compare(own))
    chart = pytest.importorskip("polars_genias.plots").plot_compare(found)
    assert len(chart.hconcat) == 2


def test_compare_fits_detectors_by_name(rows, scored):
    names = ["evidence", "amplitude"]
    of = {"label": "is_anomaly", "features": "cpu", **AT}
    found = scored.genias.compare(
        scores="level", detectors=names, train=rows, fit={"window": 32}, **of
    )
    assert found["detector"].to_list() == ["level", *names]
    by_hand = scored
    for name in names:
        models = rows.genias.fit(features="cpu", window=32, detector=name, **AT)
        at = {"features": "cpu", **AT}
        by_hand = by_hand.genias.score(models=models, name=name, detector=name, as_="row", **at)
    expected = by_hand.genias.compare(scores=["level", *names], label="is_anomaly", **AT)
    assert_frame_equal(found, expected)
    assert found.row(1, named=True)["recall"] > 0.5
    # Synthetic columns are only in the rows that are scored.
    apart = scored.rename({"cpu": "cpu_synthetic"})
    mapped = {**of, "features": {"cpu": "cpu_synthetic"}}
    again = apart.genias.compare(
        scores="level", detectors=names, train=rows, fit={"window": 32}, **mapped
    )
    assert_frame_equal(again, found)
    # Without rows to train on: the rows themselves, without the anomalies.
    own = scored.lazy().genias.compare(detectors="evidence", fit={"window": 32}, **of).collect()
    alone = scored.genias.score(window=32, detector="evidence", name="evidence", as_="row", **of)
    expected = alone.genias.compare(scores="evidence", label="is_anomaly", **AT)
    assert_frame_equal(own, expected)
    with pytest.raises(ValueError, match='did you mean "evidence"'):
        scored.genias.compare(detectors="evidense", **of)
    with pytest.raises(ValueError, match="exists already"):
        scored.rename({"jump": "evidence"}).genias.compare(detectors="evidence", **of)


def test_compare_refuses(scored):
    with pytest.raises(ValueError, match="`scores`"):
        scored.genias.compare(label="is_anomaly", **AT)
    with pytest.raises(ValueError, match="`false_alarm_rate` = 2"):
        compare(scored, false_alarm_rate=2)
    with pytest.raises(ValueError, match="label"):
        scored.genias.compare(scores=["level"], label="cpu", **AT)
    with pytest.raises(ValueError, match="draws"):
        compare(scored, draws=1)
