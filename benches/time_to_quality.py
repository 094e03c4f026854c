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
from compare_torch import series
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
MOST = 16
"""Times that the default schedule is lengthened at most."""


def cases() -> dict[str, np.ndarray]:
    host = host_metrics(1, 5000).select(
        pl.col(METRICS).interpolate().fill_null(strategy="backward")
    )
    return {"demo host, D = 5": host.to_numpy(), "waves, D = 25": series(5000, 25, 1)}


def fit(worker: Worker, series: str, config: dict, runs: int) -> dict:
    """The fit of median time."""
    fits = [worker(op="fit", series=series, config=config) for _ in range(runs)]
    return sorted(fits, key=lambda fit: fit["seconds"])[len(fits) // 2]


def reach(worker: Worker, series: str, target: float, runs: int) -> dict:
    """The shortest default schedule, in doublings, that reaches a validation loss, and when."""
    steps = STEPS
    while True:
        made = fit(worker, series, {"steps": steps, "patience": None}, runs)
        losses = [line["validation_loss"] for line in made["history"]]
        reached = [line["step"] for line in made["history"] if line["validation_loss"] <= target]
        if reached or steps >= MOST * STEPS:
            break
        steps *= 2
    step = min(reached, default=None)
    return {
        "schedule": steps,
        "reached_at": step,
        "seconds_to_target": step and made["seconds"] * step / made["history"][-1]["step"],
        "seconds_of_fit": made["seconds"],
        "best": min(losses),
    }


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
            print(
                f"{case}: {STEPS * LONGER} steps of the paper's schedule reach {target:.5f}",
                end=" ",
            )
            print(f"in {reference['seconds']:.1f} s")
            for build, worker in workers.items():
                print(json.dumps({"build": build, **reach(worker, file, target, given.runs)}))
                made = fit(worker, file, {}, given.runs)
                kept = {key: made[key] for key in ("seconds", "r2", "psi")}
                print(json.dumps({"build": build, "default": kept}), flush=True)


if __name__ == "__main__":
    main()
