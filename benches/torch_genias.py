"""The GenIAS VAE as one would write it in PyTorch, for the comparisons beside this file.

Idiomatic PyTorch: channel-first `Conv1d` and `ConvTranspose1d` modules, autograd, `torch.optim`.
Sizes, losses and parameters are those of a model that polars-genias fitted (`load`), so both can be
checked to compute the same.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

DOUBLINGS = 3
REDUCED_CHANNELS = 8
OUTPUT_TAPS = 5
LOG_VARIANCE = (-12.0, 6.0)
NET = ("encoder.", "decoder.", "psi")
"""What names of the tensors of the VAE begin with."""


@dataclass
class Config:
    """Sizes and loss weights of a fitted model; the names are polars-genias' option names."""

    features: int
    latent: int
    levels: int
    window: int
    channels: int
    kernel_size: int
    decimation: int
    linear_path: bool
    sigma_prior: float
    kl: str
    margin: str
    delta_min: float
    delta_max: float
    alpha: float
    beta: float
    zeta: float
    learning_rate: float
    psi_learning_rate: float
    clip: float | None

    @classmethod
    def of(cls, metadata: dict, tensors: dict) -> Config:
        """From the metadata and the tensors of a model."""
        given = {**metadata["config"]}
        given["features"] = sum(metadata["normaliser"]["live"])
        given["latent"] = tensors["decoder.expand.weight"].shape[0]
        given["levels"] = sum(name.endswith("conv1.weight") for name in tensors)
        if given["zeta"] is None:
            given["zeta"] = 0.01 / given["features"]
        return cls(**{name: given[name] for name in cls.__dataclass_fields__})


class Block(nn.Module):
    """relu(conv2(relu(conv1(x))) + skip(x)), causal."""

    def __init__(self, inputs: int, channels: int, kernel: int, stride: int, dilation: int):
        super().__init__()
        self.pad = (kernel - 1) * dilation
        self.conv1 = nn.Conv1d(inputs, channels, kernel, stride=stride, dilation=dilation)
        self.conv2 = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        same = inputs == channels and stride == 1
        self.skip = None if same else nn.Conv1d(inputs, channels, 1, stride=stride)

    def forward(self, x):
        hidden = F.relu(self.conv1(F.pad(x, (self.pad, 0))))
        hidden = self.conv2(F.pad(hidden, (self.pad, 0)))
        return F.relu(hidden + (x if self.skip is None else self.skip(x)))


class Encoder(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        blocks, inputs, rows = [], config.features, config.window
        for i in range(config.levels):
            strided = i < config.decimation
            stride, dilation = (2, 1) if strided else (1, 2 ** (i - config.decimation))
            blocks.append(Block(inputs, config.channels, config.kernel_size, stride, dilation))
            inputs, rows = config.channels, math.ceil(rows / stride)
        self.blocks = nn.Sequential(*blocks)
        reduced = config.decimation == 0
        self.reduce = nn.Conv1d(inputs, REDUCED_CHANNELS, 1) if reduced else None
        hidden = rows * (REDUCED_CHANNELS if reduced else config.channels)
        self.head = nn.Linear(hidden, 2 * config.latent)
        values = config.window * config.features
        self.linear = nn.Linear(values, config.latent) if config.linear_path else None

    def forward(self, x):
        """[B, W, D] to mu and log sigma^2, [B, L]."""
        hidden = self.blocks(x.transpose(1, 2))
        if self.reduce is not None:
            hidden = self.reduce(hidden)
        mu, log_variance = self.head(hidden.transpose(1, 2).flatten(1)).chunk(2, dim=1)
        if self.linear is not None:
            mu = mu + self.linear(x.flatten(1))
        return mu, log_variance.clamp(*LOG_VARIANCE)


class Decoder(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.window, self.features = config.window, config.features
        self.channels, self.rows = config.channels, math.ceil(config.window / 2**DOUBLINGS)
        self.expand = nn.Linear(config.latent, self.rows * self.channels)
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(self.channels, self.channels, 4, stride=2, padding=1)
            for _ in range(DOUBLINGS)
        )
        self.out = nn.Conv1d(self.channels, self.features, OUTPUT_TAPS, padding=OUTPUT_TAPS // 2)
        values = self.window * self.features
        self.linear = nn.Linear(config.latent, values) if config.linear_path else None

    def forward(self, z):
        """[B, L] to [B, W, D]."""
        hidden = F.relu(self.expand(z)).view(-1, self.rows, self.channels).transpose(1, 2)
        for up in self.up:
            hidden = F.relu(up(hidden))
        out = self.out(hidden[:, :, : self.window]).transpose(1, 2)
        if self.linear is not None:
            out = out + self.linear(z).view(-1, self.window, self.features)
        return out


class Genias(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.psi = nn.Parameter(torch.ones(1))

    def forward(self, x, eps):
        """mu, log sigma^2, X^ and X~."""
        mu, log_variance = self.encoder(x)
        noise = torch.exp(0.5 * log_variance) * eps
        both = self.decoder(torch.cat([mu + noise, mu + self.psi * noise]))
        plain, perturbed = both.chunk(2)
        return mu, log_variance, plain, perturbed

    def loss(self, x, eps):
        """The weighted sum of reconstruction, perturbation and KL terms."""
        config = self.config
        mu, log_variance, plain, perturbed = self(x, eps)

        def distance(a, b):
            return (a - b).square().mean(dim=(1, 2))

        error = distance(x, plain)
        if config.margin == "reconstruction":
            moved = distance(plain, perturbed)
            close = config.delta_min - moved
        else:
            moved = distance(x, perturbed)
            close = error - moved + config.delta_min
        hinges = F.relu(close) + F.relu(moved - config.delta_max)
        prior = config.sigma_prior**2
        log_prior = math.log(prior)
        variance = log_variance.exp()
        if config.kl == "exact":
            kl = 0.5 * ((mu.square() + variance) / prior - 1 - log_variance + log_prior)
        else:
            kl = -0.5 * (1 + log_variance - mu.square() - variance / prior + log_prior)
        total = config.alpha * error.mean() + config.beta * hinges.mean()
        return total + config.zeta * kl.mean()

    def optimiser(self):
        """Adam with psi in a group of its own."""
        config = self.config
        rest = [value for name, value in self.named_parameters() if name != "psi"]
        groups = [
            {"params": rest, "lr": config.learning_rate},
            {"params": [self.psi], "lr": config.psi_learning_rate},
        ]
        return torch.optim.Adam(groups)


def train_step(model, loss_of, optimiser, windows, batch):
    """One optimiser step on `batch` random windows of an unfolded series [N, D, W]."""
    index = torch.randint(len(windows), (batch,))
    x = windows[index].transpose(1, 2)
    loss = loss_of(x, torch.randn(batch, model.config.latent))
    optimiser.zero_grad()
    loss.backward()
    if model.config.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), model.config.clip)
    optimiser.step()
    with torch.no_grad():
        model.psi.clamp_(min=1.0)
    return loss


def load(path) -> tuple[Genias, dict]:
    """The model in a file that polars-genias wrote, and its metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["genias"])
        # A model also holds what generation and detectors learned.
        names = [name for name in file.keys() if name.startswith(NET)]  # noqa: SIM118
        tensors = {name: file.get_tensor(name) for name in names}
    model = Genias(Config.of(metadata, tensors))
    state = {}
    for name, value in tensors.items():
        if name.endswith("weight"):
            # [K, C, O] -> [O, C, K]; [C, 4, O] -> [C, O, 4]; [I, O] -> [O, I].
            if ".up." in name:
                value = value.permute(0, 2, 1)
            else:
                value = value.permute(*reversed(range(value.ndim)))
        state[name] = value.contiguous()
    model.load_state_dict(state)
    return model, metadata


def normalised(values: np.ndarray, metadata: dict) -> torch.Tensor:
    """z-scores [T, D] of raw values [T, D]."""
    mean, std = (np.asarray(metadata["normaliser"][key]) for key in ("mean", "std"))
    return torch.from_numpy(((values - mean) / std).astype(np.float32))


BATCH = 256
"""Windows per forward pass of inference."""
BLEND = 3
MIN_RANGE = 0.5


@torch.inference_mode()
def score(frame: pl.DataFrame, model, metadata: dict, stride: int) -> pl.DataFrame:
    """Mean squared error of every row over the windows that cover it."""
    encoder, decoder = model
    size = metadata["config"]["window"]
    z = normalised(frame.to_numpy(), metadata)
    windows = z.unfold(0, size, stride)
    sums, counts = torch.zeros(len(z)), torch.zeros(len(z))
    rows = torch.arange(size)
    for first in range(0, len(windows), BATCH):
        x = windows[first : first + BATCH].transpose(1, 2).contiguous()
        mu, _ = encoder(x)
        error = (x - decoder(mu)).square().mean(dim=2)
        starts = (first + torch.arange(len(x))) * stride
        index = (starts[:, None] + rows).flatten()
        sums.index_add_(0, index, error.flatten())
        counts.index_add_(0, index, torch.ones(len(index)))
    return frame.with_columns(pl.Series("anomaly_score", (sums / counts).numpy()))


@torch.inference_mode()
def generate(
    frame: pl.DataFrame,
    model,
    metadata: dict,
    psi: float,
    tau: float,
    length: int,
    n: int,
) -> pl.DataFrame:
    """`n` anomalies of `length` rows each, where the decoded window deviates enough."""
    encoder, decoder = model
    size, latent = metadata["config"]["window"], model_latent(metadata)
    values = frame.to_numpy()
    z = normalised(values, metadata)
    std = torch.tensor(metadata["normaliser"]["std"], dtype=torch.float32)
    out = torch.from_numpy(values.copy())
    mask = torch.zeros(values.shape, dtype=torch.bool)
    slot = len(z) // n
    segments = torch.arange(n) * slot + torch.randint(slot - length + 1, (n,))
    low = (segments + length - size).clamp(min=0)
    high = segments.clamp(max=len(z) - size)
    starts = low + (torch.rand(n) * (high - low + 1)).long()
    windows = z.unfold(0, size, 1)
    weights = blend_weights(length)
    for first in range(0, n, BATCH):
        at, segment = starts[first : first + BATCH], segments[first : first + BATCH]
        x = windows[at].transpose(1, 2).contiguous()
        mu, log_variance = encoder(x)
        noise = torch.exp(0.5 * log_variance) * torch.randn(len(x), latent)
        plain, perturbed = decoder(torch.cat([mu + noise, mu + psi * noise])).chunk(2)
        inside = (segment - at)[:, None] + torch.arange(length)
        index = inside[:, :, None].expand(-1, -1, x.shape[2])
        delta = (perturbed - plain).gather(1, index)
        spread = (x.amax(dim=1) - x.amin(dim=1)).clamp(min=MIN_RANGE)
        rms = delta.square().mean(dim=1).sqrt()
        hit = rms / spread > tau
        none = ~hit.any(dim=1)
        hit[none, rms[none].argmax(dim=1)] = True
        change = delta * weights[:, None] * hit[:, None, :]
        rows = segment[:, None] + torch.arange(length)
        out[rows] += change * std
        mask[rows] = hit[:, None, :].expand(-1, length, -1)
    columns = {f"{name}_synthetic": out[:, i].numpy() for i, name in enumerate(frame.columns)}
    masks = {f"{name}_mask": mask[:, i].numpy() for i, name in enumerate(frame.columns)}
    rows = (segments[:, None] + torch.arange(length)).flatten()
    number = torch.zeros(len(z), dtype=torch.int32)
    number[rows] = (1 + torch.arange(n, dtype=torch.int32)).repeat_interleave(length)
    added = {**columns, "is_anomaly": (number > 0).numpy(), "anomaly_id": number.numpy(), **masks}
    return frame.with_columns(**{name: pl.Series(name, values) for name, values in added.items()})


def model_latent(metadata: dict) -> int:
    """Latent units of a model."""
    given = metadata["config"]["latent"]
    return given or (100 if sum(metadata["normaliser"]["live"]) > 1 else 50)


def blend_weights(length: int) -> torch.Tensor:
    """Raised cosine over three rows at either end."""
    edge = min(BLEND, (length - 1) // 2)
    from_end = torch.minimum(torch.arange(length), torch.arange(length).flip(0)) + 1
    ramp = 0.5 - 0.5 * torch.cos(math.pi * from_end / (edge + 1))
    return torch.where(from_end > edge, 1.0, ramp)
