"""The options of every verb, as types, and how they cross into Rust.

Names, defaults and ranges live in the Rust core (``src/config.rs``); `checked` asks it, so that a
bad value is refused where it is written and not when the query runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from numbers import Integral, Real
from typing import Any, Literal, TypedDict

from polars_genias import _genias


class ModelOptions(TypedDict, total=False):
    """How a VAE is fitted. What is left out, or None, keeps its default."""

    preset: Literal["default", "thorough", "paper"]
    window: int
    stride: int | None
    max_gap: float | timedelta | None
    max_null: float
    latent: int | None
    channels: int
    levels: int | None
    kernel_size: int
    dropout: float
    decimation: int
    linear_path: bool
    sigma_prior: float
    kl: Literal["exact", "printed"]
    delta_min: float
    delta_max: float
    alpha: float
    beta: float
    gamma: float | None
    zeta: float | None
    perturbation: Literal["variance", "mean"]
    margin: Literal["reconstruction", "input"]
    calibrate: bool
    refit: bool
    local: bool
    kinds: int
    steps: int
    batch_size: int
    learning_rate: float
    psi_learning_rate: float
    schedule: Literal["cosine", "constant"]
    clip: float | None
    patience: int | None
    min_gain: float
    validation: float
    seed: int


class FitOptions(ModelOptions, total=False):
    """How a VAE and the detector beside it are fitted."""

    detector: Literal[
        "default",
        "fast",
        "evidence",
        "ensemble",
        "classifier",
        "carla",
        "reconstruction",
        "amplitude",
    ]
    negatives: Literal["genias", "deformed", "classical", "mixed", "noise", "all"]
    detector_steps: int | None
    detector_batch_size: int
    detector_channels: int
    detector_learning_rate: float
    nets: int
    row_weight: float
    classes: int
    neighbours: int
    temperature: float
    triplet_margin: float
    inconsistency_weight: float
    entropy_weight: float


class GenerateOptions(ModelOptions, total=False):
    """How anomalies are made, beside how a model is fitted where none is given."""

    contamination: float
    length: int | tuple[int, int] | None
    form: Literal["residual", "decoded", "deformed"]
    patch: Literal["deviation", "length", "correlation", "none"]
    tau: float | None
    distance: Literal["normal", "rms", "l2", "dtw", "sbd"]
    strength: float | tuple[float, float] | None
    creep: float | None
    draws: int
    noise: Literal["stratified", "independent"]
    hit_constant: bool


InjectKind = Literal[
    "global",
    "contextual",
    "seasonal",
    "trend",
    "shapelet",
    "amplitude",
    "extremum",
    "frequency",
    "mean",
    "pattern",
    "pattern-shift",
    "platform",
    "variance",
    "mode-correlation",
]
"""Kinds of classical anomalies; the first five are CARLA's, the default of `inject`."""


class InjectOptions(TypedDict, total=False):
    """Which classical anomalies are injected. What is left out, or None, keeps its default."""

    kind: InjectKind | Sequence[InjectKind]
    contamination: float | None
    count: int | None
    length: int | tuple[int, int] | None
    strength: float | tuple[float, float] | None
    factor: float | tuple[float, float] | None
    shift: int | tuple[int, int] | None
    feature_share: float
    hit_constant: bool
    max_gap: float | timedelta | None
    seed: int


class ScoreOptions(FitOptions, total=False):
    """How rows are scored, beside how a model is fitted where none is given."""

    aggregate: Literal["mean", "max", "last"]
    score_stride: int | None
    per_feature: bool


class LabelOptions(FitOptions, total=False):
    """How rows are labelled, beside how a model is fitted where none is given."""

    aggregate: Literal["mean", "max", "last"]
    score_stride: int | None
    threshold: float | Literal["auto", "pot"]
    quantile: float


def checked(options: Mapping[str, Any], ordered_by: int = 0, verb: str = "") -> dict[str, Any]:
    """Plain values of the given options, after the core has checked them.

    All verbs take their options from one set, but for `inject` and its events.

    Raises
    ------
    ValueError
        Naming the option, its value and what is allowed.
    """
    plain = {name: _plain(name, value) for name, value in options.items() if value is not None}
    check = _genias.check_inject_options if verb.startswith("inject") else _genias.check_options
    check(json.dumps(plain), ordered_by)
    return plain


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it; a timedelta becomes ``{"us": microseconds}``."""
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, timedelta):
        return {"us": value / timedelta(microseconds=1)}
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            msg = f"parameter `{name}` = {number}: must be a finite number"
            raise ValueError(msg)
        return number
    if isinstance(value, Sequence):
        return [_plain(name, item) for item in value]
    msg = f"parameter `{name}` = {value!r}: must be a number, a string or a pair of numbers"
    raise ValueError(msg)
