"""Pictures: what is in their specifications, that they can be saved, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta

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


def layers(spec: dict, panel: dict) -> list[tuple[dict, pl.DataFrame]]:
    """The layers of a panel, and the rows that each draws."""
    found = []
    for layer in panel.get("layer", [panel]):
        data = layer.get("data") or panel.get("data") or spec["data"]
        rows = spec["datasets"][data["name"]]
        found.append((layer, pl.DataFrame(rows, infer_schema_length=None)))
    return found


def of_mark(spec: dict, panel: dict, mark: str) -> list[tuple[dict, pl.DataFrame]]:
    return [found for found in layers(spec, panel) if found[0]["mark"]["type"] == mark]


def times(*minutes: float) -> list[str]:
    """Times as they are written into a specification."""
    at = (START + timedelta(minutes=minute) for minute in minutes)
    return [when.strftime("%Y-%m-%dT%H:%M:%S") for when in at]


def cut(rows: pl.DataFrame, column: str) -> list[str]:
    return rows[column].str.slice(0, 19).to_list()


# ---------------------------------------------------------------------------- series


def test_series_panels_lines_and_shades():
    spec = plots.plot_series(labelled(), order_by="when", units={"cpu": "%"}).to_dict()
    cpu, mem, score = spec["vconcat"]
    titles = [layers(spec, p)[-1][0]["encoding"]["y"].get("title") for p in (cpu, mem)]
    assert titles == ["cpu (%)", "mem"]
    for panel in (cpu, mem, score):
        ((_, span),) = of_mark(spec, panel, "rect")[:1]
        # From half a step before the first row that is hit to half a step after the last.
        assert cut(span, "start") == times(19.5)
        assert cut(span, "end") == times(24.5)
        assert span["rows"].to_list() == ["is anomaly"]
    before, after = (rows for _, rows in of_mark(spec, cpu, "line"))
    np.testing.assert_allclose(before["value"], labelled()["cpu"])
    drawn = after.drop_nulls("value")
    assert cut(drawn, "__x") == times(*range(19, 26))
    expected = labelled()["cpu_synthetic"][19:26]
    np.testing.assert_allclose(drawn["value"], expected)
    assert after["value"].null_count() == 60 - 7
    assert of_mark(spec, mem, "line")[1][1].drop_nulls("value").is_empty()


def test_series_score_threshold_and_flags():
    spec = plots.plot_series(labelled(), order_by="when", threshold=2.5).to_dict()
    score = spec["vconcat"][-1]
    (_, line) = of_mark(spec, score, "line")[0]
    assert line["value"].max() == 5.0
    (rule, level) = of_mark(spec, score, "rule")[0]
    assert level["level"].to_list() == [2.5]
    assert rule["encoding"]["y"]["field"] == "level"
    _, (_, flags) = of_mark(spec, score, "rect")
    assert cut(flags, "start") == times(19.5, 39.5)
    assert cut(flags, "end") == times(24.5, 40.5)


def test_series_without_anomalies_and_without_time():
    rows = labelled().select("cpu", "mem", "known")
    spec = plots.plot_series(rows.lazy(), label="known").to_dict()
    assert len(spec["vconcat"]) == 2
    _, span = of_mark(spec, spec["vconcat"][0], "rect")[0]
    assert span.select("start", "end").row(0) == (49.5, 59.5)
    x = of_mark(spec, spec["vconcat"][1], "line")[0][0]["encoding"]["x"]
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
    names = [layers(spec, p)[-1][0]["encoding"]["y"]["title"] for p in spec["vconcat"]]
    assert names == ["cpu", "x3"]
    assert "2 of 7 features" in str(spec["title"])


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (pl.col("t").cast(pl.Int32), 59.5),
        (pl.lit(datetime(2026, 1, 1).date()) + pl.duration(days="t"), None),
        (pl.duration(minutes="t"), 59.5 * 60),
        (pl.col("when").dt.replace_time_zone("Europe/Vienna"), None),
    ],
)
def test_kinds_of_time(when, expected):
    rows = labelled().with_columns(t=pl.int_range(60)).with_columns(when=when).drop("t")
    spec = plots.plot_series(rows, order_by="when", label="known", features="cpu").to_dict()
    end = of_mark(spec, spec["vconcat"][0], "rect")[0][1]["end"][0]
    if expected is None:
        assert str(end).startswith("2026-")
    else:
        assert end == expected


def test_long_series_keep_their_extremes_and_stay_small():
    rows = 200_000
    rng = np.random.default_rng(0)
    value = rng.normal(size=rows)
    value[123_456], value[77] = 50.0, -50.0
    data = pl.DataFrame({"t": np.arange(rows), "x": value}).with_columns(
        label=(pl.col("t") // 10) % 2 == 0
    )
    spec = plots.plot_series(data, features="x", order_by="t", label="label").to_dict()
    _, line = of_mark(spec, spec["vconcat"][0], "line")[0]
    assert line.height <= 4 * 820
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
    assert thinned.height <= max(4 * bins, 0) or rows.height <= 4 * bins
    assert thinned.join(rows, on=["x", "value"], nulls_equal=True).height == thinned.height
    last = max(len(values) - 1, 1)
    column = np.minimum(np.floor(rows["x"].to_numpy() / last * bins), bins - 1)
    for number in np.unique(column):
        whole = rows.filter(pl.Series(column == number))
        part = thinned.filter(pl.col("x").is_in(whole["x"].to_list()))
        assert part["value"].min() == whole["value"].min()
        assert part["value"].max() == whole["value"].max()
        assert (part["x"][0], part["x"][-1]) == (whole["x"][0], whole["x"][-1])


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
    plain = {"t": "time", "cpu": "one", "mem": "two", "known": "true", "score": "much"}
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
    cells = [cell for rows in tables for row in rows for cell in row.values()]
    return sorted(float(cell) for cell in cells if isinstance(cell, (int, float)))


def test_kinds_have_a_colour_each():
    out = pg.datasets.demo().genias.inject(
        by="host", order_by="timestamp", kind=["trend", "mean"], count=2, length=20
    )
    one = out.filter(host="web-01").genias.plot(order_by="timestamp").to_dict()
    assert {"mean", "trend"} <= set(texts(one))
    facets = out.genias.plot(by="host", order_by="timestamp", features="cpu").to_dict()
    assert [chart["title"]["text"] for chart in facets["vconcat"]] == ["web-01", "web-02", "web-03"]
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
        stretches = [data for data in chart["datasets"].values() if data and "end" in data[0]]
        assert [[(row["start"], row["end"]) for row in data] for data in stretches] == [
            [(4.5, 7.5), (29.5, 30.5)]
        ]
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
    drawn = chart["datasets"][band["data"]["name"]]
    assert [row["value"] for row in drawn] == [0.0, 1.0, 0.5]
    assert [row["upper"] for row in drawn] == [2.0, 3.0, 2.5]
