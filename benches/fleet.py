"""A fleet of hosts, Parquet to Parquet: single fits against models that share a VAE.

``python benches/fleet.py [--hosts 20] [--baseline FOLDER] [--baseline-hosts 2] [--json FILE]``
makes the hosts, fits, generates and scores them with the default detector, each way in a process of
its own, and prints CPU seconds per host, bytes of models, R2 of held-out windows, and AUC-PR of the
scores on injected anomalies. ``FOLDER`` holds an unpacked wheel of an older version, whose CPU time
is measured on a few hosts. ``--smoke`` checks that all of it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FEATURES = ["cpu", "memory", "requests", "errors", "latency"]
AT = {"features": FEATURES, "by": "host", "order_by": "t"}


def host(number: int, rows: int):
    """One host: a daily cycle of its own phase, level and noise; every sixth is a batch machine."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng([11, number])
    t = np.arange(rows)
    day = rng.choice([96, 144, 288])
    phase, level, noise = rng.uniform(0, 1), rng.uniform(0.3, 3), rng.uniform(0.02, 0.2)
    cycle = (t / day + phase) % 1
    if number % 6 == 5:
        load = ((t / rng.integers(30, 60) + phase) % 1 < rng.uniform(0.2, 0.6)).astype(float)
    else:
        load = 0.5 + 0.4 * np.sin(2 * np.pi * cycle)
        load += rng.uniform(0, 0.3) * np.sin(4 * np.pi * cycle + rng.uniform(0, 6))
    weekend = 1 - 0.3 * ((t / (7 * day) + phase) % 1 > 5 / 7)
    drift = np.zeros(rows)
    for i in range(1, rows):
        drift[i] = 0.95 * drift[i - 1] + rng.normal(0, noise)
    load = load * weekend + 0.2 * drift
    columns = {
        "host": np.full(rows, f"host-{number:04}"),
        "t": t,
        "cpu": level * (20 + 60 * load) + rng.normal(0, 30 * noise, rows),
        "memory": 40 + 20 * level * np.convolve(load, np.ones(24) / 24, "same") + 3 * drift,
        "requests": np.maximum(900 * level * load + rng.normal(0, 400 * noise, rows), 0),
        "errors": rng.poisson(np.maximum(2 + 6 * load, 0.1)),
        "latency": 18 + 12 * level * load**2 + rng.gamma(2, 10 * noise, rows),
    }
    return pl.DataFrame(columns).with_columns(pl.col(FEATURES).cast(pl.Float64))


def make(folder: Path, hosts: int, rows: int) -> None:
    """Training rows, and later rows with injected anomalies."""
    import polars as pl

    import polars_genias as pg

    both = [host(number, 2 * rows) for number in range(hosts)]
    pl.concat(part.head(rows) for part in both).write_parquet(folder / "train.parquet")
    test = pl.concat(part.tail(rows) for part in both)
    given = {"contamination": 0.04, "length": (8, min(60, rows // 20)), "seed": 5}
    injected = pg.inject(test, **AT, **given)
    columns = [pl.col(f"{name}_synthetic").alias(name) for name in FEATURES]
    kept = injected.select("host", "t", *columns, "is_anomaly")
    kept.write_parquet(folder / "test.parquet")


def job(folder: Path, out: Path, hosts: int, share: str | None, options: dict) -> None:
    """The job as a user writes it."""
    import polars as pl

    import polars_genias as pg

    train = pl.read_parquet(folder / "train.parquet")
    train = train.filter(pl.col("host").is_in([f"host-{i:04}" for i in range(hosts)]))
    fleet = {} if share is None else {"share": share}
    models = pg.fit(train, **AT, **options, **fleet)
    models.write_parquet(out / "models.parquet")
    models = pl.read_parquet(out / "models.parquet")
    pg.generate(train, models=models, **AT).write_parquet(out / "generated.parquet")
    pg.score(train, models=models, **AT).write_parquet(out / "scores.parquet")


def measured(folder: Path, out: Path, hosts: int, share: str | None, given) -> float:
    """CPU seconds of the job per host."""
    out.mkdir()
    environment = {**os.environ, "POLARS_MAX_THREADS": str(given.threads)}
    if share == "baseline":
        environment["PYTHONPATH"] = str(given.baseline)
    options = json.dumps({"window": 32, "steps": 10} if given.smoke else {})
    way = share if share == "fleet" else "single"
    command = [sys.executable, __file__, "job", str(folder), str(out), str(hosts), way, options]
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return (usage.ru_utime + usage.ru_stime) / hosts


def quality(folder: Path, out: Path) -> dict:
    """R2, bytes and AUC-PR of the models of a job."""
    import polars as pl

    import polars_genias as pg

    models = pl.read_parquet(out / "models.parquet")
    about = models.genias.describe()
    scored = pg.score(pl.read_parquet(folder / "test.parquet"), models=models, **AT)
    found = scored.group_by("host", maintain_order=True).agg(
        pg.auc_pr("anomaly_score", "is_anomaly").alias("auc_pr")
    )
    size = (out / "models.parquet").stat().st_size
    result = {
        "r2_median": about["r2"].median(),
        "r2_pca_median": about["r2_pca"].median(),
        "r2_least": about["r2"].min(),
        "auc_pr_mean": found["auc_pr"].mean(),
        "auc_pr_median": found["auc_pr"].median(),
        "models_kb_per_host": size / 1e3 / models.height,
        "own_kb": models["model"].bin.size().max() / 1e3,
    }
    if "model_backbone" in models.columns:
        result["backbones"] = models["model_backbone"].n_unique()
        result["on_their_own"] = (about["origin"] == "own").sum()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="+", default=["single", "fleet"])
    parser.add_argument("--baseline", type=Path, metavar="FOLDER", help="an unpacked wheel")
    parser.add_argument("--baseline-hosts", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="whether it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    if given.smoke:
        given.hosts, given.rows = 3, 400
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, given.hosts, given.rows)
        for way in given.ways:
            out = folder / way
            cpu = measured(folder, out, given.hosts, way, given)
            found[way] = {"cpu_s_per_host": cpu, **quality(folder, out)}
            print(way, json.dumps(found[way]), flush=True)
        if given.baseline is not None:
            cpu = measured(folder, folder / "old", given.baseline_hosts, "baseline", given)
            found["baseline"] = {"cpu_s_per_host": cpu}
            print("baseline", json.dumps(found["baseline"]), flush=True)
    if "fleet" in found:
        for way in found.keys() - {"fleet"}:
            ratio = found[way]["cpu_s_per_host"] / found["fleet"]["cpu_s_per_host"]
            print(f"CPU, {way} / fleet: {ratio:.1f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["job"]:
        source, target, hosts, way, options = sys.argv[2:]
        share = "fleet" if way == "fleet" else None
        job(Path(source), Path(target), int(hosts), share, json.loads(options))
    else:
        main()
