"""polars-genias against PyTorch: training steps, generation and scoring, on one machine in one run.

Both sides have the same weights, read from a model that polars-genias fitted, and their outputs are
compared before anything is timed. The sides take turns, with the same number of threads; a ratio is
the median of the turns' ratios, of wall time and of CPU time. The default is one thread: beside
other work, threads of PyTorch wait for each other, and a step can take fifty times as long.

* Training step: draw a batch, forward, backward, clip, Adam. The Rust side is ``worker.rs``.
* Score, generate: from a DataFrame to a DataFrame, with the Python package. PyTorch takes the
  windows by ``unfold``, 256 at a time, in inference mode.

``python benches/compare_torch.py [--models default] [--features 1 25] [--verbs train] [--compile]
[--json FILE]``; needs cargo, torch, safetensors and Linux. ``--compile`` adds ``torch.compile``,
which needs a C++ compiler and takes a minute or more per case. ``--smoke`` checks that all of it
runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODELS = {
    "default": {},
    # Six undecimated levels of 64 channels, the paper's losses and optimiser.
    "paper-size": {"preset": "paper", "channels": 64, "levels": 6},
}
VAE = {"detector": "reconstruction"}
FEATURES = (1, 25, 55)
BATCHES = (24, 64, 100)
VERBS = ("train", "generate", "score")
WINDOW = 200
SEGMENT = 25
TOLERANCE = 1e-4


@dataclass
class Case:
    """One fitted model, on both sides."""

    name: str
    d: int
    path: Path
    bytes: bytes
    torch_model: object
    metadata: dict


def series(rows: int, d: int, seed: int) -> np.ndarray:
    """Waves with noise, [rows, d]."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    period, phase = rng.uniform(10, 120, (1, d)), rng.uniform(0, 6, (1, d))
    waves = np.sin(2 * np.pi * t / period + phase) + 0.2 * rng.normal(size=(rows, d))
    return waves.astype(np.float32)


def frame(values: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({f"x{i}": values[:, i] for i in range(values.shape[1])})


def fitted(name: str, d: int, folder: Path) -> Case:
    """A model whose weights are beyond their initial values."""
    data = frame(series(6000, d, 1))
    table = pg.fit(data, features=data.columns, steps=5, **VAE, **MODELS[name])
    path = folder / f"{name}-{d}.safetensors"
    path.write_bytes(table["model"][0])
    model, metadata = torch_genias.load(path)
    return Case(name, d, path, table["model"][0], model, metadata)


@dataclass
class Flops:
    """Operations of the model's products for one window. The gradient of an input counts only where
    it is needed, and taps that read padding count as any other."""

    encode: float
    decode: float
    step: float

    @classmethod
    def of(cls, config: torch_genias.Config) -> Flops:
        c, k, latent = config.channels, config.kernel_size, config.latent
        # Products whose input is data need no gradient of it.
        data, hidden, rows, inputs = 0.0, 0.0, config.window, config.features
        for i in range(config.levels):
            stride = 2 if i < config.decimation else 1
            rows = -(-rows // stride)
            skip = inputs != c or stride != 1
            first = rows * inputs * c * (k + skip)
            data, hidden = (first, hidden) if i == 0 else (data, hidden + first)
            hidden += rows * k * c * c
            inputs = c
        width = c
        if config.decimation == 0:
            width = torch_genias.REDUCED_CHANNELS
            hidden += rows * c * width
        hidden += rows * width * 2 * latent
        values = config.window * config.features
        start = -(-config.window // 2**torch_genias.DOUBLINGS)
        decode = latent * start * c + values * torch_genias.OUTPUT_TAPS * c
        decode += sum(start * 2**i * 4 * c * c for i in range(torch_genias.DOUBLINGS))
        if config.linear_path:
            data += values * latent
            decode += latent * values
        # X^ and X~ are decoded.
        step = 2 * data + 3 * hidden + 3 * 2 * decode
        return cls(2 * (data + hidden), 2 * decode, 2 * step)


def check_outputs(case: Case, worker: Worker, folder: Path) -> float:
    """Largest difference of mu, log sigma^2, X^ and X~ from PyTorch's."""
    values = torch_genias.normalised(series(WINDOW + 30, case.d, 2), case.metadata)
    x = values.unfold(0, WINDOW, 1).transpose(1, 2).contiguous()
    eps = torch.randn(len(x), case.torch_model.config.latent)
    files = {key: str(folder / f"{key}.safetensors") for key in ("input", "output")}
    save_file({"x": x, "eps": eps}, files["input"])
    worker(op="forward", **files)
    found = load_file(files["output"])
    with torch.no_grad():
        expected = case.torch_model(x, eps)
    names = ["mu", "log_variance", "reconstruction", "perturbed"]
    worst = 0.0
    for name, value in zip(names, expected, strict=True):
        difference = float((found[name] - value).abs().max() / value.abs().max())
        if difference > TOLERANCE:
            raise AssertionError(f"{case.name} D={case.d}: {name} differs by {difference:.1e}")
        worst = max(worst, difference)
    return worst


@dataclass
class Cost:
    """Seconds per call."""

    wall: float
    cpu: float


def cost(work, seconds: float = 0, cpu=time.process_time) -> Cost:
    """What a call takes, by the wall clock and by a process's CPU clock: called until `seconds` are
    over, at least once.
    """
    n, wall, before = 0, time.perf_counter(), cpu()
    while n == 0 or time.perf_counter() - wall < seconds:
        work()
        n += 1
    return Cost((time.perf_counter() - wall) / n, (cpu() - before) / n)


def peak(worker: Worker, size: int = 2048, n: int = 3) -> float:
    """Operations of a product of square matrices per second of CPU."""
    used = cost(lambda: worker(op="peak", size=size, n=n), cpu=worker.cpu)
    return 2 * size**3 * n / used.cpu


@dataclass
class Turns:
    """Costs of each side, turn by turn, and sgemm peaks."""

    sides: dict[str, list[Cost]]
    peaks: list[float]

    @classmethod
    def take(cls, sides: dict, worker: Worker, runs: int) -> Turns:
        turns = cls({name: [] for name in sides}, [])
        for _ in range(runs):
            for name, run in sides.items():
                turns.sides[name].append(run())
            turns.peaks.append(peak(worker))
        return turns

    def median(self, side: str, what: str) -> float:
        return statistics.median(getattr(cost, what) for cost in self.sides[side])

    def ratio(self, side: str, what: str) -> float:
        """How many times our cost the other side's is."""
        both = zip(self.sides[side], self.sides["genias"], strict=True)
        return statistics.median(getattr(a, what) / getattr(b, what) for a, b in both)

    def row(self, flops: float) -> dict:
        """Medians in ms, ratios, and our share of the sgemm peak."""
        found = {f"{side}_ms": 1e3 * self.median(side, "wall") for side in self.sides}
        found |= {f"{side}_cpu_ms": 1e3 * self.median(side, "cpu") for side in self.sides}
        for side in self.sides:
            if side != "genias":
                found[f"{side}_wall_ratio"] = self.ratio(side, "wall")
                found[f"{side}_cpu_ratio"] = self.ratio(side, "cpu")
        rate = flops / self.median("genias", "cpu")
        return {**found, "peak_share": rate / statistics.median(self.peaks)}


@dataclass
class Plan:
    """What is measured, and how often."""

    runs: int
    compiled: bool
    batches: list[int]
    windows: int
    seconds: float
    """Seconds of training per turn and side."""


def torch_step(case: Case, windows: torch.Tensor, batch: int, *, compiled: bool):
    """A function that does one training step of a fresh model."""
    model, _ = torch_genias.load(case.path)
    loss = torch.compile(model.loss) if compiled else model.loss
    optimiser = model.optimiser()
    return lambda: torch_genias.train_step(model, loss, optimiser, windows, batch)


def train_rows(case: Case, worker: Worker, folder: Path, plan: Plan) -> Iterator[dict]:
    """A training step, for every batch size."""
    values = series(8000, case.d, 1)
    file = folder / "series.safetensors"
    save_file({"x": torch.from_numpy(values)}, str(file))
    windows = torch_genias.normalised(values, case.metadata).unfold(0, WINDOW, 1)
    flops = Flops.of(case.torch_model.config).step
    for batch in plan.batches:
        worker(op="load", model=str(case.path), series=str(file), batch=batch)
        error = check_outputs(case, worker, folder)
        n = max(1, int(plan.seconds / worker(op="step", n=4)["seconds"]))

        def ours(n=n):
            used = cost(lambda: worker(op="step", n=n), cpu=worker.cpu)
            return Cost(used.wall / n, used.cpu / n)

        sides = {"genias": ours}
        for side in ("eager", "compile")[: 1 + plan.compiled]:
            step = torch_step(case, windows, batch, compiled=side == "compile")
            cost(step, plan.seconds)
            sides[side] = lambda step=step: cost(step, plan.seconds)
        turns = Turns.take(sides, worker, plan.runs)
        more = {"batch": batch, "largest_difference": error}
        yield {"case": f"train {case.name}", "d": case.d, **more, **turns.row(batch * flops)}


def compare_scores(ours: pl.DataFrame, theirs: pl.DataFrame, case: Case) -> float:
    """The largest difference, in units of the largest score."""
    ours, theirs = (made["anomaly_score"].to_numpy() for made in (ours, theirs))
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if difference > TOLERANCE:
        raise AssertionError(f"{case.name} D={case.d}: scores differ by {difference:.1e}")
    return difference


@dataclass
class Both:
    """The same work by this package, and by PyTorch with a pair of encoder and decoder."""

    ours: Callable[[], pl.DataFrame]
    theirs: Callable[[tuple], pl.DataFrame]
    flops: float


def scoring(case: Case, windows: int) -> Both:
    """Scores of as many windows, a quarter of a window apart."""
    stride = WINDOW // 4
    data = frame(series(WINDOW + (windows - 1) * stride, case.d, 3))
    # Without a clock, where windows begin depends on their values.
    timed = data.with_row_index("t")
    at = {"models": case.bytes, "features": data.columns, "order_by": "t"}
    per_window = Flops.of(case.torch_model.config)
    return Both(
        lambda: pg.score(timed, **at),
        lambda pair: torch_genias.score(data, pair, case.metadata, stride),
        windows * (per_window.encode + per_window.decode),
    )


def generation(case: Case, windows: int) -> Both:
    """Anomalies on every other row: each is decoded in a window of its own, and hits all features,
    so that none is drawn again.
    """
    data = frame(series(2 * SEGMENT * windows, case.d, 3))
    at = {"models": case.bytes, "features": data.columns, "patch": "none"}
    at |= {"contamination": 0.5, "length": SEGMENT}
    psi, tau = float(case.torch_model.psi.detach()), -1.0
    per_window = Flops.of(case.torch_model.config)
    return Both(
        lambda: pg.generate(data, **at),
        lambda pair: torch_genias.generate(data, pair, case.metadata, psi, tau, SEGMENT, windows),
        windows * (per_window.encode + 2 * per_window.decode),
    )


def inference_row(verb: str, case: Case, worker: Worker, plan: Plan) -> dict:
    """Windows scored or generated, from a frame to a frame."""
    model, more = case.torch_model, {"windows": plan.windows}
    plain = (model.encoder, model.decoder)
    if verb == "score":
        both = scoring(case, plan.windows)
        more["largest_difference"] = compare_scores(both.ours(), both.theirs(plain), case)
    else:
        both = generation(case, plan.windows)
        made = both.ours()["is_anomaly"].sum() / SEGMENT
        assert abs(made - plan.windows) < 0.01 * plan.windows + 1, made
        both.theirs(plain)
    sides = {"genias": lambda: cost(both.ours), "eager": lambda: cost(lambda: both.theirs(plain))}
    if plan.compiled:
        compiled = (torch.compile(model.encoder), torch.compile(model.decoder))
        both.theirs(compiled)
        sides["compile"] = lambda: cost(lambda: both.theirs(compiled))
    turns = Turns.take(sides, worker, plan.runs)
    return {"case": f"{verb} {case.name}", "d": case.d, **more, **turns.row(both.flops)}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine(threads: int, worker: Worker) -> dict:
    return {
        "processor": processor(),
        "threads": threads,
        "load": os.getloadavg()[0],
        "sgemm_gflop_per_cpu_second": peak(worker, size=4096) / 1e9,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "polars": pl.__version__,
        "genias": pg.__version__,
    }


HEADER = (
    "case                   d   size genias ms  eager ms  x wall   x cpu"
    "  comp ms  x wall   x cpu   peak  load"
)


def show(line: dict) -> None:
    size = line.get("batch", line.get("windows"))
    print(f"{line['case']:<20} {line['d']:>3} {size:>6} {line['genias_ms']:>9.1f}", end=" ")
    for side in ("eager", "compile"):
        if f"{side}_ms" in line:
            ratios = line[f"{side}_wall_ratio"], line[f"{side}_cpu_ratio"]
            print(f"{line[f'{side}_ms']:>9.1f} {ratios[0]:>7.2f} {ratios[1]:>7.2f}", end=" ")
        else:
            print(f"{'-':>9} {'-':>7} {'-':>7}", end=" ")
    print(f"{line['peak_share']:>6.2f} {line['load']:>5.1f}", flush=True)


def rows_of(given: argparse.Namespace, worker: Worker, plan: Plan) -> Iterator[dict]:
    """A row per case, as soon as it is there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, d in itertools.product(given.models, given.features):
            case = fitted(model, d, folder)
            for verb in given.verbs:
                if verb == "train":
                    yield from train_rows(case, worker, folder, plan)
                else:
                    yield inference_row(verb, case, worker, plan)
                torch.compiler.reset()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--runs", type=int, default=5, help="turns (default 5)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--features", nargs="+", type=int, default=list(FEATURES), metavar="D")
    parser.add_argument("--verbs", nargs="+", default=list(VERBS), choices=list(VERBS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), metavar="B")
    parser.add_argument("--windows", type=int, default=10_000, help="scored or generated")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--smoke", action="store_true", help="whether it runs, not how fast")
    given = parser.parse_args()
    if given.smoke:
        given.models, given.features, given.batches = ["default"], [2], [4]
        given.windows, given.runs = 20, 1
    return given


def main() -> None:
    given = parsed()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    worker = Worker(given.threads)
    seconds = 0.01 if given.smoke else 0.6
    plan = Plan(given.runs, given.compile, given.batches, given.windows, seconds)
    about = {"machine": machine(given.threads, worker), "rows": []}
    print(json.dumps(about["machine"]), HEADER, sep="\n", flush=True)
    for line in rows_of(given, worker, plan):
        line["load"] = os.getloadavg()[0]
        show(line)
        about["rows"].append(line)
        if given.json:
            given.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    # Polars reads the number of its threads when it is imported.
    threads = next(
        (b for a, b in zip(os.sys.argv, os.sys.argv[1:], strict=False) if a == "--threads"), "1"
    )
    os.environ["POLARS_MAX_THREADS"] = threads

import numpy as np
import polars as pl
import torch
import torch_genias
from safetensors.torch import load_file, save_file
from worker import Worker

import polars_genias as pg

if __name__ == "__main__":
    main()
