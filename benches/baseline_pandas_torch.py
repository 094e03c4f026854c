"""The whole job as a plain PyTorch + pandas script: Parquet to Parquet, a model per group.

``python benches/baseline_pandas_torch.py IN OUT [--steps N] [--threads N]``. Same configuration as
the default of polars-genias: z-scores, PCA start of the linear path, batches of 24, at most 200
steps of Adam with warm-up, cosine and clipping, validation every 25 steps, early stopping, psi
calibrated by bisection, anomalies on a tenth of the rows, scores. It leaves out what polars-genias
does besides: the second fit of the decoder's linear path, the diagnostics, and values that respect
what a feature can take. Prints the median R2 on held-out windows.
"""

from __future__ import annotations

import argparse
import copy
import math

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch_genias import Config, Genias, blend_weights

FEATURES = ["cpu", "memory", "requests", "latency"]
WINDOW = 200
BATCH = 24
STEPS = 200
PATIENCE, MIN_GAIN = 75, 0.002
WINDOWS = 4096
SIGMA_PRIOR = 0.5
DELTA = (0.1, 0.2)
CONTAMINATION = 0.1
WARM_UP = 20
MIN_RANGE = 0.5


def config(features: int) -> Config:
    """The default of polars-genias."""
    return Config(
        features=features, latent=100, levels=6, window=WINDOW, channels=32, kernel_size=3,
        decimation=3, linear_path=True, sigma_prior=SIGMA_PRIOR, kl="exact",
        margin="reconstruction", delta_min=DELTA[0], delta_max=DELTA[1], alpha=1.0, beta=0.1,
        zeta=0.01 / features, learning_rate=5e-3, psi_learning_rate=0.05, clip=5.0,
    )  # fmt: skip


def start_from_pca(model: Genias, windows: torch.Tensor) -> None:
    """Sets the linear path so that dec(mu) is the PCA reconstruction."""
    flat = windows[torch.linspace(0, len(windows) - 1, min(1200, len(windows))).long()]
    flat = flat.transpose(1, 2).flatten(1)
    mean = flat.mean(dim=0)
    _, singular, components = torch.linalg.svd(flat - mean, full_matrices=False)
    latent = model.config.latent
    deviation = (singular[:latent] / math.sqrt(len(flat))).clamp(min=1e-3)
    encode = components[:latent] * (SIGMA_PRIOR / deviation)[:, None]
    with torch.no_grad():
        model.encoder.linear.weight.copy_(encode)
        model.encoder.linear.bias.copy_(-encode @ mean)
        model.decoder.linear.weight.copy_(
            (components[:latent] * (deviation / SIGMA_PRIOR)[:, None]).T
        )
        model.decoder.linear.bias.copy_(mean)
        model.encoder.head.weight.mul_(0.1)
        model.encoder.head.bias.zero_()
        model.encoder.head.bias[latent:] = 2 * math.log(0.5 * SIGMA_PRIOR)
        model.decoder.out.weight.mul_(0.1)
        model.decoder.out.bias.zero_()
        model.psi.fill_(2.0)


def rate(step: int, steps: int) -> float:
    """Share of the learning rate: warm-up, then a cosine down to 2 %."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return (cosine * 0.98 + 0.02) * min(1.0, (step + 1) / WARM_UP)


def fit(z: torch.Tensor, steps: int) -> tuple[Genias, torch.Tensor]:
    """A trained model and its held-out windows [N, D, W]."""
    stride = math.ceil((len(z) - WINDOW + 1) / WINDOWS)
    windows = z.unfold(0, WINDOW, stride)
    held = math.ceil(0.1 * len(windows))
    apart = len(windows) - held - math.ceil(WINDOW / stride)
    train, validation = windows[:apart], windows[-held:]
    model = Genias(config(z.shape[1]))
    start_from_pca(model, train)
    optimiser = model.optimiser()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(step, steps))
    index = torch.linspace(0, held - 1, min(256, held)).long()
    held_out = validation[index].transpose(1, 2).contiguous()
    eps = torch.randn(len(held_out), model.config.latent)
    best, best_state = math.inf, None
    level, level_step = math.inf, 0
    for step in range(steps + 1):
        if step % 25 == 0 or step == steps:
            with torch.no_grad():
                validation_loss = float(model.loss(held_out, eps))
            if validation_loss < best:
                best = validation_loss
                best_state = copy.deepcopy(model.state_dict())
            if level - validation_loss > MIN_GAIN:
                level, level_step = validation_loss, step
            elif step - level_step >= PATIENCE:
                break
        if step == steps:
            break
        x = train[torch.randint(len(train), (BATCH,))].transpose(1, 2)
        loss = model.loss(x, torch.randn(BATCH, model.config.latent))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), model.config.clip)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.psi.clamp_(min=1.0)
    if best_state is not None:
        model.load_state_dict(best_state)
    return model, held_out


@torch.inference_mode()
def calibrate(model: Genias, held_out: torch.Tensor) -> tuple[float, float]:
    """psi at which the median distance is mid-band, and the median deviation there."""
    mu, log_variance = model.encoder(held_out)
    noise = torch.exp(0.5 * log_variance) * torch.randn_like(mu)
    plain = model.decoder(mu + noise)
    low, high = 0.0, math.log(1024.0)
    for _ in range(20):
        middle = 0.5 * (low + high)
        moved = model.decoder(mu + math.exp(middle) * noise)
        distance = (plain - moved).square().mean(dim=(1, 2)).median()
        low, high = (middle, high) if distance < sum(DELTA) / 2 else (low, middle)
    psi = math.exp(0.5 * (low + high))
    moved = model.decoder(mu + psi * noise)
    spread = (held_out.amax(dim=1) - held_out.amin(dim=1)).clamp(min=MIN_RANGE)
    deviation = (moved - plain).square().mean(dim=1).sqrt() / spread
    return psi, float(deviation.median())


@torch.inference_mode()
def generate(
    model: Genias, values: np.ndarray, z: torch.Tensor, std: np.ndarray, psi: float, tau: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with anomalies on whole windows, labels, and which values were hit."""
    count = max(1, round(CONTAMINATION * len(z) / WINDOW))
    slot = len(z) // count
    starts = torch.arange(count) * slot + torch.randint(slot - WINDOW + 1, (count,))
    x = z.unfold(0, WINDOW, 1)[starts].transpose(1, 2).contiguous()
    mu, log_variance = model.encoder(x)
    noise = torch.exp(0.5 * log_variance) * torch.randn_like(mu)
    plain, perturbed = model.decoder(torch.cat([mu + noise, mu + psi * noise])).chunk(2)
    delta = perturbed - plain
    rms = delta.square().mean(dim=1).sqrt()
    hit = rms / (x.amax(dim=1) - x.amin(dim=1)).clamp(min=MIN_RANGE) > tau
    none = ~hit.any(dim=1)
    hit[none, rms[none].argmax(dim=1)] = True
    change = (delta * blend_weights(WINDOW)[:, None] * hit[:, None, :]).numpy() * std
    out, labels = values.copy(), np.zeros(len(z), dtype=bool)
    mask = np.zeros(values.shape, dtype=bool)
    for i, start in enumerate(starts.tolist()):
        rows = slice(start, start + WINDOW)
        out[rows] += change[i]
        labels[rows] = True
        mask[rows] = hit[i].numpy()
    return out, labels, mask


@torch.inference_mode()
def score(model: Genias, z: torch.Tensor) -> np.ndarray:
    """Mean squared error of every row over the windows that cover it."""
    stride = WINDOW // 4
    starts = torch.unique(
        torch.cat([torch.arange(0, len(z) - WINDOW, stride), torch.tensor([len(z) - WINDOW])])
    )
    x = z.unfold(0, WINDOW, 1)[starts].transpose(1, 2).contiguous()
    error = (x - model.decoder(model.encoder(x)[0])).square().mean(dim=2)
    index = (starts[:, None] + torch.arange(WINDOW)).flatten()
    sums = torch.zeros(len(z)).index_add_(0, index, error.flatten())
    counts = torch.zeros(len(z)).index_add_(0, index, torch.ones(len(index)))
    return (sums / counts).numpy()


@torch.inference_mode()
def r2(model: Genias, windows: torch.Tensor) -> float:
    """1 - squared error of the decodings / sum of squares, as polars-genias defines it."""
    error = (windows - model.decoder(model.encoder(windows)[0])).square().sum()
    return 1 - float(error / windows.square().sum())


def one_group(group: pd.DataFrame, steps: int) -> tuple[pd.DataFrame, float]:
    """Fit, generate and score one host; R2 of its model."""
    group = group.sort_values("t")
    values = group[FEATURES].to_numpy(np.float32)
    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    z = torch.from_numpy(((values - mean) / std).astype(np.float32))
    model, held_out = fit(z, steps)
    psi, tau = calibrate(model, held_out)
    out, labels, mask = generate(model, values, z, std, psi, tau)
    added = {f"{name}_synthetic": out[:, i] for i, name in enumerate(FEATURES)}
    masks = {f"{name}_mask": mask[:, i] for i, name in enumerate(FEATURES)}
    done = group.assign(**added, is_anomaly=labels, **masks, anomaly_score=score(model, z))
    return done, r2(model, held_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    data = pd.read_parquet(given.source)
    parts = [one_group(group, given.steps) for _, group in data.groupby("host", sort=False)]
    pd.concat(part for part, _ in parts).to_parquet(given.target)
    print(f"R2 {np.median([quality for _, quality in parts]):.3f}", flush=True)


if __name__ == "__main__":
    main()
