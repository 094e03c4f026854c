"""What a user meets when the input is bad: the table of the documentation, row by row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

import polars_genias as pg
from conftest import FAST, both

ComputeError = pl.exceptions.ComputeError

BAD_OPTIONS = [
    ({"window": 7}, "`window` = 7"),
    ({"window": True}, "`window` = true"),
    ({"window": "wide"}, '`window` = "wide"'),
    ({"stride": 0}, "`stride` = 0"),
    ({"tau": -0.1}, "`tau` = -0.1"),
    ({"tau": float("nan")}, "`tau` = nan"),
    ({"sigma_prior": 0}, "`sigma_prior` = 0"),
    ({"contamination": 0}, "`contamination` = 0"),
    ({"contamination": 1.2}, "`contamination` = 1.2"),
    ({"validation": 0.9}, "`validation` = 0.9"),
    ({"dropout": 1.0}, "`dropout` = 1"),
    ({"delta_min": 0.3, "delta_max": 0.2}, "`delta_min` = 0.3"),
    ({"kl": "approximate"}, '`kl` = "approximate"'),
    ({"patch": "some"}, '`patch` = "some"'),
    ({"preset": "best"}, '`preset` = "best"'),
    ({"strength": (2, 1)}, "`strength`"),
    ({"length": (1, 2, 3)}, "`length`"),
    ({"seed": -1}, "`seed` = -1"),
    ({"windw": 9}, "unknown option `windw`"),
    ({"window": object()}, "parameter `window`"),
    ({"max_gap": 3}, "`max_gap`"),
    ({"kind": "residuals"}, 'did you mean "residual"?'),
    ({"kind": ["walk", "levelshift"]}, 'did you mean "level-shift"?'),
    ({"kind": ["walk", 3]}, '`kind` = ["walk",3]'),
    ({"kind": []}, "`kind` = []"),
    ({"kind": "walk", "form": "decoded"}, '`form` = "decoded": must be given without `kind`'),
    ({"kind": "walk", "patch": "correlation"}, "given without `kind`"),
    ({"kind": "walk", "direction": "up"}, "`direction` = up"),
    ({"kind": "correlation", "strength": 2}, "`strength` = 2"),
    ({"kind": "platform", "size": 2}, "`size` = 2"),
    ({"kind": ["walk", "correlation"], "hit": "cpu"}, "`hit` = cpu"),
    ({"kind": "level-shift", "creep": 0.5}, "`creep` = 0.5"),
]


@pytest.mark.parametrize(("options", "text"), BAD_OPTIONS)
def test_options_are_refused_where_they_are_written(series, options, text):
    for call in (
        lambda: series.lazy().genias.generate(features="cpu", **options),
        lambda: pl.col("cpu").genias.generate(**options),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert text in str(error.value)


def test_option_types_of_numpy_are_taken(series):
    options = {**FAST, "window": np.int64(16), "tau": np.float32(0.25)}
    assert series.genias.generate(features="cpu", **options).height == series.height


def test_length_beyond_the_window(series):
    with pytest.raises(ComputeError, match="`length` = 17"):
        series.genias.generate(features="cpu", length=17, **FAST)


def test_columns_that_are_not_numeric(series):
    text = series.with_columns(s=pl.lit("x"), n=pl.concat_list("cpu", "mem"))
    for name in ("s", "n"):
        with pytest.raises(ValueError, match=f"column '{name}' has dtype"):
            text.genias.fit(features=["cpu", name])
        with pytest.raises(ComputeError, match=f"column `{name}` has dtype"):
            text.select(pl.col(name).genias.score(**FAST))
    nested = pl.struct("cpu", pl.struct("mem").alias("inner"))
    with pytest.raises(ComputeError, match="column `inner` has dtype"):
        text.select(nested.genias.fit(**FAST))


def test_columns_that_do_not_exist(series):
    for role in ("features", "by", "order_by", "label"):
        with pytest.raises(ValueError, match=f"`{role}` = 'nope': no such column"):
            series.lazy().genias.generate(**{role: "nope"})
    with pytest.raises(ValueError, match="no numeric column is left"):
        series.select(pl.lit("x").alias("s")).genias.fit()
    with pytest.raises(ValueError, match="at least one column"):
        series.genias.fit(features=[])
    with pytest.raises(ValueError, match="must be a Boolean column"):
        series.genias.fit(features="cpu", label="mem")


def test_bad_sizes_of_windows(series):
    for args, text in (((0,), "`size` = 0"), ((4, 0), "`stride` = 0"), ((True,), "`size` = True")):
        with pytest.raises(ValueError, match=text):
            series.select(pg.windows("cpu", *args))


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_nulls_and_nan(series, missing):
    at = [30, 31, 90]
    holes = series.with_columns(cpu=pl.when(pl.col("t").is_in(at)).then(missing).otherwise("cpu"))
    out = holes.genias.generate(features=["cpu", "mem"], contamination=0.3, **FAST)
    out = out.genias.score(features=["cpu", "mem"], **FAST)
    hole = pl.col("t").is_in(at)
    # A window may miss a few values; an anomaly in it hits the others.
    assert not out.filter(hole)["cpu_mask"].any()
    assert out.filter(hole)["anomaly_score"].is_null().all()
    assert out.filter(~hole)["anomaly_score"].is_not_null().all()
    assert out.filter(hole)["cpu_synthetic"].equals(holes.filter(hole)["cpu"], null_equal=True)
    assert out["anomaly_score"].is_nan().sum() == 0


def test_everything_null(series):
    nothing = series.with_columns(cpu=pl.lit(None, pl.Float64))
    out = nothing.genias.generate(features="cpu", **FAST)
    assert out["is_anomaly"].is_null().all()
    assert out["cpu_synthetic"].is_null().all()
    with pytest.raises(ComputeError, match="none of the 160 rows lies in a window"):
        nothing.genias.generate(features="cpu", strict=True, **FAST)


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_values(series, value):
    odd = series.with_columns(mem=pl.when(pl.col("t") == 77).then(value).otherwise("mem"))
    with pytest.raises(ComputeError, match="column `mem` is infinite at row 77"):
        odd.genias.generate(features=["cpu", "mem"], **FAST)


def test_constant_columns(series):
    flat = series.with_columns(mem=pl.lit(5.0))
    table = flat.genias.fit(features=["cpu", "mem"], detector="reconstruction", **FAST)
    about = table.select(pg.describe("model")).unnest("model")
    assert about["constant_features"].to_list() == [["mem"]]
    out = flat.genias.generate(features=["cpu", "mem"], models=table)
    assert (out["mem_synthetic"] == 5.0).all()
    assert out["cpu_mask"].any()
    moved = flat.with_columns(mem=pl.when(pl.col("t") == 60).then(9.0).otherwise("mem"))
    assert (
        moved.genias.score(features=["cpu", "mem"], models=table)["anomaly_score"].arg_max() == 60
    )
    hit = flat.genias.generate(
        features=["cpu", "mem"], models=table, hit_constant=True, contamination=0.5, length=2
    )
    assert hit["mem_mask"].any()


def test_nothing_but_constant_columns(series):
    flat = series.select(pl.lit(5.0).repeat_by(160).explode().alias("a"), pl.lit(0).alias("b"))
    error = {"features": ["a", "b"], "detector": "reconstruction", **FAST}
    out = flat.genias.generate(**FAST).genias.score(**error)
    assert out["is_anomaly"].sum() == 16
    assert (out["anomaly_score"] == 0).all()
    about = flat.genias.fit(**FAST).select(pg.describe("model")).unnest("model")
    assert about["stop_reason"].item() == "no_live_feature"
    assert about["psi"].item() is None


def test_series_shorter_than_a_window(hosts):
    short = hosts.filter((pl.col("host") != "h1") | (pl.col("t") < 10))
    args = {"by": "host", "features": "cpu", **FAST}
    with pytest.warns(UserWarning, match="no model for host = h1: fewer rows than `window` = 16"):
        out = short.genias.generate(**args).genias.score(**args)
    of_h1 = pl.col("host") == "h1"
    assert out.filter(of_h1).select("is_anomaly", "anomaly_score").null_count().row(0) == (10, 10)
    assert out.filter(of_h1)["cpu_synthetic"].equals(out.filter(of_h1)["cpu"])
    assert out.filter(~of_h1)["is_anomaly"].any()
    assert short.genias.fit(**args)["model"].is_null().to_list() == [False, True, False]
    for verb in ("generate", "score", "fit", "label", "pairs"):
        with pytest.raises(ComputeError, match="10 rows is shorter than `window` = 16"):
            getattr(short.genias, verb)(strict=True, **args)


def test_series_of_exactly_one_window(series):
    one = series.head(16)
    out = one.genias.generate(features="cpu", contamination=1.0, **FAST)
    out = out.genias.score(features="cpu", **FAST)
    assert out["is_anomaly"].all()
    assert out["anomaly_score"].is_finite().all()


def test_training_that_diverges_is_never_a_nan_model(series):
    args = {"features": "cpu", **FAST, "learning_rate": 1e30, "clip": None, "steps": 60}
    try:
        table = series.genias.fit(**args)
    except ComputeError as error:
        assert "training diverged at step" in str(error)
    else:
        scores = series.genias.score(features="cpu", models=table)["anomaly_score"]
        assert scores.is_finite().all()


INTERRUPTED = """
import signal, sys
import polars as pl, polars_genias as pg
sys.path.insert(0, sys.argv[1])
from conftest import FAST, make_hosts
hosts = make_hosts(hosts=4, rows=4000).lazy()
query = hosts.genias.generate(by="host", steps=1_000_000, patience=None)
if sys.argv[3] == "notebook":
    # A notebook kernel sets Python's handler anew before every cell.
    make_hosts().genias.generate(by="host", **FAST)
    signal.signal(signal.SIGINT, signal.default_int_handler)
print("started", flush=True)
pg.sink_parquet(query, sys.argv[2])
"""


@pytest.mark.parametrize("where", ["script", "notebook"])
def test_interrupt_stops_a_fit_and_keeps_the_old_file(tmp_path, where):
    old = tmp_path / "out.parquet"
    pl.DataFrame({"x": [1]}).write_parquet(old)
    here = os.path.dirname(__file__)  # noqa: PTH120
    command = [sys.executable, "-c", INTERRUPTED, here, str(old), where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, error = process.communicate(timeout=20)
    assert time.monotonic() - began < 2
    assert "KeyboardInterrupt" in error
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert pl.read_parquet(old)["x"].item() == 1


def test_a_query_that_fails_keeps_the_old_file(series, tmp_path):
    path = tmp_path / "new" / "out.parquet"
    pg.sink_parquet(series.lazy(), path)
    odd = series.with_columns(cpu=pl.lit(float("inf")))
    with pytest.raises(ComputeError, match="infinite"):
        pg.sink_parquet(odd.lazy().genias.generate(features="cpu", **FAST), path)
    assert pl.read_parquet(path).equals(series)
    assert [file.name for file in path.parent.iterdir()] == ["out.parquet"]


def test_wrong_lengths_are_named(series):
    with pytest.raises(Exception, match=r"160|length|shape"):
        series.select(pg.score("cpu", order_by=pl.Series("t", [1, 2]), **FAST))


def test_strings_with_odd_characters_survive(series):
    name = 'odd "name" \\ with, everything\t'
    odd = series.select(pl.col("cpu").alias(name))
    out = odd.genias.generate(**FAST)
    assert out.columns[:2] == [name, f"{name}_synthetic"]
    infinite = odd.with_columns(pl.lit(float("inf")).alias(name))
    with pytest.raises(ComputeError, match="is infinite at row 0"):
        infinite.genias.generate(**FAST)


def test_two_features_of_one_name(series):
    with pytest.raises(Exception, match=r"(?i)duplicate|multiple"):
        series.select(pl.struct("cpu", pl.col("mem").alias("cpu")).genias.score(**FAST))


def test_pairs_need_the_window_of_their_model(series):
    model = series.select(both().genias.fit(**FAST).alias("m"))
    with pytest.raises(ComputeError, match="`window` = 200: must be 16"):
        series.select(pg.pairs(both(), model=pl.lit(model["m"][0], pl.Binary)))
