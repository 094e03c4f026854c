"""Metrics as expressions: contexts, dtypes, nulls, errors. Their values: pipeline/metrics.rs."""

from __future__ import annotations

import runpy
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.exceptions import ComputeError
from polars.testing import assert_frame_equal

import polars_genias as pg
from conftest import make_hosts

ROOT = Path(__file__).parents[2]
OF_SCORES = {
    "auc_roc": pg.auc_roc,
    "auc_pr": pg.auc_pr,
    "best_f1": pg.best_f1,
    "point_adjusted_f1": pg.point_adjusted_f1,
    "event_f1": pg.event_f1,
    "range_f1": pg.range_f1,
    "affiliation_precision": pg.affiliation_precision,
    "affiliation_recall": pg.affiliation_recall,
    "affiliation_f1": pg.affiliation_f1,
    "event_recall": pg.event_recall,
    "vus_roc": pg.vus_roc,
    "vus_pr": pg.vus_pr,
}
OF_LABELS = {
    "f1": pg.f1,
    "precision": pg.precision,
    "recall": pg.recall,
    "false_alarms": pg.false_alarms,
    "detection_delay": pg.detection_delay,
    "event_iou": pg.event_iou,
}


def scored(series: int = 5, rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Series one after another, scores on a grid of halves; the last one has no anomaly."""
    rng = np.random.default_rng(seed)
    label = np.zeros((series, rows), dtype=bool)
    for one in label[:-1]:
        for start in rng.integers(0, rows, 3):
            one[start : start + rng.integers(1, 20)] = True
    score = np.round(2 * (rng.normal(size=label.shape) + 1.5 * label)) / 2
    return pl.DataFrame(
        {
            "series": np.repeat([f"s{i}" for i in range(series)], rows),
            "score": score.ravel(),
            "label": label.ravel(),
        }
    )


def every_metric() -> list[pl.Expr]:
    predicted = pl.col("score") > 1
    return [
        *(metric("score", "label") for metric in OF_SCORES.values()),
        *(metric(predicted, "label") for metric in OF_LABELS.values()),
    ]


def test_all_contexts_and_engines_agree():
    frame = scored()
    one_by_one = pl.concat(
        [
            part.select(pl.col("series").first(), *every_metric())
            for part in frame.partition_by("series", maintain_order=True)
        ]
    )
    assert one_by_one.columns == ["series", *OF_SCORES, *OF_LABELS]
    assert set(one_by_one.dtypes[1:]) == {pl.Float64}
    assert sum(one_by_one.head(-1).null_count().row(0)) == 0
    assert sum(one_by_one.tail(1).select(*OF_SCORES).null_count().row(0)) == 12

    query = frame.lazy().group_by("series", maintain_order=True).agg(every_metric())
    assert query.collect_schema() == one_by_one.schema
    for engine in ("in-memory", "streaming"):
        grouped = query.collect(engine=engine).sort("series")
        assert_frame_equal(grouped, one_by_one, check_exact=True)
        windows = frame.lazy().with_columns(expr.over("series") for expr in every_metric())
        windows = windows.collect(engine=engine)
        assert windows.height == frame.height
        windows = windows.drop("score", "label").unique(maintain_order=True).sort("series")
        assert_frame_equal(windows, one_by_one, check_exact=True)


def test_values_by_hand():
    frame = pl.DataFrame({"score": [0.1, 0.4, 0.35, 0.8], "label": [False, False, True, True]})
    values = frame.select(
        pg.auc_roc("score", "label"),
        pg.auc_pr("score", "label"),
        pg.best_f1("score", "label"),
        pg.f1("score", "label", threshold=0.5),
        pg.precision("score", "label", threshold=0.5),
        pg.recall("score", "label", threshold=0.5),
    ).row(0)
    assert values == pytest.approx([0.75, (1 + 2 / 3) / 2, 0.8, 2 / 3, 1.0, 0.5])


@pytest.mark.parametrize(
    "dtype", [pl.Int8, pl.UInt64, pl.Int32, pl.Float32, pl.Float64, pl.Decimal(10, 2)]
)
def test_numeric_types_of_scores_and_labels(dtype):
    frame = scored().with_columns((pl.col("score") * 2 + 20).cast(pl.Int64))
    expected = frame.select(pg.vus_pr("score", "label"), pg.range_f1("score", "label"))
    cast = frame.select(pl.col("score").cast(dtype), pl.col("label").cast(pl.Int8))
    found = cast.select(pg.vus_pr("score", "label"), pg.range_f1("score", "label"))
    assert_frame_equal(found, expected, check_exact=True)


def test_predictions_as_booleans_and_as_numbers():
    frame = scored().with_columns(predicted=pl.col("score") > 1)
    for metric in OF_LABELS.values():
        number = frame.select(metric(pl.col("predicted").cast(pl.UInt8), "label"))
        assert_frame_equal(number, frame.select(metric("predicted", "label")))
        assert_frame_equal(number, frame.select(metric("score", "label", threshold=1)))
    for name in ("point_adjusted_f1", "event_f1", "range_f1", "affiliation_f1"):
        metric = OF_SCORES[name]
        at = frame.select(metric("score", "label", threshold=1.0))
        assert_frame_equal(at, frame.select(metric("predicted", "label")))
        assert frame.select(metric("score", "label")).item() >= at.item() - 0.05
        # All rows predicted is a prediction; a constant score is not.
        assert frame.select(metric(pl.col("score") < 100, "label")).item() > 0
        assert frame.select(metric(pl.lit(1.0) + 0 * pl.col("score"), "label")).item() == 0


def test_rows_with_a_null_or_nan_are_left_out():
    frame = scored().with_row_index("row")
    holes = frame.with_columns(
        pl.when(pl.col("row") % 7 == 0)
        .then(None)
        .when(pl.col("row") % 7 == 1)
        .then(float("nan"))
        .otherwise("score")
        .alias("score"),
        pl.when(pl.col("row") % 5 > 0).then("label").alias("label"),
    )
    kept = frame.filter(pl.col("row") % 7 > 1, pl.col("row") % 5 > 0)
    for metric in OF_SCORES.values():
        found = holes.select(metric("score", "label"))
        assert_frame_equal(found, kept.select(metric("score", "label")), check_exact=True)


def test_what_is_undefined_is_null():
    empty = scored().clear().select(every_metric())
    assert empty.height == 1
    assert empty.drop("false_alarms").null_count().row(0) == (1,) * 17
    assert empty["false_alarms"].item() == 0
    all_null = pl.DataFrame({"score": [None, None], "label": [True, False]})
    assert all_null.select(pg.auc_pr("score", "label")).item() is None
    anomalous = pl.DataFrame({"score": [1.0, 2.0], "label": [True, True]})
    assert anomalous.select(pg.auc_roc("score", "label")).item() is None
    assert anomalous.select(pg.vus_pr("score", "label")).item() == 1


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (pg.vus_pr("text", "label"), "column `text` has dtype"),
        (pg.vus_pr("score", "text"), "column `text` has dtype"),
        (pg.vus_pr("infinite", "label"), "column `infinite` is infinite at row 1"),
        (pg.auc_pr("score", "score"), "0.5 (column `score`, row 0)"),
        (pg.f1("score", "label"), "column `score` holds scores"),
        (pg.auc_pr("score", pl.col("label").head(2)), "column `label` has 2 rows"),
        (pg.arp("score", "label", "label"), "must be an Array"),
    ],
)
def test_bad_input_is_named(expr, text):
    frame = pl.DataFrame(
        {
            "score": [0.5, 1.5, 2.5],
            "label": [True, False, True],
            "text": ["a", "b", "c"],
            "infinite": [1.0, float("inf"), 2.0],
        }
    )
    with pytest.raises(ComputeError) as error:
        frame.select(expr)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: pg.vus_pr("s", "y", buffer=20_000), "buffer"),
        (lambda: pg.vus_pr("s", "y", buffer=-1), "options"),
        (lambda: pg.vus_roc("s", "y", thresholds=1), "thresholds"),
        (lambda: pg.range_f1("s", "y", alpha=2), "alpha"),
        (lambda: pg.event_f1("s", "y", thresholds=1), "thresholds"),
        (lambda: pg.event_recall("s", "y", false_alarm_rate=1.5), "false_alarm_rate"),
        (lambda: pg.edi("z", "g", regions=0), "regions"),
        (lambda: pg.edi("z", "g", seed=-1), "seed"),
    ],
)
def test_options_are_checked_at_once(call, name):
    with pytest.raises(ValueError, match=f"parameter `{name}`"):
        call()


def test_decimals_that_are_no_labels():
    frame = pl.DataFrame({"s": [1, 2], "y": [Decimal("0.00"), Decimal("1.00")]})
    assert frame.select(pg.auc_roc("s", "y")).item() == 1


def test_proximity_and_diversity():
    rng = np.random.default_rng(1)
    rows = pl.DataFrame(
        {
            "z": rng.normal(size=(60, 4)).astype(np.float32),
            "real": np.arange(60) < 20,
            "generated": np.arange(60) >= 30,
            "g": ["a", "b"] * 30,
        },
        schema_overrides={"z": pl.Array(pl.Float32, 4)},
    )
    z = rows["z"].to_numpy().astype(float)
    distances = np.linalg.norm(z[:20, None] - z[None, 30:], axis=2).min(axis=1)
    both = [pg.arp("z", "real", "generated"), pg.edi("z", "generated", regions=5, seed=3)]
    found = rows.select(both)
    assert found.columns == ["arp", "edi"]
    assert found["arp"].item() == pytest.approx(1 / (1 + distances.mean()), abs=1e-6)
    assert 0 < found["edi"].item() <= np.log(5)

    grouped = rows.lazy().group_by("g", maintain_order=True).agg(both)
    in_memory, streaming = (grouped.collect(engine=name) for name in ("in-memory", "streaming"))
    parts = [rows.filter(g=g).select("g", *both).head(1) for g in ("a", "b")]
    assert_frame_equal(in_memory, pl.concat(parts), check_exact=True)
    assert_frame_equal(streaming.sort("g"), in_memory, check_exact=True)

    # A row with a null anywhere is left out; another float type changes nothing.
    holes = rows.with_columns(pl.when(pl.col("real")).then(None).otherwise("z").alias("z"))
    assert holes.select(both)["arp"].item() is None
    assert holes.select(pg.edi("z", "generated", regions=1)).item() == 0
    wide = rows.with_columns(pl.col("z").cast(pl.Array(pl.Float64, 4)))
    assert_frame_equal(wide.select(both), found, check_exact=True)


def runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First row and end of every run of true rows."""
    steps = np.diff(np.concatenate([[0], rows.astype(int), [0]]))
    return list(zip(np.where(steps == 1)[0], np.where(steps == -1)[0], strict=True))


def of_operation(predicted: np.ndarray, label: np.ndarray) -> dict[str, float | None]:
    """The metrics of alarms, by their definitions, row by row."""
    events = runs(label)
    delays = [np.argmax(predicted[a:b]) for a, b in events if predicted[a:b].any()]
    unions = []
    for a, b in events:
        event = np.zeros(len(label), dtype=bool)
        event[a:b] = True
        alarm = np.zeros(len(label), dtype=bool)
        for c, d in runs(predicted):
            alarm[c:d] |= event[c:d].any()
        unions.append((event & alarm).sum() / (event | alarm).sum())
    return {
        "event_recall": np.mean([predicted[a:b].any() for a, b in events]) if events else None,
        "false_alarms": sum(not label[a:b].any() for a, b in runs(predicted)),
        "detection_delay": np.mean(delays) if delays else None,
        "event_iou": np.mean(unions) if unions else None,
    }


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=60),
    st.floats(0, 1),
)
def test_metrics_of_alarms_are_those_of_their_definitions(rows, rate):
    frame = pl.DataFrame(rows, schema={"score": pl.Int32, "label": pl.Boolean}, orient="row")
    score, label = frame["score"].to_numpy(), frame["label"].to_numpy()
    predicted = pl.col("score") > 1
    names = ("event_recall", "false_alarms", "detection_delay", "event_iou")
    found = frame.select(getattr(pg, name)(predicted, "label") for name in names)
    for name, value in of_operation(score > 1, label).items():
        assert found[name].item() == (None if value is None else pytest.approx(value)), name
    # Of all lines above which few enough normal rows are, the lowest one.
    lines = [x for x in range(-4, 4) if ((score > x) & ~label).sum() <= rate * (~label).sum()]
    at_rate = frame.select(pg.event_recall("score", "label", false_alarm_rate=rate)).item()
    expected = of_operation(score > min(lines), label)["event_recall"]
    assert at_rate == (None if expected is None else pytest.approx(expected))


def test_false_alarms_per_day():
    start = datetime(2026, 1, 1)
    times = pl.datetime_range(start, start + timedelta(hours=71), "1h", eager=True)
    frame = pl.DataFrame({"time": times, "label": False, "g": ["a", "b"] * 36}).with_columns(
        predicted=pl.col("time").dt.hour().is_in([2, 3, 17])
    )
    per_day = pg.false_alarms_per_day("predicted", "label", "time")
    assert frame.select(per_day).item() == pytest.approx(2)
    daily = frame.filter(pl.col("time").dt.hour() == 2).with_columns(pl.col("time").dt.date())
    assert daily.select(per_day).item() == pytest.approx(1 / 3)
    assert frame.head(1).select(per_day).item() is None
    grouped = frame.lazy().group_by("g", maintain_order=True).agg(per_day).collect()
    assert grouped["false_alarms_per_day"].to_list() == pytest.approx([1, 2])


def test_embeddings_of_a_model():
    series = make_hosts(hosts=1)
    embedded = series.select(pl.col("cpu").genias.embed(window=16, steps=5, latent=4).alias("z"))
    row = pl.int_range(pl.len())
    value = embedded.select(pg.arp("z", row < 20, row >= 20)).item()
    assert 0 < value <= 1


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 12),
)
def test_metrics_stay_in_range(rows, buffer):
    frame = pl.DataFrame(rows, schema={"score": pl.Int32, "label": pl.Boolean}, orient="row")
    found = frame.select(
        *(metric("score", "label") for name, metric in OF_SCORES.items() if "vus" not in name),
        pg.vus_roc("score", "label", buffer=buffer),
        pg.vus_pr("score", "label", buffer=buffer),
    )
    for value in found.row(0):
        assert value is None or 0 <= value <= 1 + 1e-12
    assert (found["vus_pr"].item() is None) == (not frame["label"].any())


def test_example(tmp_path):
    table = runpy.run_path(str(ROOT / "examples" / "evaluate.py"))["main"](tmp_path)
    assert table.columns[0] == "series"
    assert table.height == 4
    assert table["vus_pr"].is_sorted()
    assert table["vus_pr"][-1] > 0.8


def test_every_metric_is_documented():
    text = (ROOT / "docs" / "metrics.md").read_text()
    for name in (*OF_SCORES, *OF_LABELS, "arp", "edi"):
        assert f"`{name}`" in text
    assert "`false_alarms_per_day`" in text
