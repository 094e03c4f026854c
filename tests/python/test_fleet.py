"""Models of many series that share a VAE: stored, described and used like any others."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import polars_genias as pg

SMALL = {"window": 24, "latent": 6, "channels": 4, "steps": 25}
AT = {"by": "host", "order_by": "t"}
ROOT = Path(__file__).parents[2]


def one(host: str, seed: int, *, period: float = 12, smooth: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    t = np.arange(400)
    if smooth:
        kernel = np.ones(9) / 9
        values = [np.convolve(rng.normal(0, 1, 400), kernel, "same") for _ in range(2)]
    else:
        wave = np.sin(2 * np.pi * t / period + seed)
        values = [seed + (1 + seed) * wave, 50 - 3 * wave]
        values = [value + rng.normal(0, 0.02, 400) for value in values]
    return pl.DataFrame({"host": [host] * 400, "t": t, "a": values[0], "b": values[1]})


@pytest.fixture(scope="module")
def hosts() -> pl.DataFrame:
    alike = [one(f"h{i}", i) for i in range(5)]
    return pl.concat([*alike, one("odd", 9, smooth=True)])


@pytest.fixture(scope="module")
def models(hosts) -> pl.DataFrame:
    with pytest.warns(UserWarning, match="host = odd"):
        return pg.fit(hosts, **AT, **SMALL, share="fleet")


def fitted(frame):
    pg.clear_cache()
    with pytest.warns(UserWarning, match="1 of 6 groups are unlike the others.*host = odd"):
        found = pg.fit(frame, **AT, **SMALL, share="fleet").lazy().collect()
    return found.sort("host")


def test_alike_hosts_share_a_backbone(models):
    assert models.columns == ["host", "model", "model_backbone"]
    about = models.genias.describe()
    assert about.columns[0] == "host"
    assert "model_backbone" not in about.columns
    assert about["origin"].to_list() == ["shared"] * 5 + ["own"]
    assert about["steps"].to_list()[:5] == [0] * 5
    assert about["backbone"][:5].n_unique() == 1
    assert about["backbone"].n_unique() == 2
    assert models["model_backbone"].n_unique() == 2
    assert about["r2"].min() > 0.5
    assert pg.health(models).columns == ["host", "psi", "r2", "r2_pca", "health"]


def test_a_table_of_them_shows_every_model(models):
    shown = pg.Models(models)
    assert list(shown) == models["host"].to_list()
    assert repr(shown).startswith("h0: <GenIAS model: 2 features, window 24")
    assert shown["h1"] == pg.standalone(models).filter(host="h1")["model"].item()
    assert shown["h1"].features == ["a", "b"]


def test_their_thresholds_are_drawn(hosts, models):
    plots = pytest.importorskip("polars_genias.plots", reason="needs the extra [plot]")
    scored = hosts.filter(host="h1").genias.score(**AT, models=models)
    given = {"order_by": "t", "by": "host", "features": "a"}
    chart = plots.plot_series(scored, **given, models=models.filter(host="h1"))
    threshold = models.genias.describe().filter(host="h1")["threshold"].item()
    assert f"threshold {threshold:.4g}" in str(chart.to_dict())


@pytest.mark.parametrize("change", ["groups", "rows", "chunks", "lazy"])
def test_order_chunks_and_engines_change_nothing(hosts, models, change):
    parts = hosts.partition_by("host", maintain_order=True)
    changed = {
        "groups": pl.concat(parts[::-1]),
        "rows": hosts.sample(fraction=1, shuffle=True, seed=1),
        "chunks": pl.concat([hosts[:700], hosts[700:]], rechunk=False),
        "lazy": hosts.lazy(),
    }[change]
    assert fitted(changed).equals(models.sort("host"))


def test_threads_change_nothing(models, tmp_path):
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import polars as pl, polars_genias as pg, test_fleet as test\n"
        "parts = [test.one(f'h{i}', i) for i in range(5)] + [test.one('odd', 9, smooth=True)]\n"
        "pg.fit(pl.concat(parts), **test.AT, **test.SMALL, share='fleet').write_parquet('m')\n"
    )
    environment = {**os.environ, "POLARS_MAX_THREADS": "3"}
    command = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(command, env=environment, check=True, cwd=tmp_path)
    assert pl.read_parquet(tmp_path / "m").equals(models)


def test_verbs_read_such_models_in_every_form(hosts, models, tmp_path):
    path = tmp_path / "models.parquet"
    models.lazy().sink_parquet(path)
    whole = pg.standalone(models)
    assert whole.columns == ["host", "model"]
    assert isinstance(pg.standalone(models.lazy()), pl.LazyFrame)
    expected = pg.score(hosts, models=whole, **AT)
    renamed = models.rename({"model": "net", "model_backbone": "net_backbone"})
    forms = [models, models.lazy(), path, pl.read_parquet(path), pl.scan_parquet(path), renamed]
    for form in forms:
        assert pg.score(hosts, models=form, **AT).equals(expected)
        lazy = pg.score(hosts.lazy(), models=form, **AT)
        assert lazy.collect(engine="streaming").equals(expected)
    generated = pg.generate(hosts, models=whole, **AT)
    assert pg.generate(hosts, models=path, **AT).equals(generated)
    assert pg.label(hosts, models=models, **AT).equals(pg.label(hosts, models=whole, **AT))
    value = pl.struct("model", "model_backbone")
    over = hosts.join(models, on="host").with_columns(
        pg.score(pl.struct("a", "b"), model=value, order_by="t").over("host").alias("score")
    )
    assert over["score"].equals(expected["anomaly_score"])
    one_host = hosts.filter(pl.col("host") == "h1")
    kept = models.filter(pl.col("host") == "h1").select("model", "model_backbone")
    alone = pg.score(one_host, models=kept, order_by="t", features=["a", "b"])
    assert alone["anomaly_score"].equals(expected.filter(pl.col("host") == "h1")["anomaly_score"])


def test_models_are_updated_and_get_other_detectors(hosts, models):
    seen = pg.label(hosts, models=models, **AT, update=True).drop_nulls("model")
    assert seen.height == 6
    updated = seen.select("host", "model").join(models.drop("model"), on="host")
    assert pg.label(hosts, models=updated, **AT).height == hosts.height
    detector = {"detector": "classifier", "detector_steps": 5}
    more = pg.fit(hosts, models=models, **AT, **detector)
    whole = pg.fit(hosts, models=pg.standalone(models), **AT, **detector)
    assert pg.score(hosts, models=more, **AT).equals(pg.score(hosts, models=whole, **AT))


@pytest.mark.skipif(
    tuple(map(int, pl.__version__.split(".")[:2])) < (1, 44),
    reason="earlier versions write equal large values again and again",
)
def test_parquet_stores_a_backbone_once(tmp_path):
    many = pl.concat(
        [one(f"h{i:02}", i % 7).with_columns(a=pl.col("a") * (i + 1)) for i in range(24)]
    )
    models = pg.fit(many, **AT, **SMALL | {"latent": 40, "channels": 32}, share="fleet")
    assert models["model_backbone"].n_unique() == 1
    path = tmp_path / "models.parquet"
    models.write_parquet(path, compression="uncompressed")
    backbone = models["model_backbone"].bin.size().max()
    own = models["model"].bin.size()
    assert own.max() < backbone
    assert own.max() < 100_000
    assert path.stat().st_size < 1.1 * (backbone + own.sum())
    models.lazy().sink_parquet(path)
    assert path.stat().st_size < 1.1 * (backbone + own.sum())
    assert pl.read_parquet(path).equals(models)


def test_new_hosts_start_from_a_backbone(hosts, models, tmp_path):
    path = tmp_path / "models.parquet"
    models.write_parquet(path)
    new = pl.concat([one("new", 3).with_columns(pl.col("a") * 2), one("strange", 11, period=4.7)])
    before = pg.fit_count()
    with pytest.warns(UserWarning, match="1 of 2 groups are unlike the others.*strange"):
        made = pg.fit(new, models=models, warm=True, **AT)
    assert pg.fit_count() == before + 2
    about = made.genias.describe()
    assert about["origin"].to_list() == ["shared", "own"]
    assert about["steps"][0] == 0
    known = models.genias.describe()["backbone"].to_list()
    assert about["backbone"][0] in known
    assert about["backbone"][1] not in known
    assert about["window"].to_list() == [24, 24]
    with pytest.warns(UserWarning, match="strange"):
        assert pg.fit(new.lazy(), models=path, warm=True, **AT).collect().equals(made)
    every = pl.concat([models, made])
    assert pg.generate(pl.concat([hosts, new]), models=every, **AT).height == 3200


def test_a_single_model_starts_new_ones(hosts):
    first = hosts.filter(pl.col("host") == "h1")
    at = {"order_by": "t", "features": ["a", "b"]}
    model = pg.fit(first, **at, **SMALL)["model"].item()
    made = pg.fit(first, models=model, warm=True, **at)
    assert made.columns == ["model", "model_backbone"]
    about = made.genias.describe()
    assert (about["origin"].item(), about["steps"].item()) == ("shared", 0)
    value = first.select(pg.fit(pl.struct("a", "b"), model=model, order_by="t", warm=True))
    assert value.unnest("a").equals(made.rename({"model_backbone": "backbone"}))


def test_bad_input_is_an_error(hosts, models):
    for given, text in [
        ({"share": "fleet", "order_by": "t"}, "`share` = 'fleet'.*`by`"),
        ({"share": "fleets", **AT}, "`share` = .*fleet"),
        ({"warm": True, **AT}, "`warm` = True: give the `models`"),
        ({"warm": True, "models": models, "window": 32, **AT}, "`warm`"),
        ({"warm": True, "models": pl.concat([models] * 2), "latent": 7, **AT}, "`warm`"),
    ]:
        with pytest.raises((ValueError, pl.exceptions.ComputeError), match=text):
            pg.fit(hosts, **given)
    other = hosts.rename({"a": "x", "b": "y"})
    with pytest.raises(pl.exceptions.ComputeError, match="features"):
        pg.fit(other, models=models, features=["x", "y"], warm=True, **AT)
    with pytest.raises(pl.exceptions.ComputeError, match=r"`share`.*`by`"):
        hosts.select(pg.fit("a", share="fleet", **SMALL))
    with pytest.raises(ValueError, match="`warm`"):
        pg.fit("a", warm=True)
    with pytest.raises(ValueError, match="option of `fit`"):
        pg.score(hosts, share="fleet", **AT)
    with pytest.raises(pl.exceptions.ComputeError, match=r"backbone .* is missing"):
        pg.score(hosts, models=models.drop("model_backbone"), **AT)
    swapped = models.with_columns(pl.col("model_backbone").reverse())
    with pytest.raises(pl.exceptions.ComputeError, match="its backbone is"):
        pg.score(hosts, models=swapped, **AT)


def test_unusable_groups_get_no_model(hosts, models):
    short = one("short", 1).head(9)
    constant = one("still", 1).with_columns(a=pl.lit(1.0), b=pl.lit(2.0))
    made = fitted(pl.concat([hosts, short]).filter(pl.col("host") != "h4"))
    assert made.filter(pl.col("host") == "short")["model"].item() is None
    with pytest.warns(UserWarning):
        made = pg.fit(pl.concat([hosts, constant]), **AT, **SMALL, share="fleet")
    still = made.filter(pl.col("host") == "still")
    assert still["model_backbone"].item() is None
    assert still.genias.describe()["stop_reason"].item() == "no_live_feature"
    assert made.filter(pl.col("host") != "still").equals(models)


@pytest.mark.once
def test_the_benchmark_runs(tmp_path):
    script = ROOT / "benches" / "fleet.py"
    spec = importlib.util.spec_from_file_location("fleet", script)
    assert spec is not None
    out = tmp_path / "found.json"
    command = [sys.executable, "-W", "ignore", script, "--smoke", "--json", out]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert out.stat().st_size > 100
