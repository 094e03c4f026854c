"""Arguments of commands: those that many share, and the options of the verbs.

The options are read off the types in `polars_genias._options`, so that there is one list of them.
"""

from __future__ import annotations

import argparse
import re
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Union

from polars_genias._names import refuse_twice
from polars_genias._options import (
    FitOptions,
    GenerateOptions,
    InjectOptions,
    LabelOptions,
    ModelOptions,
    ScoreOptions,
)
from polars_genias.cli import _keys, _quoting

OPTIONS: dict[str, type] = {
    "fit": FitOptions,
    "generate": GenerateOptions,
    "events": GenerateOptions,
    "inject": InjectOptions,
    "pairs": GenerateOptions,
    "score": ScoreOptions,
    "label": LabelOptions,
}

DEFAULTS: dict[str, Any] = {
    "window": 200,
    "max_null": 0.1,
    "kernel_size": 3,
    "channels": 32,
    "decimation": 3,
    "linear_path": True,
    "dropout": 0,
    "sigma_prior": 0.5,
    "kl": "exact",
    "delta_min": 0.1,
    "delta_max": 0.2,
    "alpha": 1,
    "beta": 0.1,
    "perturbation": "variance",
    "margin": "reconstruction",
    "calibrate": True,
    "refit": True,
    "local": False,
    "kinds": 6,
    "steps": 200,
    "batch_size": 64,
    "learning_rate": 5e-3,
    "psi_learning_rate": 0.05,
    "schedule": "cosine",
    "clip": 5,
    "patience": 75,
    "min_gain": 0.002,
    "validation": 0.1,
    "seed": 0,
    "contamination": 0.1,
    "form": "residual",
    "patch": "deviation",
    "distance": "normal",
    "draws": 1,
    "noise": "stratified",
    "detector": "ensemble",
    "negatives": "all",
    "detector_steps": 200,
    "detector_batch_size": 32,
    "detector_channels": 24,
    "detector_learning_rate": 2e-3,
    "nets": 1,
    "row_weight": 1,
    "classes": 10,
    "neighbours": 5,
    "temperature": 1,
    "triplet_margin": 1,
    "inconsistency_weight": 1,
    "entropy_weight": 5,
    "aggregate": "mean",
    "threshold": "auto",
}
"""Defaults of the core as the help shows them; what the user does not give is left to the core."""

HELP: dict[str, str] = {
    "preset": "values for whatever is not given",
    "window": "rows of a window",
    "stride": "rows between training windows, in `pairs` between windows (4,096 windows or so)",
    "max_gap": "largest step of --order-by inside a window: a number, or a duration such as 5m",
    "max_null": "largest share of the values of a window that may be null; they are filled in",
    "latent": "latent units (100; 50 for one feature)",
    "channels": "channels of the convolutions",
    "levels": "residual blocks (until the receptive field is a window)",
    "kernel_size": "taps of a convolution",
    "dropout": "share of hidden units dropped in training",
    "decimation": "first levels that halve the resolution",
    "linear_path": "linear maps that start as PCA, beside encoder and decoder",
    "sigma_prior": "deviation of the latent prior",
    "kl": "form of the KL term",
    "delta_min": "lower end of the band of the perturbation distance",
    "delta_max": "upper end of the band of the perturbation distance",
    "alpha": "weight of the reconstruction loss",
    "beta": "weight of the perturbation loss",
    "gamma": "weight of the zero perturbation loss (0.01; 0 for one feature)",
    "zeta": "weight of the KL term (0.01 / live features)",
    "perturbation": "what psi scales",
    "margin": "from where the perturbation distance is taken",
    "calibrate": "set psi after training, to the middle of the band",
    "refit": "fit the decoder's linear map once more after training",
    "local": "psi and tau of each window by its own latent mean",
    "kinds": "most kinds that generated anomalies are told apart in",
    "steps": "most optimiser steps",
    "batch_size": "windows of a step",
    "learning_rate": "Adam's rate",
    "psi_learning_rate": "Adam's rate for psi",
    "schedule": "learning rate over the steps",
    "clip": "largest norm of a gradient",
    "patience": "steps that have to pay for themselves",
    "min_gain": "fall of the validation loss that pays for them",
    "validation": "share of the windows, the last ones, that is held out",
    "seed": "of everything random",
    "contamination": "share of rows inside anomalies",
    "length": "rows of an anomaly (whole windows)",
    "form": "input plus what the perturbation changes, decoded window, or deformed decoding",
    "patch": "which values are replaced",
    "tau": "threshold of the deviation patch (the model's median)",
    "distance": "deviation that --tau bounds",
    "strength": "size of an anomaly in standard deviations of the feature (as psi makes it)",
    "creep": "slow onset: a share of the anomaly up to 1, or rows",
    "draws": "times that each anomaly is drawn; the one least like the others is kept",
    "noise": "latent noise spread over its strata, or drawn by itself",
    "hit_constant": "hit features that never move, too",
    "detector": "what scores and labels come from (score and label: that of the model)",
    "negatives": "what a classifier or CARLA is trained against",
    "detector_steps": "optimiser steps of a detector's net; CARLA: 300",
    "detector_batch_size": "normal windows of a step",
    "detector_channels": "width of the classifier",
    "detector_learning_rate": "Adam's rate for a detector's net",
    "nets": "nets whose mean is taken",
    "row_weight": "weight of the loss per row",
    "classes": "classes of CARLA",
    "neighbours": "nearest and furthest neighbours of a window in CARLA",
    "temperature": "of CARLA's softmax",
    "triplet_margin": "of CARLA's triplet loss",
    "inconsistency_weight": "of CARLA's loss",
    "entropy_weight": "of CARLA's loss",
    "aggregate": "what the windows that cover a row come to",
    "score_stride": "rows between scored windows (a quarter of a window)",
    "per_feature": "a score per feature",
    "threshold": "score above which a row is anomalous",
    "quantile": "threshold: this quantile of the scores of held-out normal rows instead",
    "kind": "kinds of anomalies (CARLA's five: the first five)",
    "count": "anomalies per series, instead of --contamination",
    "factor": "of tempo, amplitude or distortion",
    "shift": "rows of phase",
    "feature_share": "largest share of the features that an anomaly hits",
}
"""What every option is, in a line; defaults that depend on something are in brackets."""


def add_inputs(parser: argparse.ArgumentParser, what: str = "Parquet to read") -> None:
    """The positional INPUT and which of its rows count."""
    text = f"{what}: files, globs, folders (key=value), pipes (-)"
    parser.add_argument("input", nargs="+", metavar="INPUT", help=text)
    parser.add_argument(
        "--where", metavar="SQL", help="""only rows for which this holds, as "host = 'web-03'\""""
    )
    parser.add_argument(
        "--key-types",
        type=key_types,
        action="extend",
        default=[],
        metavar="KEY=TYPE",
        help="types of the keys of folders (as their text is), such as host=String,day=Date",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Whether the output is a folder, and whether it may replace what is there."""
    group = parser.add_argument_group("output")
    text = "write a folder per value, OUTPUT/column=value/ (OUTPUT/: as INPUT is, or --by)"
    add_names(group, "partition-by", text)
    add_overwrite(group)


def add_overwrite(group: argparse._ActionsContainer) -> None:
    """Whether the output may replace what is there."""
    group.add_argument(
        "--overwrite",
        nargs="?",
        const="output",
        choices=_OVERWRITE,
        metavar="partitions",
        help="replace an output that exists, when the new one is whole; it may be the input, if "
        "all of its rows come back. partitions: only those that are written",
    )


_OVERWRITE = ("output", "partitions")


def normalised(arguments: Sequence[str]) -> list[str]:
    """Arguments in which the value of ``--overwrite``, if any, is part of it.

    Otherwise a path behind it would be taken for its value.
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    for at in reversed(range(end)):
        if given[at] == "--overwrite":
            value = given.pop(at + 1) if given[at + 1 : at + 2] == ["partitions"] else "output"
            given[at] = f"--overwrite={value}"
    return given


def add_columns(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The roles of columns."""
    group = parser.add_argument_group("columns (names between commas)")
    text = (
        "all numeric ones without another role, unless named; "
        "NAME=COLUMN where the model knows the column as NAME"
    )
    add_names(group, "features", text, default=None, type=_quoting.pairs)
    add_names(group, "by", "name the series")
    add_names(group, "order-by", "put the rows of a series in time order (as they come)")
    return group


def add_names(
    group: argparse._ActionsContainer, option: str, text: str | None = None, **given: Any
) -> None:
    """An option that takes names between commas, and may be given several times."""
    usual: dict[str, Any] = {"default": [], "metavar": "COLUMNS", "help": text, "type": columns}
    group.add_argument(f"--{option}", action="extend", **(usual | given))


def features(given: Sequence[tuple[str, str | None]] | None) -> list[str] | dict[str, str] | None:
    """``--features`` as the verbs take it.

    Raises
    ------
    ValueError
        For two columns of one name.
    """
    if given is None:
        return None
    known = [name for name, _ in given]
    refuse_twice("features", known)
    if all(column is None for _, column in given):
        return known
    return {name: name if column is None else column for name, column in given}


def add_options(parser: argparse.ArgumentParser, verb: str) -> None:
    """The options of a verb, in groups; what is its own comes first."""
    hints = option_hints(verb)
    own = "scores" if verb in ("score", "label") else "anomalies"
    titles = dict.fromkeys(hints, own)
    if verb != "inject":
        titles |= dict.fromkeys(typing.get_type_hints(FitOptions), "detector")
        titles |= dict.fromkeys(typing.get_type_hints(ModelOptions), "model and training")
    for title in (own, "detector", "model and training"):
        names = [name for name in hints if titles[name] == title]
        group = parser.add_argument_group(title) if names else parser
        for name in names:
            _add_option(group, name, hints[name], shown=verb != "inject")


def option_hints(verb: str) -> dict[str, Any]:
    """Options of a verb, and their types."""
    return typing.get_type_hints(OPTIONS[verb])


def given_options(given: argparse.Namespace, verb: str) -> dict[str, Any]:
    """The options of a verb that are on the command line."""
    values = {name: getattr(given, name) for name in option_hints(verb)}
    return {name: value for name, value in values.items() if value is not None}


def _add_option(group: argparse._ActionsContainer, name: str, hint: Any, *, shown: bool) -> None:
    text = HELP[name]
    if shown and name in DEFAULTS and not isinstance(DEFAULTS[name], bool):
        text += f" ({DEFAULTS[name]})"
    elif shown and DEFAULTS.get(name):
        text += " (yes)"
    group.add_argument(f"--{name.replace('_', '-')}", dest=name, help=text, **_of_type(hint))


def _of_type(hint: Any) -> dict[str, Any]:
    """How argparse reads a value of a type; TypeError for a type that is not known here."""
    members = [member for member in _members(hint) if member is not type(None)]
    words = [
        word
        for member in members
        if typing.get_origin(member) is Literal
        for word in typing.get_args(member)
    ]
    rest = [member for member in members if typing.get_origin(member) is not Literal]
    if rest == [bool]:
        return {"action": argparse.BooleanOptionalAction, "default": None}
    if words and not rest:
        return {"choices": words}
    if words and rest == [float]:
        return {"type": _Words(words), "metavar": "|".join([*words, "X"])}
    if words and [typing.get_origin(member) for member in rest] == [Sequence]:
        return {"type": _Listed(words), "metavar": "KINDS", "action": "extend"}
    for number, letter in ((int, "N"), (float, "X")):
        if rest == [number]:
            return {"type": number, "metavar": letter}
        if set(rest) == {number, tuple[number, number]}:  # type: ignore[valid-type]
            return {"type": _Range(number), "metavar": f"{letter}|MIN:MAX"}
    if set(rest) == {float, timedelta}:
        return {"type": step, "metavar": "X|DURATION"}
    msg = f"the command line has no argument for {hint}"
    raise TypeError(msg)


def _members(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


class _Range:
    """A number, or two as ``MIN:MAX``."""

    def __init__(self, number: type[int] | type[float]) -> None:
        self.number = number

    def __call__(self, text: str) -> Any:
        parts = text.split(":")
        try:
            numbers = tuple(self.number(part) for part in parts)
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 2):
            kind = "an integer" if self.number is int else "a number"
            msg = f"{text!r} is neither {kind} nor two as MIN:MAX"
            raise argparse.ArgumentTypeError(msg)
        return numbers if len(numbers) == 2 else numbers[0]


class _Words:
    """One of some words, or a number."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __call__(self, text: str) -> Any:
        if text in self.words:
            return text
        try:
            return float(text)
        except ValueError:
            msg = f"{text!r} is neither a number nor one of {', '.join(self.words)}"
            raise argparse.ArgumentTypeError(msg) from None


class _Listed:
    """Some of some words, between commas."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words

    def __call__(self, text: str) -> list[str]:
        names = columns(text)
        for name in names:
            if name not in self.words:
                msg = f"{name!r} is none of {', '.join(self.words)}"
                raise argparse.ArgumentTypeError(msg)
        return names


def columns(text: str) -> list[str]:
    """Names between commas."""
    return _quoting.names(text)


def key_types(text: str) -> list[tuple[str, Any]]:
    """Keys and their types, as ``host=String,day=Date``."""
    found = []
    for key, dtype in _quoting.pairs(text):
        if dtype not in _keys.TYPES:
            msg = f"{dtype!r} is none of {', '.join(_keys.TYPES)}"
            raise argparse.ArgumentTypeError(msg)
        found.append((key, _keys.TYPES[dtype]))
    return found


_UNITS: Mapping[str, timedelta] = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def step(text: str) -> float | timedelta:
    """A number, or a duration: numbers, each with its unit, as ``1h30m``."""
    try:
        return float(text)
    except ValueError:
        pass
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|[smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        msg = f"{text!r} is neither a number nor a duration such as 30s, 5m or 1h30m"
        raise argparse.ArgumentTypeError(msg)
    total = timedelta()
    for number, unit in parts:
        total += float(number) * _UNITS[unit]
    return total
