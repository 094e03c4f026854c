"""Pictures: what is in their specifications, that they can be saved, and what is refused."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polars_genias as pg
from conftest import FAST

pytestmark = pytest.mark.once

alt = pytest.importorskip("altair")
plots = pytest.importorskip("polars_genias.plots")
thin_module = pytest.importorskip("polars_genias.plots._thin")

START = datetime(2026, 1, 1)


def labelled(rows: int = 60) -> pl.DataFrame:
    """Two features every minute, the first with one generated anomaly, and scores."""
    t = np.arange(rows)
    hit = (t >= 20) & (t < 25)
    cpu = np.sin(t / 3)
    return pl.DataFrame(
        {
            "when": [START + timedelta(minutes=int(i)) for i in t],
            "cpu": cpu,
            "mem": np.cos(t / 5),
            "cpu_synthetic": np.where(hit, cpu + 3, cpu),
            "mem_synthetic": np.cos(t / 5),
            "is_anomaly": hit,
            "anomaly_id": np.where(hit, 1, 0),
            "cpu_mask": hit,
            "mem_mask": np.zeros(rows, dtype=bool),
            "anomaly_score": np.where(hit, 5.0, 0.5),
            "anomaly_label": hit | (t == 40),
            "known": t >= 50,
        }
    )


def read(spec: dict, data: dict) -> pl.DataFrame:
    """The rows of a layer: a list of them, or their text."""
    rows = spec["datasets"][data["name"]]
    if isinstance(rows, str):
        parse = data["format"]["parse"]
        numbers = {name: pl.Float64 for name, kind in parse.items() if kind == "number"}
        found = pl.read_csv(rows.encode(), infer_schema=False)
        return found.with_columns(pl.col(name).cast(dtype) for name, dtype in numbers.items())
    return pl.DataFrame(rows, infer_schema_length=None)


def layers(spec: dict, panel: dict) -> list[tuple[dict, pl.DataFrame]]:
    """The layers of a panel, and the rows that each draws; without that of the pointer."""
    found = []
    for layer in panel.get("layer", [panel]):
        if not layer.get("name", "").startswith("genias_"):
            data = layer.get("data") or panel.get("data") or spec["data"]
            found.append((layer, read(spec, data)))
    return found


def of_mark(spec: dict, panel: dict, mark: str) -> list[tuple[dict, pl.DataFrame]]:
    return [found for found in layers(spec, panel) if found[0]["mark"]["type"] == mark]


def times(*minutes: float) -> list[float]:
    """Times as they are written into a specification: milliseconds of the clock."""
    start = START.replace(tzinfo=timezone.utc).timestamp()
    return [(start + 60 * minute) * 1000 for minute in minutes]


def titles(spec: dict) -> list[str]:
    return [panel["title"]["text"] for panel in spec["vconcat"]]


# ---------------------------------------------------------------------------- series


def test_series_panels_lines_and_shades():
    spec = plots.plot_series(labelled(), order_by="when", units={"cpu": "%"}).to_dict()
    cpu, mem, score = spec["vconcat"]
    assert titles(spec) == ["cpu (%)", "mem", "anomaly score"]
    for panel in (cpu, mem, score):
        ((_, span),) = of_mark(spec, panel, "rect")[:1]
        # From half a step before the first row that is hit to half a step after the last.
        assert span["start"].to_list() == times(19.5)
        assert span["end"].to_list() == times(24.5)
        assert span["rows"].to_list() == ["is anomaly"]
    before, after = (rows for _, rows in of_mark(spec, cpu, "line"))
    np.testing.assert_allclose(before["value"], labelled()["cpu"])
    drawn = after.drop_nulls("value")
    assert drawn["__x"].to_list() == times(*range(19, 26))
    expected = labelled()["cpu_synthetic"][19:26]
    np.testing.assert_allclose(drawn["value"], expected)
    # And a null on either side, at which the line breaks.
    assert after["__x"].to_list() == times(*range(18, 27))
    assert of_mark(spec, mem, "line")[1][1].is_empty()


def test_series_score_threshold_and_flags():
    spec = plots.plot_series(labelled(), order_by="when", threshold=2.5).to_dict()
    score = spec["vconcat"][-1]
    (_, line) = of_mark(spec, score, "line")[0]
    assert line["value"].max() == 5.0
    (rule, level) = of_mark(spec, score, "rule")[0]
    assert level["value"].to_list() == [2.5]
    assert rule["encoding"]["y"]["field"] == "value"
    _, (_, flags) = of_mark(spec, score, "rect")
    assert flags["start"].to_list() == times(19.5, 39.5)
    assert flags["end"].to_list() == times(24.5, 40.5)


def test_series_without_anomalies_and_without_time():
    rows = labelled().select("cpu", "mem", "known")
    spec = plots.plot_series(rows.lazy(), label="known").to_dict()
    assert len(spec["vconcat"]) == 2
    _, span = of_mark(spec, spec["vconcat"][0], "rect")[0]
    assert span.select("start", "end").row(0) == (49.5, 59.5)
    x = spec["vconcat"][1]["layer"][0]["encoding"]["x"]
    assert x["title"] == "row"


def test_series_takes_what_the_verbs_give(series):
    out = series.genias.inject(
        features=["cpu", "mem"], order_by="t", count=2, length=9, kind="mean"
    )
    spec = out.genias.plot(order_by="t").to_dict()
    spans = of_mark(spec, spec["vconcat"][0], "rect")[0][1]
    covered = spans.select((pl.col("end") - pl.col("start")).sum()).item()
    assert covered == out["is_anomaly"].sum() == 18
    hit = pl.Series(range(out.height)).filter(out["is_anomaly"])
    inside = pl.any_horizontal(
        pl.lit(False),
        *(pl.col("row").is_between(*ends) for ends in spans.select("start", "end").iter_rows()),
    )
    found = pl.DataFrame({"row": range(out.height)}).filter(inside)["row"]
    assert found.to_list() == hit.to_list()
    scored = out.genias.score(
        features={"cpu": "cpu_synthetic", "mem": "mem_synthetic"},
        order_by="t",
        detector="reconstruction",
        **FAST,
    )
    assert len(scored.genias.plot(order_by="t").to_dict()["vconcat"]) == 3


def test_many_features_leave_those_that_are_hit():
    rows = labelled().with_columns(
        **{f"x{i}": pl.lit(0.0) for i in range(5)},
        **{f"x{i}_synthetic": pl.lit(1.0 if i == 3 else 0.0) for i in range(5)},
    )
    spec = plots.plot_series(rows.drop("anomaly_score"), order_by="when", most=2).to_dict()
    assert titles(spec) == ["cpu", "x3"]
    assert "2 of 7 features" in str(spec["title"])


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (pl.col("t").cast(pl.Int32), 59.5),
        (pl.lit(datetime(2026, 1, 1).date()) + pl.duration(days="t"), times(59.5 * 1440)[0]),
        (pl.duration(minutes="t"), 59.5 * 60),
        (pl.col("when").dt.replace_time_zone("Europe/Vienna"), times(59.5)[0]),
    ],
)
def test_kinds_of_time(when, expected):
    rows = labelled().with_columns(t=pl.int_range(60)).with_columns(when=when).drop("t")
    spec = plots.plot_series(rows, order_by="when", label="known", features="cpu").to_dict()
    assert of_mark(spec, spec["vconcat"][0], "rect")[0][1]["end"][0] == expected


def test_long_series_keep_their_extremes_and_stay_small():
    rows = 200_000
    rng = np.random.default_rng(0)
    value = rng.normal(size=rows)
    value[123_456], value[77] = 50.0, -50.0
    data = pl.DataFrame({"t": np.arange(rows), "x": value}).with_columns(
        label=(pl.col("t") // 10) % 2 == 0
    )
    chart = plots.plot_series(data, features="x", order_by="t", label="label", overview=False)
    spec = chart.to_dict()
    _, line = of_mark(spec, spec["vconcat"][0], "line")[0]
    assert line.height <= 8 * 820 + 2
    kept = dict(line.select("__x", "value").iter_rows())
    assert kept[123_456.0] == 50.0
    assert kept[77.0] == -50.0
    assert line["__x"].is_sorted()
    assert {0.0, float(rows - 1)} <= kept.keys()
    _, spans = of_mark(spec, spec["vconcat"][0], "rect")[0]
    assert spans.height <= 1_000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=1, max_size=300),
    st.integers(1, 20),
)
def test_thinning_draws_the_same_columns_of_pixels(values, bins):
    rows = pl.DataFrame({"x": np.arange(len(values), dtype=float), "value": values}).with_columns(
        pl.col("value").cast(pl.Float64)
    )
    thinned = thin_module.thin(rows, "x", bins)
    assert thinned.height <= 2 * bins + 2
    assert thinned.join(rows, on=["x", "value"], nulls_equal=True).height == thinned.height
    last = max(len(values) - 1, 1)
    column = np.minimum(np.floor(rows["x"].to_numpy() / last * bins), bins - 1)
    for number in np.unique(column):
        whole = rows.filter(pl.Series(column == number))
        part = thinned.filter(pl.col("x").is_in(whole["x"].to_list()))
        assert part["value"].min() == whole["value"].min()
        assert part["value"].max() == whole["value"].max()
        assert part.height > 0  # a gap stays a gap
    assert (
        thinned["x"].to_list()[:: max(thinned.height - 1, 1)][:2]
        == [0.0, float(last)][: thinned.height]
        or rows.height == 1
    )
    assert thinned["x"].is_sorted()


# ---------------------------------------------------------------------------- pairs


def test_pairs(series):
    pairs = series.genias.pairs(features=["cpu", "mem"], order_by="t", window_stride=16, **FAST)
    spec = plots.plot_pairs(pairs, features=["cpu", "mem"], count=3, units={"mem": "%"}).to_dict()
    assert spec["columns"] == 3
    assert len(spec["concat"]) == 6
    # The middle of each third.
    number = pairs.height
    starts = [pairs["start"][(2 * i + 1) * number // 6] for i in range(3)]
    assert [p["title"]["text"] for p in spec["concat"][:3]] == [f"row {s:,} on" for s in starts]
    pair = pairs.filter(pl.col("start") == starts[1])
    for feature, panel in enumerate((spec["concat"][1], spec["concat"][4])):
        (_, before), (_, after) = of_mark(spec, panel, "line")
        normal, changed, mask = (
            pair[side].to_numpy()[0][:, feature] for side in ("normal", "anomalous", "mask")
        )
        np.testing.assert_allclose(before["value"], normal, rtol=1e-6)
        near = mask | np.roll(mask, 1) | np.roll(mask, -1)
        near[[0, -1]] = mask[[0, -1]] | mask[[1, -2]]
        np.testing.assert_array_equal(after["value"].is_not_null().to_numpy(), near)
        if near.any():
            np.testing.assert_allclose(after["value"].drop_nulls(), changed[near], rtol=1e-6)
    assert layers(spec, spec["concat"][3])[0][0]["encoding"]["y"]["title"] == "mem (%)"


def test_fewer_pairs_than_asked_and_fewer_features(series):
    pairs = series.genias.pairs(features=["cpu", "mem"], order_by="t", window_stride=100, **FAST)
    spec = plots.plot_pairs(pairs.lazy(), count=9, most=1).to_dict()
    assert len(spec["concat"]) == pairs.height == 2
    assert "1 of 2 features" in str(spec["title"])


# ---------------------------------------------------------------------------- latent map


def test_latent_means_are_those_of_embed(series):
    from polars_genias import _frames as frames
    from polars_genias.plots import _latent as latent

    model = series.genias.fit(features=["cpu", "mem"], **FAST)["model"][0]
    at = frames.inputs(series, ["cpu", "mem"], None, "t", "known")
    means = latent.latent_means(at, model, 20, 0, {})
    struct = pl.struct("cpu", "mem")
    every = series.select(pg.embed(struct, model=model, window_stride=1)).to_series().to_numpy()
    starts = series.genias.pairs(
        models=model,
        features=["cpu", "mem"],
        order_by="t",
        label="known",
        window_stride=(160 - 16) // 20,
    )["start"]
    normal = means.filter(pl.col("windows") == "normal")["mean"].to_numpy()
    np.testing.assert_allclose(normal, every[starts.to_numpy()], atol=1e-5)
    known = means.filter(pl.col("windows") == "known anomaly")["mean"].to_numpy()
    # Windows of 16 rows whose ninth row is one of the rows 100 to 104.
    np.testing.assert_allclose(known, every[92:97], atol=1e-5)


def test_latent_map_leaves_windows_with_nulls_out(series):
    holed = series.with_columns(cpu=pl.when(pl.col("t") != 98).then("cpu"))
    table = series.genias.fit(features=["cpu", "mem"], **FAST)
    chart = plots.plot_latent(
        holed, models=table, features=["cpu", "mem"], order_by="t", label="known", windows=20
    )
    points = pl.DataFrame(next(iter(chart.to_dict()["datasets"].values())))
    assert "known anomaly" not in points["windows"]
    assert points["x"].is_finite().all()


def test_pca_is_that_of_the_covariance():
    from polars_genias.plots import _latent as latent

    values = np.random.default_rng(1).normal(size=(80, 5)) @ np.diag([1, 5, 2, 0.1, 3])
    places, about = latent._pca(values.astype(np.float32))
    variances = np.linalg.eigvalsh(np.cov(values.T))[::-1]
    np.testing.assert_allclose(places.var(axis=0, ddof=1), variances[:2], rtol=1e-4)
    share = variances[:2] / variances.sum()
    assert f"{share[0]:.0%} and {share[1]:.0%}" in about
    flat, _ = latent._pca(np.ones((3, 4), dtype=np.float32))
    assert not flat.any()


def test_tsne(series):
    pytest.importorskip("sklearn")
    table = series.genias.fit(features="cpu", **FAST)
    given_ = {"models": table, "features": "cpu", "order_by": "t", "windows": 10}
    first, second = (plots.plot_latent(series, method="tsne", **given_).to_dict() for _ in range(2))
    assert first["datasets"] == second["datasets"]
    assert "t-SNE" in str(first["title"])


# ---------------------------------------------------------------------------- history


def test_history(hosts):
    table = hosts.genias.fit(by="host", features=["cpu", "mem"], order_by="t", **FAST)
    spec = plots.plot_history(table).to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["h0", "h1", "h2"]
    about = table.select(pg.describe("model")).unnest("model").row(1, named=True)
    history = pl.DataFrame(about["history"])
    losses, psi = spec["concat"][1]["vconcat"]
    drawn = layers(spec, losses)[0][1]
    for column, of in (("train_loss", "training windows"), ("validation_loss", "held-out windows")):
        one = drawn.filter(pl.col("of") == of)
        assert one["loss"].to_list() == history[column].to_list()
        assert one["step"].to_list() == history["step"].to_list()
    assert of_mark(spec, psi, "line")[0][1]["psi"].to_list() == history["psi"].to_list()
    assert of_mark(spec, psi, "rule")[0][1]["level"].to_list() == [about["psi"]]


def test_history_of_bytes_and_files(series, tmp_path):
    table = series.genias.fit(features="cpu", **FAST)
    table.write_parquet(tmp_path / "models.parquet")
    for models in (table["model"][0], tmp_path / "models.parquet", table.lazy()):
        assert len(plots.plot_history(models).to_dict()["concat"]) == 1


def test_history_refusals(series):
    model = series.genias.fit(features="cpu", **FAST)["model"][0]
    with pytest.raises(ValueError, match="13 models; 1 to 12"):
        plots.plot_history(pl.DataFrame({"n": range(13), "model": [model] * 13}))
    with pytest.raises(ValueError, match="one Binary column"):
        plots.plot_history(series)
    flat = pl.DataFrame({"x": [1.0] * 100}).genias.fit(**FAST)
    with pytest.raises(ValueError, match=r"'model' has no history \(no_live_feature\)"):
        plots.plot_history(flat)


# ---------------------------------------------------------------------------- scores


def test_scores():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"anomaly_score": rng.normal(size=500), "known": np.arange(500) % 10 == 0})
    rows = rows.with_columns(pl.col("anomaly_score") + pl.col("known") * 3)
    gaps = pl.DataFrame({"anomaly_score": [None, float("nan"), 9.0], "known": [True, True, None]})
    spec = plots.plot_scores(
        pl.concat([rows, gaps]), label="known", threshold=2.0, bins=20
    ).to_dict()
    (_, counted) = of_mark(spec, spec, "rect")[0]
    for kind, anomalous in (("normal", False), ("anomalous", True)):
        of = rows.filter(pl.col("known") == anomalous)["anomaly_score"].to_numpy()
        bars = counted.filter(pl.col("rows") == kind)
        edges = np.linspace(rows["anomaly_score"].min(), rows["anomaly_score"].max(), 21)
        expected, _ = np.histogram(of, edges)
        assert bars["count"].to_list() == expected[expected > 0].tolist()
        assert bars["share"].sum() == pytest.approx(1)
        above = (of > 2).mean() * 100
        assert f"{above:.3g} % of {kind} rows" in spec["title"]["text"]
    (_, rule) = of_mark(spec, spec, "rule")[0]
    assert rule["low"].to_list() == [2.0]


def test_scores_on_a_log_scale_and_of_one_value():
    rows = pl.DataFrame({"s": [0.01, 0.2, 2.0, 20.0, 100.0]})
    spec = plots.plot_scores(rows.lazy(), score="s", log=True, bins=4).to_dict()
    (_, counted) = of_mark(spec, spec, "rect")[0]
    np.testing.assert_allclose(counted["low"], [0.01, 0.1, 1, 10])
    assert counted["count"].to_list() == [1, 1, 1, 2]
    spec = plots.plot_scores(pl.DataFrame({"s": [3, 3]}), score="s").to_dict()
    (_, counted) = of_mark(spec, spec, "rect")[0]
    assert counted["count"].to_list() == [2]
    with pytest.raises(ValueError, match=r"`log` = True: column 's' has the score 0.0"):
        plots.plot_scores(pl.DataFrame({"s": [0.0, 1.0]}), score="s", log=True)


# ---------------------------------------------------------------------------- ablations


def runs() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "steps": [100, 100, 400, 400],
            "rule": ["none", "none", "length", "length"],
            "seed": [0, 1, 0, 1],
            "auc_pr": [0.3, 0.5, 0.5, 0.9],
        }
    )


def test_ablation_of_numbers_and_of_names():
    for option, mark in (("steps", "line"), ("rule", "bar")):
        spec = plots.plot_ablation(
            runs(), option=option, figures={"auc_pr": "AUC-PR"}, levels={"auc_pr": 0.1}
        ).to_dict()
        (panel,) = spec["concat"]
        assert panel["title"]["text"] == "AUC-PR"
        (mean, rows) = of_mark(spec, panel, mark)[0]
        assert mean["encoding"]["y"]["aggregate"] == "mean"
        assert rows["auc_pr"].to_list() == [0.3, 0.5, 0.5, 0.9]
        (point, _) = of_mark(spec, panel, "point")[0]
        assert "aggregate" not in point["encoding"]["y"]
        assert of_mark(spec, panel, "rule")[0][1]["level"].to_list() == [0.1]


def test_ablation_of_two_options():
    spec = plots.plot_ablation(runs(), option="steps", against="rule", figures="auc_pr").to_dict()
    _, cells = of_mark(spec, spec["concat"][0], "rect")[0]
    assert cells.sort("steps")["auc_pr"].to_list() == pytest.approx([0.4, 0.7])


# ---------------------------------------------------------------------------- all of them


def charts(series: pl.DataFrame) -> dict:
    keys = {"features": ["cpu", "mem"], "order_by": "t"}
    table = series.genias.fit(**keys, **FAST)
    pairs = series.genias.pairs(models=table["model"][0], **keys)
    return {
        "series": labelled().genias.plot(order_by="when", title="A host"),
        "pairs": pairs.genias.plot("pairs", count=2),
        "latent": series.genias.plot("latent", models=table, label="known", windows=20, **keys),
        "history": table.genias.plot("history"),
        "scores": labelled().lazy().genias.plot("scores", label="known", threshold=1),
        "ablation": runs().genias.plot("ablation", option="steps", figures=["auc_pr"]),
    }


def test_every_picture_can_be_saved(series, tmp_path):
    for name, chart in charts(series).items():
        png = plots.save(chart, tmp_path / "new" / f"{name}.PNG", scale=1).read_bytes()
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(png) > 2_500
        svg = plots.save(chart, tmp_path / f"{name}.svg").read_text()
        assert svg.startswith("<svg")
        assert svg.count("<path") > 5
    twice = plots.save(chart, tmp_path / "twice.png").read_bytes()
    width, once = (int.from_bytes(image[16:20], "big") for image in (twice, png))
    assert abs(width - 2 * once) <= 2
    html = plots.save(chart, tmp_path / "chart.html").read_text()
    assert "vega-embed" in html
    assert 'src="http' not in html


def test_pictures_combine(series):
    found = charts(series)
    both = (found["series"] & found["scores"]) | found["history"]
    assert len(both.to_dict()["hconcat"]) == 2


def test_refusals(series):
    rows = labelled()
    cases = {
        r"`order_by` = 'then': no such column": lambda: plots.plot_series(rows, order_by="then"),
        r"`label` = 'nope': no such column": lambda: plots.plot_series(rows, label="nope"),
        r"`label` = 'cpu': must be a Boolean": lambda: plots.plot_series(rows, label="cpu"),
        r"`flagged` = 'cpu': must be a Boolean": lambda: plots.plot_series(rows, flagged="cpu"),
        r"`score` = 'nope': no such column": lambda: plots.plot_series(rows, score="nope"),
        r"`features` = 'disk': no such column": lambda: plots.plot_series(rows, features="disk"),
        r"several rows at 2026-01-01 00:00:00": lambda: plots.plot_series(
            pl.concat([rows, rows]), order_by="when"
        ),
        r"`order_by` = 'name': a column of dtype String": lambda: plots.plot_series(
            rows.with_columns(name=pl.lit("x")), order_by="name"
        ),
        r"`data` = 'start': no such column": lambda: plots.plot_pairs(rows),
        r"`count` = 0": lambda: plots.plot_pairs(rows, count=0),
        r"`score` = 'nope': no such": lambda: plots.plot_scores(rows, score="nope"),
        r"`score` = 'known': must be a numeric": lambda: plots.plot_scores(rows, score="known"),
        r"`label` = 'cpu': must be a Bool": lambda: plots.plot_scores(rows, label="cpu"),
        r"no row has a score": lambda: plots.plot_scores(rows.clear()),
        r"`bins` = 0": lambda: plots.plot_scores(rows, bins=0),
        r"`method` = 'umap'": lambda: plots.plot_latent(rows, models=b"", method="umap"),
        r"`windows` = 1": lambda: plots.plot_latent(rows, models=b"", windows=1),
        r"`option` = 'nope': no such": lambda: plots.plot_ablation(
            rows, option="nope", figures="cpu"
        ),
        r"`figures`: column 'known' has dtype Boolean": lambda: plots.plot_ablation(
            rows, option="cpu", figures="known"
        ),
        r"`kind` = 'pie'": lambda: rows.genias.plot("pie"),
        r"must end in .html, .svg or .png": lambda: plots.save(plots.plot_scores(rows), "x.gif"),
    }
    for text, call in cases.items():
        with pytest.raises(ValueError, match=text):
            call()
            pytest.fail(text)
    pairs = series.genias.pairs(features="cpu", **FAST)
    with pytest.raises(ValueError, match="the pairs have 1 features"):
        plots.plot_pairs(pairs, features=["cpu", "mem"])
    with pytest.raises(ValueError, match="no pairs"):
        plots.plot_pairs(pairs.clear())


def test_altair_is_not_imported_before_it_is_used():
    code = """
import sys
import time
import polars_genias as pg
assert "altair" not in sys.modules
pg.plots.plot_scores
assert "altair" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(pl.__version__.startswith("1.30"), reason="cannot mean a column by such a name")
def test_names_that_polars_reads_as_patterns(series):
    """A picture of the columns `*`, `^a$` and so on is that of columns with other names."""
    plain = {"t": "time", "cpu": "one", "mem": "two", "known": "truth", "score": "much"}
    odd = {"t": "^t.*$", "cpu": "*", "mem": "^.*$", "known": "^k$", "score": "^s$"}
    ends = {"one_synthetic": "*_synthetic", "two_synthetic": "^.*$_synthetic"}
    rows = series.with_columns(score=pl.col("cpu").abs()).rename(plain)
    at = {"features": ["one", "two"], "order_by": "time"}
    models = rows.genias.fit(**at, **{name: FAST[name] for name in ("window", "steps", "latent")})
    made = rows.genias.generate(**at, models=models, length=4)
    mapping = dict(zip(plain.values(), odd.values(), strict=True)) | ends
    mapping |= {"one_mask": "*_mask", "two_mask": "^.*$_mask"}
    pictures = []
    for names, data in ((plain, made), (odd, made.rename(mapping))):
        at = {"features": {"one": names["cpu"], "two": names["mem"]}, "order_by": names["t"]}
        score, label = names["score"], names["known"]
        history = models.with_columns(pl.lit("h").alias(label))
        charts = [
            plots.plot_series(data, **at, label=label, score=score),
            plots.plot_scores(data, score=score, label=label),
            plots.plot_latent(data, models=models, **at, label=label, windows=20),
            plots.plot_history(history),
        ]
        pictures.append([drawn(chart) for chart in charts])
    assert pictures[0] == pictures[1]
    assert all(len(values) > 5 for values in pictures[0])


def drawn(chart) -> list[float]:
    """Every number in the data of a picture, in ascending order."""
    tables = chart.to_dict()["datasets"].values()
    tables = [pl.read_csv(t.encode()).to_dicts() if isinstance(t, str) else t for t in tables]
    cells = [cell for rows in tables for row in rows for cell in row.values()]
    return sorted(float(cell) for cell in cells if isinstance(cell, (int, float)))


def test_kinds_have_a_colour_each():
    out = pg.datasets.demo().genias.inject(
        by="host", order_by="timestamp", kind=["trend", "mean"], count=2, length=20
    )
    one = out.filter(host="web-01").genias.plot(order_by="timestamp").to_dict()
    assert {"mean", "trend"} <= set(texts(one))
    facets = out.genias.plot(by="host", order_by="timestamp", features="cpu").to_dict()
    assert titles(facets) == ["web-01", "web-02", "web-03"]
    domains = {json.dumps(fill["scale"]["domain"]) for fill in found(facets, "fill") if fill}
    assert domains == {json.dumps(["mean", "trend"])}


def test_too_many_groups_are_refused():
    rows = pl.DataFrame({"g": range(13), "x": [1.0] * 13})
    with pytest.raises(ValueError, match="13 groups; from 1 to 12 can be drawn"):
        plots.plot_series(rows, by="g")


def test_alarms_and_labels_are_drawn_without_a_score():
    rows = pl.DataFrame({"t": range(50), "x": [float(t % 7) for t in range(50)]})
    alarms = pl.DataFrame(
        {"start": [5, 30], "length": [3, 1], "t_start": [5, 30], "t_end": [7, 30]}
    )
    timed = plots.plot_series(rows, order_by="t", alarms=alarms).to_dict()
    numbered = plots.plot_series(rows, features="x", alarms=alarms).to_dict()
    marked = rows.with_columns(anomaly_label=pl.col("t").is_in([5, 6, 7, 30]))
    labelled = plots.plot_series(marked, order_by="t").to_dict()
    for chart in (timed, numbered, labelled):
        ((_, bar),) = of_mark(chart, chart["vconcat"][0], "rect")
        assert bar.select("start", "end").rows() == [(4.5, 7.5), (29.5, 30.5)]
    with pytest.raises(ValueError, match="parameter `alarms` = 't_start'"):
        plots.plot_series(rows, order_by="t", alarms=alarms.drop("t_start"))


def found(chart, name):
    """Everything under this name in a chart."""
    if isinstance(chart, dict):
        mine = [chart[name]] if name in chart else []
        return mine + [item for value in chart.values() for item in found(value, name)]
    return (
        [item for value in chart for item in found(value, name)] if isinstance(chart, list) else []
    )


def texts(chart):
    return [word for fill in found(chart, "fill") if fill for word in fill["scale"]["domain"]]


def test_bounds_are_drawn_as_a_band():
    rows = pl.DataFrame({"x": [1.0, 2.0, 1.5]}).with_columns(
        x_expected=pl.col("x"), x_lower=pl.col("x") - 1, x_upper=pl.col("x") + 1
    )
    chart = plots.plot_series(rows).to_dict()
    (panel,) = chart["vconcat"]
    band = panel["layer"][0]
    assert band["mark"]["type"] == "area"
    ((_, drawn),) = of_mark(chart, panel, "area")
    assert drawn["value"].to_list() == [0.0, 1.0, 0.5]
    assert drawn["upper"].to_list() == [2.0, 3.0, 2.5]
    expected, value = (rows["value"].to_list() for _, rows in of_mark(chart, panel, "line"))
    assert expected == value == [1.0, 2.0, 1.5]
    assert texts(chart) == ["expected range"]


# ---------------------------------------------------------------------------- what moves


PREFIX = "cluster.prod-eu.checkout."


def many(rows: int = 100_000) -> pl.DataFrame:
    """25 features with long names, and one labelled row."""
    t = np.arange(rows)
    names = [f"{PREFIX}{kind}.{of}_total" for kind in "abcde" for of in "pqrst"]
    columns = {name: np.sin(t / (50 + i)) for i, name in enumerate(names)}
    label = t == 54_321
    return pl.DataFrame({"when": START, **columns, "label": label}).with_columns(
        pl.col("when") + pl.duration(minutes=pl.int_range(pl.len()))
    )


def test_25_features_keep_what_differs_in_their_titles():
    spec = plots.plot_series(many(500), order_by="when", label="label").to_dict()
    assert titles(spec) == [f"{kind}.{of}" for kind in "abcde" for of in "pqrst"]
    assert spec["title"]["text"] == f"names: {PREFIX}*_total"
    assert {panel["height"] for panel in spec["vconcat"]} == {46}
    short = many(500).rename(lambda name: name.removeprefix(PREFIX).removesuffix("_total"))
    assert "title" not in plots.plot_series(short, order_by="when", label="label").to_dict()


def test_long_series_have_an_overview_with_a_brush():
    chart = plots.plot_series(many(), order_by="when", label="label")
    spec = chart.to_dict()
    body, strip = spec["vconcat"]
    (brush,) = (p for p in spec["params"] if p["select"]["type"] == "interval")
    assert brush["views"] == [strip["layer"][-1]["name"]]
    for panel in body["vconcat"]:
        for layer in panel["layer"]:
            assert layer["encoding"]["x"]["scale"]["domain"] == {"param": brush["name"]}
    _, line = of_mark(spec, body["vconcat"][0], "line")[0]
    assert line.height <= 2 * 24_000 / 25 + 2
    assert len(json.dumps(spec)) < 5e6
    short = plots.plot_series(many(500), order_by="when", label="label").to_dict()
    (zoom,) = (p for p in short["params"] if p.get("bind") == "scales")
    assert len(zoom["views"]) == 25


@pytest.mark.alone
def test_100_000_rows_of_25_features_in_a_second():
    rows = many()
    plots.plot_series(rows.head(500), order_by="when", label="label").to_dict()
    took = []
    for _ in range(3):
        began = time.perf_counter()
        plots.plot_series(rows, order_by="when", label="label").to_dict()
        took.append(time.perf_counter() - began)
    assert min(took) < 1, took


def test_the_pointer_shows_labelled_rows_before_others():
    rows = many(3_000).with_columns(label=pl.int_range(pl.len()) == 1_234)
    spec = plots.plot_series(rows, order_by="when", label="label").to_dict()
    pointer = spec["vconcat"][0]["layer"][-1]
    shown = read(spec, pointer["data"])
    assert shown.height == 400
    assert shown["start"].is_sorted()
    fields = {about["title"]: about["field"] for about in pointer["encoding"]["tooltip"]}
    hit = shown.filter(pl.col(fields["rows"]) == "label")
    assert hit[fields["when"]].to_list() == ["Thu 01 Jan 2026 20:34:00"]
    assert float(hit[fields["a.p"]][0]) == pytest.approx(np.sin(1_234 / 50), rel=1e-4)


def test_pictures_leave_out_what_moves(tmp_path):
    chart = plots.plot_series(many(5_000), order_by="when", label="label", features="label")
    spec = chart.to_dict()
    still = importlib.import_module("polars_genias.plots._moves").still(spec)
    assert "genias_" in json.dumps(spec["vconcat"])
    assert "genias_" not in json.dumps(still["vconcat"])
    assert "params" not in still
    path = plots.save(chart, tmp_path / "still.svg")
    assert "drag to select" not in path.read_text()
    assert "drag to select" in plots.save(chart, tmp_path / "moves.html").read_text()


def test_charts_are_as_wide_as_the_page():
    vl = pytest.importorskip("vl_convert")
    for overview in (False, True):
        chart = plots.plot_series(labelled(), order_by="when", overview=overview)
        changes = chart.to_dict()["usermeta"]["embedOptions"]["patch"]
        assert [change["path"] for change in changes] == ["/signals/0", "/autosize"]
        # The compiled chart has one width, which the change is about.
        compiled = vl.vegalite_to_vega(chart.to_dict())
        assert compiled["width"] == 820
        assert "containerSize()" in changes[0]["value"]["init"]
        assert compiled["signals"]


def test_charts_combine():
    vl = pytest.importorskip("vl_convert")
    one = plots.plot_series(labelled(), order_by="when")
    two = plots.plot_series(labelled().head(40), order_by="when", features="cpu")
    other = plots.plot_scores(labelled())
    for chart in (one & two, one | two, one & other, other | one, one.properties(title="x")):
        spec = chart.to_dict()
        assert "usermeta" not in json.dumps(spec.get("vconcat", spec.get("hconcat")))
        assert vl.vegalite_to_svg(spec).startswith("<svg")


def test_dark_charts(tmp_path):
    chart = plots.plot_series(labelled(), order_by="when", threshold=2.5)
    light, dark = (json.dumps(c.to_dict()["vconcat"]) for c in (chart, plots.dark(chart)))
    colours = {"#30343b", "#767b84", "#d55e00", "#e3e6ea"}
    assert all(colour in light and colour not in dark for colour in colours)
    assert plots.dark(plots.plot_scores(labelled())).background == "#1b1e24"
    page = plots.save(chart, tmp_path / "dark.html", theme="dark").read_text()
    assert "body { background: #1b1e24; }" in page
    with pytest.raises(ValueError, match="parameter `theme` = 'pink'"):
        plots.save(chart, tmp_path / "x.svg", theme="pink")


def contrast(one: str, two: str) -> float:
    """Of two colours, as WCAG 2 defines it."""
    lights = []
    for colour in (one, two):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_texts_have_contrast():
    look = importlib.import_module("polars_genias.plots._look")
    for text in (look.INK, look.QUIET):
        assert contrast(text, "#ffffff") >= 4.5
        assert contrast(look.in_dark(text), look.DARK) >= 4.5
    for line in (look.GREY, look.VERMILION, look.BLUE):
        assert contrast(line, "#ffffff") >= 3
        assert contrast(look.in_dark(line), look.DARK) >= 3


# ---------------------------------------------------------------------------- time and series


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 10, 24, 20), 12),  # an hour twice
        ("Europe/Berlin", datetime(2026, 3, 28, 20), 12),  # an hour missing
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 10), 12),  # half an hour twice
    ],
)
def test_a_change_of_the_clock(zone, start, hours):
    end = start + timedelta(hours=hours)
    when = pl.datetime_range(start, end, "10m", time_zone="UTC", eager=True)
    rows = pl.DataFrame({"when": when.dt.convert_time_zone(zone), "x": 1.0})
    spec = plots.plot_series(rows, order_by="when").to_dict()
    (panel,) = spec["vconcat"]
    assert panel["layer"][0]["encoding"]["x"]["title"] == f"when (2026, {zone})"
    _, line = of_mark(spec, panel, "line")[0]
    assert line.height == rows.height
    assert (line["__x"].diff().drop_nulls() > 0).all()
    clock = rows["when"].dt.replace_time_zone(None)
    once = clock.is_unique()
    drawn = line["__x"].cast(pl.Int64).cast(pl.Datetime("ms"))
    # Rows whose time is on the clock once are where the clock says.
    repeated = clock.filter(~once)
    low, high = (repeated.min(), repeated.max()) if repeated.len() else (None, None)
    for at, place in zip(clock, drawn, strict=True):
        if low is None or not low <= at <= high:
            assert place == at
        else:
            assert low <= place <= high + timedelta(minutes=10)


def test_several_series_need_an_order(hosts):
    timed = hosts.with_columns(when=START + pl.duration(minutes="t")).drop("t", "known")
    with pytest.raises(ValueError, match="column 'when' goes back: rows of several series"):
        plots.plot_series(timed)
    with pytest.raises(ValueError, match="column 'host' has one value after another"):
        plots.plot_series(timed.drop("when"))
    one = timed.filter(host="h0")
    assert titles(plots.plot_series(one).to_dict()) == ["cpu", "mem"]
    assert titles(plots.plot_series(timed, by="host", order_by="when").to_dict()) == [
        "h0",
        "h1",
        "h2",
    ]


def test_the_threshold_of_the_model(hosts):
    at = {"by": "host", "order_by": "t"}
    models = hosts.genias.fit(**at, label="known", detector="amplitude", **FAST)
    rows = hosts.genias.score(**at, models=models)
    about = models.genias.describe()
    spec = plots.plot_series(rows, **at, models=models).to_dict()
    for group, threshold in zip(spec["vconcat"], about["threshold"], strict=True):
        _, level = of_mark(spec, group["vconcat"][-1], "rule")[0]
        assert level["value"].to_list() == [pytest.approx(threshold)]
    one = rows.filter(host="h1")
    spec = plots.plot_series(one, order_by="t", models=models.filter(host="h1")).to_dict()
    _, level = of_mark(spec, spec["vconcat"][-1], "rule")[0]
    assert level["value"].to_list() == [pytest.approx(about["threshold"][1])]
    with pytest.raises(ValueError, match="3 models for one series"):
        plots.plot_series(one, order_by="t", models=models)
    with pytest.raises(ValueError, match="`threshold` or `models`, not both"):
        plots.plot_series(one, order_by="t", models=models, threshold=1.0)


def test_far_windows_are_on_a_logarithmic_scale():
    latent = importlib.import_module("polars_genias.plots._latent")
    near = pl.DataFrame({"windows": "normal", "x": [0.1, -0.2, 0.3], "y": [0.1, 0.2, -0.1]})
    for far, kind in ((1.0, None), (40.0, "symlog")):
        row = pl.DataFrame({"windows": ["known anomaly"], "x": [far], "y": [0.0]})
        chart = latent._chart(pl.concat([near, row]), "PCA", 100, 100, None, log=None)
        assert chart.to_dict()["encoding"]["x"]["scale"].get("type") == kind


def test_short_names():
    distinct = importlib.import_module("polars_genias.plots._look").distinct
    long = "a-very-long-name-of-a-service"
    for names, short, note in (
        ([f"{long}/cpu:s", f"{long}/mem:s"], ["cpu", "mem"], f"{long}/*:s"),
        ([f"{long}.cpu", f"{long}.cpu.p95"], ["cpu", "cpu.p95"], f"{long}.*"),
        (["cpu_a", "cpu_b"], ["cpu_a", "cpu_b"], None),
        ([long], [long], None),
        ([], [], None),
    ):
        assert distinct(names) == (short, note)
