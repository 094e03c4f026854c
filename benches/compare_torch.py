"""polars-genias against PyTorch: training steps, generation and scoring, on one machine in one run.

Both sides have the same weights, read from a model that polars-genias fitted, and their outputs are
compared before anything is timed. Runs alternate between the sides, with the same number of
threads; medians are compared.

* Training step: draw a batch, forward, backward, clip, Adam. The Rust side is ``worker.rs``.
* Score, generate: from a DataFrame to a DataFrame, with the Python package. PyTorch takes the
  windows by ``unfold``, 256 at a time, in inference mode.

``python benches/compare_torch.py [--json FILE]``; needs cargo, torch and safetensors.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODELS = {
    "default": {},
    # Six undecimated levels of 64 channels, the paper's losses and optimiser.
    "paper-size": {"preset": "paper", "channels": 64, "levels": 6},
}
VAE = {"detector": "reconstruction"}
FEATURES = (1, 25, 55)
BATCHES = (64, 100)
WINDOW = 200
WINDOWS = 10_000
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


def timed(work, n: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(n):
        work()
    return (time.perf_counter() - start) / n


def interleave(sides: dict, worker: Worker, runs: int) -> tuple[dict[str, float], float]:
    """Median of each side's seconds, and of the sgemm peak in GFLOP/s; they take turns."""
    seconds, peaks = {name: [] for name in sides}, []
    for _ in range(runs):
        for name, run in sides.items():
            seconds[name].append(run())
        peaks.append(worker(op="peak", size=2048, n=3)["gflops"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return medians, statistics.median(peaks)


def row(case: str, model: Case, medians: dict, flops: float, peak: float, **more) -> dict:
    ours = medians["genias"]
    return {
        "case": f"{case} {model.name}",
        "d": model.d,
        **more,
        "genias_ms": 1e3 * ours,
        "eager_ms": 1e3 * medians["eager"],
        "compile_ms": 1e3 * medians["compile"],
        "ratio_eager": medians["eager"] / ours,
        "ratio_compile": medians["compile"] / ours,
        "peak_share": flops / ours / (peak * 1e9),
    }


def train_rows(case: Case, worker: Worker, folder: Path, runs: int) -> list[dict]:
    """A training step, for every batch size."""
    values = series(8000, case.d, 1)
    file = folder / "series.safetensors"
    save_file({"x": torch.from_numpy(values)}, str(file))
    windows = torch_genias.normalised(values, case.metadata).unfold(0, WINDOW, 1)
    flops = Flops.of(case.torch_model.config).step
    rows = []
    for batch in BATCHES:
        worker(op="load", model=str(case.path), series=str(file), batch=batch)
        error = check_outputs(case, worker, folder)
        sides = {}
        for side in ("eager", "compile"):
            model, _ = torch_genias.load(case.path)
            loss = torch.compile(model.loss) if side == "compile" else model.loss
            optimiser = model.optimiser()

            def step(model=model, loss=loss, optimiser=optimiser, batch=batch):
                torch_genias.train_step(model, loss, optimiser, windows, batch)

            timed(step, 4)
            n = max(3, int(0.6 / timed(step, 2)))
            sides[side] = lambda step=step, n=n: timed(step, n)
        per_step = worker(op="step", n=4)["seconds"]
        n = max(3, int(0.6 / per_step))
        sides["genias"] = lambda n=n: worker(op="step", n=n)["seconds"]
        medians, peak = interleave(sides, worker, runs)
        rows.append(
            row("train", case, medians, batch * flops, peak, batch=batch, largest_difference=error)
        )
    return rows


def compare_scores(ours: pl.DataFrame, theirs: pl.DataFrame, case: Case) -> float:
    """The largest difference, in units of the largest score."""
    ours, theirs = (made["anomaly_score"].to_numpy() for made in (ours, theirs))
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if difference > TOLERANCE:
        raise AssertionError(f"{case.name} D={case.d}: scores differ by {difference:.1e}")
    return difference


def inference_row(verb: str, case: Case, worker: Worker, runs: int) -> dict:
    """10,000 windows scored or generated, from a frame to a frame."""
    model = case.torch_model
    compiled = (torch.compile(model.encoder), torch.compile(model.decoder))
    more = {"windows": WINDOWS}
    per_window = Flops.of(model.config)
    if verb == "score":
        stride = WINDOW // 4
        data = frame(series(WINDOW + (WINDOWS - 1) * stride, case.d, 3))
        # Without a clock, where windows begin depends on their values.
        timed_data = data.with_row_index("t")
        flops = WINDOWS * (per_window.encode + per_window.decode)

        def ours():
            return pg.score(timed_data, models=case.bytes, features=data.columns, order_by="t")

        def theirs(encoder, decoder):
            return torch_genias.score(data, (encoder, decoder), case.metadata, stride)

        made = theirs(model.encoder, model.decoder)
        more["largest_difference"] = compare_scores(ours(), made, case)
    else:
        # Segments on every other row: each is decoded in a window of its own.
        data = frame(series(2 * SEGMENT * WINDOWS, case.d, 3))
        flops = WINDOWS * (per_window.encode + 2 * per_window.decode)

        def ours():
            return pg.generate(
                data, models=case.bytes, features=data.columns, contamination=0.5, length=SEGMENT
            )

        def theirs(encoder, decoder):
            psi = float(model.psi.detach())
            tau = case.metadata["report"]["tau"]["rms"]
            both = (encoder, decoder)
            return torch_genias.generate(data, both, case.metadata, psi, tau, SEGMENT, WINDOWS)

        made = ours()["is_anomaly"].sum() / SEGMENT
        assert abs(made - WINDOWS) < 0.01 * WINDOWS, made
    theirs(*compiled)
    sides = {
        "genias": lambda: timed(ours, 1),
        "eager": lambda: timed(lambda: theirs(model.encoder, model.decoder), 1),
        "compile": lambda: timed(lambda: theirs(*compiled), 1),
    }
    timed(ours, 1)
    medians, peak = interleave(sides, worker, runs)
    return row(verb, case, medians, flops, peak, **more)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine(threads: int, peak: float) -> dict:
    return {
        "processor": processor(),
        "threads": threads,
        "sgemm_peak_gflops": peak,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "polars": pl.__version__,
        "genias": pg.__version__,
    }


def show(line: dict) -> None:
    print(
        f"{line['case']:<20} {line['d']:>3} {line.get('batch', line.get('windows')):>6}"
        f" {line['genias_ms']:>9.1f} {line['eager_ms']:>9.1f} {line['compile_ms']:>9.1f}"
        f" {line['ratio_eager']:>7.2f} {line['ratio_compile']:>8.2f} {line['peak_share']:>6.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs (default 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--features", nargs="+", type=int, default=list(FEATURES), metavar="D")
    parser.add_argument(
        "--verbs", nargs="+", default=["train", "generate", "score"],
        choices=["train", "generate", "score"],
    )  # fmt: skip
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    worker = Worker(given.threads)
    rows = []
    print(json.dumps(machine(given.threads, worker(op="peak", size=4096, n=3)["gflops"])))
    print("case                   d   size genias ms  eager ms   comp ms x eager x compile   peak")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in given.models:
            for d in given.features:
                case = fitted(model, d, folder)
                for verb in given.verbs:
                    if verb == "train":
                        lines = train_rows(case, worker, folder, given.runs)
                    else:
                        lines = [inference_row(verb, case, worker, given.runs)]
                    for line in lines:
                        show(line)
                    rows += lines
                    torch.compiler.reset()
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    # Polars reads the number of its threads when it is imported.
    threads = next(
        (b for a, b in zip(os.sys.argv, os.sys.argv[1:], strict=False) if a == "--threads"), "2"
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
