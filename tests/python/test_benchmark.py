"""The benchmark of detectors on a file of its layout."""

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "benchmark" / "detectors.py"

pytestmark = [pytest.mark.slow, pytest.mark.once]


def test_detectors_are_compared_and_not_run_twice(tmp_path):
    t = pl.int_range(1000)
    parts = [
        pl.select(
            series=pl.lit("s"),
            split=pl.lit(split),
            t=t.cast(pl.Int64),
            value=pl.when(t.is_between(300, 340) & (split == "test"))
            .then(3.0)
            .otherwise((t / 4).sin()),
            label=t.is_between(300, 340) & (split == "test"),
        )
        for split in ("test", "train")
    ]
    pl.concat(parts).write_parquet(tmp_path / "tiny.parquet")
    results = tmp_path / "results.parquet"
    methods = ["random", "max_abs_z", "reconstruction", "classifier all"]
    command = [sys.executable, SCRIPT, tmp_path, results, "--datasets", "tiny", "--seeds", "0"]
    for _ in range(2):
        run = subprocess.run([*command, "--methods", *methods], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    table = pl.read_parquet(results)
    assert sorted(table["method"]) == sorted(methods)
    found = dict(table.select("method", "auc_pr").iter_rows())
    assert found["reconstruction"] > 0.9
    assert found["classifier all"] > 0.9
    assert not table["has_nan"].any()
    probes = table.filter(method="classifier all").row(0, named=True)
    for name in ("normal", "reconstruction", "shift", "flat", "season", "spike"):
        assert 0 <= probes[f"probe_{name}"] <= 1
    assert probes["probe_normal"] < 0.3 < probes["probe_shift"]


SMALL = {
    "busy.py": "--smoke",
    "evidence.py": "--smoke",
    "memory.py": "--rows 3000 --groups 2 --verb score",
    "metrics.py": "",
    "scaling.py": "--smoke",
    "whole_job.py": "--only genias fleet --groups 2 --rows 400 --steps 5",
}
# Needs what only `make bench` installs.
WITH_TORCH = {
    "compare_torch.py": "--smoke",
    "whole_job.py": "--only baseline --groups 2 --rows 1600 --steps 30",
}


def output(name: str, options: str) -> str:
    """What a benchmark prints; it must not fail."""
    command = [sys.executable, ROOT / "benches" / name, *options.split()]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("name", SMALL)
def test_benchmarks_run(name):
    """How fast it is depends on the machine; that it can be measured does not."""
    assert output(name, SMALL[name])


@pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch")
@pytest.mark.parametrize("name", WITH_TORCH)
def test_benchmarks_against_torch_run(name):
    assert output(name, WITH_TORCH[name])


def test_tsb_ad_files_are_converted_and_scored(tmp_path):
    folder, out = tmp_path / "TSB-AD-U", tmp_path / "scores"
    folder.mkdir()
    t = pl.int_range(900)
    odd = t.is_between(700, 709)
    rows = pl.select(Data=pl.when(odd).then(3.0).otherwise((t / 4).sin()), Label=odd.cast(pl.Int8))
    rows.write_csv(folder / "001_Made_id_1_Other_tr_500_1st_700.csv")
    script = [sys.executable, ROOT / "examples" / "benchmark" / "tsb_ad.py"]
    for what, output in (("convert", tmp_path / "all.parquet"), ("score", out)):
        run = subprocess.run([*script, what, folder, output], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    table = pl.read_parquet(tmp_path / "all.parquet")
    assert table.columns == ["series", "split", "t", "Data", "label"]
    assert table.group_by("split").agg(pl.len(), pl.col("label").sum()).sort("split").rows() == [
        ("test", 400, 10),
        ("train", 500, 0),
    ]
    assert table.filter(pl.col("split") == "test")["t"].to_list() == list(range(400))
    scores = np.load(out / "001_Made_id_1_Other_tr_500_1st_700.npy")
    assert scores.shape == (900,)
    assert np.isfinite(scores).all()
    assert 690 <= scores.argmax() < 720


def test_reasons_and_expectations_are_measured():
    for script, given in (("blame.py", "--features 5 --sources classical"), ("expected.py", "")):
        command = [sys.executable, ROOT / "examples" / "benchmark" / script, *given.split()]
        seeds = ["--seeds", "1"] if given else []
        run = subprocess.run([*command, *seeds], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert "web-03" in run.stdout or "demo" in run.stdout


def test_peers_are_compared_where_both_have_a_result(tmp_path, monkeypatch):
    """Without TSB-AD: a module with a peer that works and one that fails takes its place."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "benchmark")
    package = tmp_path / "TSB_AD"
    package.mkdir()
    (package / "__init__.py").touch()
    settings = "{'KMeansAD_U': {'k': 1}, 'POLY': {}}"
    (package / "HP_list.py").write_text(f"Optimal_Uni_algo_HP_dict = {settings}\n")
    (package / "model_wrapper.py").write_text(
        "Semisupervise_AD_Pool = []\n"
        "def run_KMeansAD_U(data, k):\n    return abs(data)\n"
        "def run_POLY(data):\n    raise ValueError('no period')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    peers = importlib.import_module("peers")
    t = np.arange(900)
    odd = (t >= 700) & (t < 720)
    values = np.sin(t / 4) + 3 * odd
    data = pl.DataFrame({"t": t, "value": values, "label": odd}).with_columns(
        split=pl.when(pl.col("t") < 500).then(pl.lit("train")).otherwise(pl.lit("test"))
    )
    data = pl.concat([data.with_columns(series=pl.lit(name)) for name in ("s0", "s1")])
    methods = ["evidence", "KMeansAD", "POLY", "CBLOF"]
    in_process = peers.Worker(60)

    def run(_, peer, train, test):
        return peers.answer(peer, train, test)

    monkeypatch.setattr(peers.Worker, "run", run)
    results = pl.DataFrame(list(peers.lines(data, "ucr", methods, set(), 60)), schema=peers.SCHEMA)
    assert in_process.process is None
    # CBLOF is one for several features.
    assert sorted(set(results["method"])) == ["KMeansAD", "POLY", "evidence"]
    assert results.filter(method="POLY")["error"].to_list() == ["ValueError: no period"] * 2
    assert results.filter(pl.col("method") != "POLY")["auc_pr"].min() > 0.9
    table = peers.compared(results, "auc_pr").row(0, named=True)
    assert (table["peer"], table["series"]) == ("KMeansAD", 2)
    assert table["ours"] == results.filter(method="evidence")["auc_pr"].mean()
    done = set(results.select(peers.KEYS).iter_rows())
    assert not list(peers.lines(data, "ucr", methods, done, 60))


def test_labels_on_normal_data_changes_and_real_series_are_measured():
    script = ROOT / "examples" / "benchmark" / "alarms.py"
    run = subprocess.run([sys.executable, script, "--smoke"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for words in ("realised / 0.001", "flagged later", "normal flagged", "mean + 3 sd"):
        assert words in run.stdout
