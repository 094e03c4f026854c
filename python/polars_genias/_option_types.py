"""The options of every verb, as types. Written by ``tools/option_files.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 # options are resolved when asked for
from datetime import timedelta  # noqa: TC003
from typing import Any, Literal, TypedDict

InjectKind = Literal[
    "global",
    "spike",
    "contextual",
    "seasonal",
    "tempo",
    "trend",
    "ramp",
    "shapelet",
    "amplitude",
    "scale",
    "extremum",
    "frequency",
    "mean",
    "level-shift",
    "pattern",
    "pattern-shift",
    "phase",
    "platform",
    "flat-line",
    "variance",
    "noise-burst",
    "mode-correlation",
    "correlation-break",
    "pulse",
    "walk",
    "dropout",
    "stuck",
    "stuck-value",
    "other-window",
    "reset",
    "counter-reset",
]
"""Kinds of classical anomalies."""


class _FitsAModel(TypedDict, total=False):
    """How every verb that fits a model fits it.

    What is left out, or None, keeps its default.
    """

    preset: Literal["default", "thorough", "paper"]
    max_gap: float | timedelta | None
    on_error: Literal["raise", "null"]
    window: int
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


class ModelOptions(_FitsAModel, total=False):
    """How a model is fitted.

    What is left out, or None, keeps its default.
    """

    stride: int | None


class EmbedOptions(_FitsAModel, total=False):
    """Options of `embed`.

    What is left out, or None, keeps its default.
    """

    window_stride: int | None


class FitOptions(ModelOptions, total=False):
    """Options of `fit`: how a model is fitted, and its detector.

    What is left out, or None, keeps its default.
    """

    detector: Literal[
        "reconstruction",
        "amplitude",
        "classifier",
        "carla",
        "ensemble",
        "evidence",
        "default",
        "fast",
    ]
    negatives: Literal["genias", "deformed", "classical", "mixed", "all", "noise"]
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
    """Options of `generate` and of its events.

    What is left out, or None, keeps its default.
    """

    contamination: float | None
    count: int | None
    total: int | None
    length: int | tuple[int, int] | None
    duration: int | str | timedelta | tuple[int | str | timedelta, int | str | timedelta] | None
    form: Literal["residual", "decoded", "deformed"]
    patch: Literal["deviation", "length", "correlation", "none"]
    tau: float | None
    distance: Literal["normal", "rms", "l2", "dtw", "sbd"]
    strength: float | tuple[float, float] | None
    size: float | tuple[float, float] | None
    direction: Literal["up", "down", "both"] | None
    hit: str | Sequence[str] | None
    creep: float | None
    draws: int
    noise: Literal["independent", "stratified"]
    hit_constant: bool
    domain: Literal["learned", "none"] | Mapping[str, Any]


class PairsOptions(EmbedOptions, total=False):
    """Options of `pairs`.

    What is left out, or None, keeps its default.
    """

    length: int | tuple[int, int] | None
    duration: int | str | timedelta | tuple[int | str | timedelta, int | str | timedelta] | None
    form: Literal["residual", "decoded", "deformed"]
    patch: Literal["deviation", "length", "correlation", "none"]
    tau: float | None
    distance: Literal["normal", "rms", "l2", "dtw", "sbd"]
    strength: float | tuple[float, float] | None
    size: float | tuple[float, float] | None
    direction: Literal["up", "down", "both"] | None
    hit: str | Sequence[str] | None
    creep: float | None
    draws: int
    noise: Literal["independent", "stratified"]
    hit_constant: bool
    domain: Literal["learned", "none"] | Mapping[str, Any]


class ScoreOptions(FitOptions, total=False):
    """Options of `score`.

    What is left out, or None, keeps its default.
    """

    aggregate: Literal["mean", "max", "last"]
    score_stride: int | None
    per_feature: bool
    as_: Literal["score", "pvalue"]


class LabelOptions(FitOptions, total=False):
    """Options of `label` and `alarms`.

    What is left out, or None, keeps its default.
    """

    aggregate: Literal["mean", "max", "last"]
    score_stride: int | None
    threshold: float | Literal["auto", "pot"]
    quantile: float | None
    false_alarm_rate: float | None
    alarms_per_day: float | None
    adapt: Literal["off", "slow", "fast"]
    join: int | None
    min_rows: int | None
    cooldown: int
    min_change: float | None


class SensitivityOptions(TypedDict, total=False):
    """Options of `sensitivity`.

    What is left out, or None, keeps its default.
    """

    preset: Literal["default", "thorough", "paper"]
    max_gap: float | timedelta | None
    on_error: Literal["raise", "null"]
    window: int
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
    detector: Literal[
        "reconstruction",
        "amplitude",
        "classifier",
        "carla",
        "ensemble",
        "evidence",
        "default",
        "fast",
    ]
    negatives: Literal["genias", "deformed", "classical", "mixed", "all", "noise"]
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
    aggregate: Literal["mean", "max", "last"]
    score_stride: int | None
    threshold: float | Literal["auto", "pot"]
    quantile: float | None
    false_alarm_rate: float | None
    alarms_per_day: float | None
    adapt: Literal["off", "slow", "fast"]
    join: int | None
    min_rows: int | None
    cooldown: int
    min_change: float | None
    kind: InjectKind | Sequence[InjectKind]
    strength: float | Sequence[float]
    duration: int | str | timedelta | Sequence[int | str | timedelta]
    tries: int
    direction: Literal["up", "down", "both"] | None
    hit: str | Sequence[str] | None
    domain: Literal["learned", "none"] | Mapping[str, Any]


class CompareOptions(TypedDict, total=False):
    """Options of `compare`.

    What is left out, or None, keeps its default.
    """

    false_alarm_rate: float
    draws: int
    seed: int


class InjectOptions(TypedDict, total=False):
    """Options of `inject` and of its events.

    What is left out, or None, keeps its default.
    """

    max_gap: float | timedelta | None
    on_error: Literal["raise", "null"]
    kind: InjectKind | Sequence[InjectKind]
    contamination: float | None
    count: int | None
    total: int | None
    length: int | tuple[int, int] | None
    duration: int | str | timedelta | tuple[int | str | timedelta, int | str | timedelta] | None
    strength: float | tuple[float, float] | None
    size: float | tuple[float, float] | None
    direction: Literal["up", "down", "both"] | None
    hit: str | Sequence[str] | None
    factor: float | tuple[float, float] | None
    shift: int | tuple[int, int] | None
    feature_share: float
    hit_constant: bool
    domain: Literal["learned", "none"] | Mapping[str, Any]
    seed: int
