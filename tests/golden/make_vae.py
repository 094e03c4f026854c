"""Golden fixtures of the TCN-VAE: forward pass, losses and gradients, from PyTorch.

An oracle that shares no code with the Rust core: the layers are `torch.nn.functional` convolutions
on channel-first tensors and the gradients are autograd's, in 64 bits. Parameters and inputs are
rounded to 32 bits first, so a fixture holds exactly what its outputs were computed from.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = Path(__file__).parent
BATCH = 4
DOUBLINGS = 3
REDUCED_CHANNELS = 8
OUTPUT_TAPS = 5
LOG_VARIANCE = (-12.0, 6.0)


@dataclass(frozen=True)
class Architecture:
    window: int
    features: int
    latent: int
    channels: int
    levels: int
    kernel_size: int
    decimation: int
    linear_path: bool

    def block(self, i):
        """Stride and dilation of block `i`."""
        return (2, 1) if i < self.decimation else (1, 2 ** (i - self.decimation))

    def encoded_rows(self):
        rows = self.window
        for i in range(self.levels):
            rows = math.ceil(rows / self.block(i)[0])
        return rows

    def decoded_rows(self):
        return math.ceil(self.window / 2**DOUBLINGS)

    def shapes(self):
        """Name -> shape of every parameter, in the layouts of the Rust core."""
        c, k, latent = self.channels, self.kernel_size, self.latent
        values = self.window * self.features
        shapes = {}

        def layer(name, *weight, bias=None):
            shapes[f"{name}.weight"] = weight
            shapes[f"{name}.bias"] = (weight[-1] if bias is None else bias,)

        for i in range(self.levels):
            inputs = self.features if i == 0 else c
            layer(f"encoder.blocks.{i}.conv1", k, inputs, c)
            layer(f"encoder.blocks.{i}.conv2", k, c, c)
            if inputs != c or self.block(i)[0] == 2:
                layer(f"encoder.blocks.{i}.skip", 1, inputs, c)
        hidden = self.encoded_rows() * c
        if self.decimation == 0:
            layer("encoder.reduce", 1, c, REDUCED_CHANNELS)
            hidden = self.encoded_rows() * REDUCED_CHANNELS
        layer("encoder.head", hidden, 2 * latent)
        layer("decoder.expand", latent, self.decoded_rows() * c)
        for i in range(DOUBLINGS):
            layer(f"decoder.up.{i}", c, 4, c)
        layer("decoder.out", OUTPUT_TAPS, c, self.features)
        if self.linear_path:
            layer("encoder.linear", values, latent)
            layer("decoder.linear", latent, values)
        shapes["psi"] = (1,)
        return shapes


@dataclass(frozen=True)
class Options:
    perturbation: str
    margin: str
    kl: str
    delta_min: float
    delta_max: float
    alpha: float
    beta: float
    gamma: float
    zeta: float
    sigma_prior: float = 0.5


@dataclass(frozen=True)
class Case:
    name: str
    seed: int  # picked so that `verify` holds with few dead ReLUs
    psi: float
    eps_scale: tuple  # per window: small ones stay below the band of the hinges, large ones above
    log_variance: dict  # latent unit -> bias, to reach the clamp
    zero: tuple  # (window, feature) pairs that the zero loss counts
    architecture: Architecture
    options: Options


CASES = [
    Case(
        name="strided",
        seed=232,
        psi=1.7,
        eps_scale=(0.2, 0.9, 1.0, 2.0),
        log_variance={0: -12.0},
        zero=((0, 1), (2, 1), (3, 2)),
        architecture=Architecture(40, 3, 6, 8, 5, 3, 3, True),
        options=Options("variance", "reconstruction", "exact", 0.1, 0.2, 1.0, 0.5, 0.25, 0.1),
    ),
    Case(
        name="undecimated",
        seed=138,
        psi=1.6,
        eps_scale=(0.2, 0.7, 1.0, 2.0),
        log_variance={},
        zero=(),
        architecture=Architecture(24, 1, 4, 8, 3, 3, 0, False),
        options=Options("variance", "input", "printed", 0.1, 2.5, 1.0, 0.4, 0.0, 0.2),
    ),
    Case(
        name="strided_odd",
        seed=221,
        psi=1.3,
        eps_scale=(0.2, 0.7, 1.0, 2.0),
        log_variance={3: 6.8},
        zero=((1, 0),),
        architecture=Architecture(37, 2, 5, 4, 4, 4, 2, True),
        options=Options("mean", "input", "exact", 0.5, 2.0, 0.8, 0.6, 0.3, 0.05),
    ),
]


def parameters(case, rng):
    """Random parameters, He-scaled so that every layer keeps the scale of its input."""
    params = {}
    for name, shape in case.architecture.shapes().items():
        if name == "psi":
            value = np.array([case.psi])
        elif name.endswith("bias"):
            value = rng.normal(0, 0.1, shape)
        else:
            # Each output of a transposed convolution sees 2 of the 4 taps.
            fan_in = 2 * shape[0] if ".up." in name else math.prod(shape[:-1])
            last = any(part in name for part in ("head", "linear", "out", "conv2", "skip"))
            value = rng.normal(0, math.sqrt((0.7 if last else 2.0) / fan_in), shape)
        params[name] = value
    bias = params["encoder.head.bias"]
    bias[case.architecture.latent :] -= 0.5
    for unit, value in case.log_variance.items():
        bias[case.architecture.latent + unit] = value
    return params


def inputs(case, rng):
    """Noisy sines of unit scale; a feature counted by the zero loss is constant in its window."""
    a = case.architecture
    t = np.arange(a.window)[None, :, None]
    period = rng.uniform(6, 20, (BATCH, 1, a.features))
    phase = rng.uniform(0, 2 * math.pi, (BATCH, 1, a.features))
    x = 1.2 * np.sin(2 * math.pi * t / period + phase)
    x += rng.normal(0, 0.3, (BATCH, a.window, a.features))
    mask = np.zeros((BATCH, a.features))
    for window, feature in case.zero:
        mask[window, feature] = 1
        x[window, :, feature] = -0.6
    eps = rng.normal(0, 1, (BATCH, a.latent)) * np.array(case.eps_scale)[:, None]
    for unit, value in case.log_variance.items():
        if value > 0:
            eps[:, unit] *= 0.02  # sigma is 20 there
    return {"x": x, "eps": eps, "zero_mask": mask}


class Vae:
    """The forward pass; `margins` collects how near to zero the inputs of the ReLUs come."""

    def __init__(self, architecture, params):
        self.a, self.p, self.margins = architecture, params, []

    def relu(self, x):
        self.margins.append(x.detach().abs().min().item())
        return F.relu(x)

    def affine(self, name, x):
        return x @ self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def causal(self, name, x, stride=1, dilation=1):
        """Causal convolution of channel-first `x`."""
        weight = self.p[f"{name}.weight"].permute(2, 1, 0)
        x = F.pad(x, ((weight.shape[2] - 1) * dilation, 0))
        return F.conv1d(x, weight, self.p[f"{name}.bias"], stride=stride, dilation=dilation)

    def encode(self, x):
        hidden = x.transpose(1, 2)
        for i in range(self.a.levels):
            name, (stride, dilation) = f"encoder.blocks.{i}", self.a.block(i)
            y = self.relu(self.causal(f"{name}.conv1", hidden, stride, dilation))
            y = self.causal(f"{name}.conv2", y, 1, dilation)
            if f"{name}.skip.weight" in self.p:
                hidden = self.causal(f"{name}.skip", hidden, stride)
            hidden = self.relu(y + hidden)
        if self.a.decimation == 0:
            hidden = self.causal("encoder.reduce", hidden)
        head = self.affine("encoder.head", hidden.transpose(1, 2).flatten(1))
        mu, log_variance = head.chunk(2, dim=1)
        if self.a.linear_path:
            mu = mu + self.affine("encoder.linear", x.flatten(1))
        self.margins += [(log_variance - bound).abs().min().item() for bound in LOG_VARIANCE]
        return mu, log_variance.clamp(*LOG_VARIANCE)

    def decode(self, z):
        a = self.a
        hidden = self.relu(self.affine("decoder.expand", z))
        hidden = hidden.unflatten(1, (a.decoded_rows(), a.channels)).transpose(1, 2)
        for i in range(DOUBLINGS):
            weight = self.p[f"decoder.up.{i}.weight"].permute(0, 2, 1)
            bias = self.p[f"decoder.up.{i}.bias"]
            hidden = self.relu(F.conv_transpose1d(hidden, weight, bias, stride=2, padding=1))
        weight = self.p["decoder.out.weight"].permute(2, 1, 0)
        out = F.conv1d(
            hidden[:, :, : a.window],
            weight,
            self.p["decoder.out.bias"],
            padding=OUTPUT_TAPS // 2,
        )
        out = out.transpose(1, 2)
        if a.linear_path:
            out = out + self.affine("decoder.linear", z).unflatten(1, (a.window, a.features))
        return out

    def forward(self, x, eps, perturbation):
        mu, log_variance = self.encode(x)
        noise = torch.exp(log_variance / 2) * eps
        psi = self.p["psi"]
        moved = {"variance": mu + psi * noise, "mean": psi * mu + noise}[perturbation]
        return {
            "mu": mu,
            "logvar": log_variance,
            "xhat": self.decode(mu + noise),
            "xtilde": self.decode(moved),
        }


def distance(a, b):
    return (a - b).square().mean(dim=(1, 2))


def hinges(x, out, o):
    """Arguments of the two hinges, per window."""
    if o.margin == "reconstruction":
        moved = distance(out["xhat"], out["xtilde"])
        return o.delta_min - moved, moved - o.delta_max
    moved = distance(x, out["xtilde"])
    return distance(x, out["xhat"]) - moved + o.delta_min, moved - o.delta_max


def losses(x, mask, out, o):
    mu, log_variance, prior = out["mu"], out["logvar"], o.sigma_prior**2
    recon = distance(x, out["xhat"]).mean()
    perturb = sum(h.clamp(min=0) for h in hinges(x, out, o)).mean()
    moved = (x - out["xtilde"]).square().mean(dim=1)
    zero = (mask / (1 + moved)).sum() / max(mask.sum().item(), 1)
    variance = log_variance.exp()
    if o.kl == "exact":
        kl = 0.5 * ((mu.square() + variance) / prior - 1 - log_variance + math.log(prior))
    else:
        kl = -0.5 * (1 + log_variance - mu.square() - variance / prior + math.log(prior))
    kl = kl.mean()
    total = o.alpha * recon + o.beta * perturb + o.gamma * zero + o.zeta * kl
    return {"recon": recon, "perturb": perturb, "zero": zero, "kl": kl, "total": total}


def verify(case, x, out, vae, grads):
    """The fixture tests every branch, and no value sits where 32 bits could take the other one."""
    for hinge in hinges(x, out, case.options):
        active = hinge > 0
        assert active.any() and not active.all(), (case.name, hinge)
        vae.margins.append(hinge.abs().min().item())
    assert min(vae.margins) > 1e-5, (case.name, min(vae.margins))
    clamped = (out["logvar"] == LOG_VARIANCE[0]) | (out["logvar"] == LOG_VARIANCE[1])
    assert clamped.any() == bool(case.log_variance) and clamped.float().mean() < 0.25
    for name, grad in grads.items():
        assert torch.isfinite(grad).all() and grad.abs().max() > 1e-4, (case.name, name)


def make(case):
    rng = np.random.default_rng(case.seed)
    numbers = {"param." + name: value for name, value in parameters(case, rng).items()}
    numbers |= inputs(case, rng)
    tensors = {k: torch.from_numpy(v.astype(np.float32)).double() for k, v in numbers.items()}
    params = {
        name.removeprefix("param."): tensor.requires_grad_()
        for name, tensor in tensors.items()
        if name.startswith("param.")
    }
    x = tensors["x"]
    vae = Vae(case.architecture, params)
    out = vae.forward(x, tensors["eps"], case.options.perturbation)
    terms = losses(x, tensors["zero_mask"], out, case.options)
    grads = dict(zip(params, torch.autograd.grad(terms["total"], list(params.values()))))
    verify(case, x, out, vae, grads)

    tensors |= out
    tensors |= {name: value.reshape(1) for name, value in terms.items()}
    tensors |= {f"grad.{name}": grad for name, grad in grads.items()}
    arrays = {
        name: np.ascontiguousarray(tensor.detach().numpy().astype(np.float32))
        for name, tensor in tensors.items()
    }
    config = {
        "batch": BATCH,
        "architecture": asdict(case.architecture),
        "options": asdict(case.options),
    }
    path = HERE / f"{case.name}.safetensors"
    save_file(arrays, path, metadata={"config": json.dumps(config, sort_keys=True)})
    summary = ", ".join(f"{name} {value.item():.4f}" for name, value in terms.items())
    print(f"{path.name}: {path.stat().st_size} bytes, {summary}")
    return case, x, out, vae, terms, grads


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        make(case)
