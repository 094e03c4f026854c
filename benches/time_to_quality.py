"""How long a fit takes to reach the validation loss of the paper's schedule run 20 times longer.

Both fits have the same model, loss, data and seed; only the schedule differs (Adam at 1e-4, batches
of 100, no clipping, against the default). ``--worker`` times another build of ``worker.rs`` too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from worker import Worker

from polars_genias.demo import METRICS, host_metrics

PAPER = {
    "schedule": "constant",
    "learning_rate": 1e-4,
    "psi_learning_rate": 1e-4,
    "batch_size": 100,
    "clip": None,
    "patience": None,
}
STEPS = 400
LONGER = 20


def waves(rows: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    t = np.arange(rows)[:, None]
    period, phase = rng.uniform(10, 120, (1, d)), rng.uniform(0, 6, (1, d))
    return np.sin(2 * np.pi * t / period + phase) + 0.2 * rng.normal(size=(rows, d))


def cases() -> dict[str, np.ndarray]:
    host = host_metrics(1, 5000).select(pl.col(METRICS).interpolate().fill_null(strategy="backward"))
    return {"demo host, D = 5": host.to_numpy(), "waves, D = 25": waves(5000, 25)}


def seconds_to(loss: float, fit: dict) -> tuple[int | None, float | None]:
    """Steps and seconds until the validation loss is at most `loss`."""
    total = fit["history"][-1]["step"]
    for line in fit["history"]:
        if line["validation_loss"] <= loss:
            return line["step"], fit["seconds"] * line["step"] / total
    return None, None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", help="executable of another build, timed as well")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    workers = {"this build": Worker(given.threads)}
    if given.worker:
        workers["other build"] = Worker(given.threads, given.worker)
    with tempfile.TemporaryDirectory() as name:
        for case, values in cases().items():
            file = str(Path(name) / "series.safetensors")
            save_file({"x": torch.from_numpy(np.ascontiguousarray(values, np.float32))}, file)
            paper = {**PAPER, "steps": STEPS * LONGER}
            reference = workers["this build"](op="fit", series=file, config=paper)
            target = min(line["validation_loss"] for line in reference["history"])
            print(f"{case}: {STEPS * LONGER} steps of the paper's schedule reach {target:.5f}", end=" ")
            print(f"in {reference['seconds']:.1f} s")
            for build, worker in workers.items():
                fits = [
                    worker(op="fit", series=file, config={"steps": STEPS})
                    for _ in range(given.runs)
                ]
                fit = sorted(fits, key=lambda fit: fit["seconds"])[len(fits) // 2]
                steps, seconds = seconds_to(target, fit)
                line = {
                    "build": build, "steps": steps, "seconds_to_target": seconds,
                    "seconds_of_fit": fit["seconds"], "r2": fit["r2"], "psi": fit["psi"],
                    "best": min(line["validation_loss"] for line in fit["history"]),
                }  # fmt: skip
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
