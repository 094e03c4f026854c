"""Backbones of a fleet whose series lie on many workers: `fit(share="fleet")` in Spark.

A worker sees one series at a time. In every round of training, the workers say which series no
backbone fits yet, and send some windows of these, at most 9,216 in all per backbone; the driver
trains on them. Results are those of Polars, which does the same steps in one process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from polars_genias import _frames as frames
from polars_genias import _genias
from polars_genias._plugin import plugin

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY, _FEATURES, _FITS, _EXCERPT, _COUNT = "key", "features", "fits", "excerpt", "count"
ABOUT: dict[str, pl.DataType] = {
    _KEY: pl.Binary(),
    _FEATURES: pl.List(pl.String()),
    _FITS: pl.Boolean(),
}
EXCERPT: dict[str, pl.DataType] = {_KEY: pl.Binary(), _EXCERPT: pl.Binary()}


@dataclass(frozen=True)
class Step:
    """A step on every series."""

    backbones: list[bytes]
    counts: Mapping[bytes, int] | None = None
    """Number of series that share a backbone, by their keys; None before that is known."""
    round: int = 0

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Columns of the result."""
        return ABOUT if self.counts is None else EXCERPT

    def run(self, at: frames.Inputs, options: Mapping[str, Any]) -> pl.DataFrame:
        """The result for one series: a row, or none. Runs on a worker."""
        options = {**options, "warm": bool(self.backbones)}
        if self.counts is None:
            about = frames.fleet_step("fleet_about", at, options, self.backbones)
            return about.unnest(about.columns)
        alone = {**options, "warm": False}
        about = frames.fleet_step("fleet_about", at, alone, [])
        keys = about.unnest(about.columns)[_KEY].to_list()
        counts = [self.counts[key] for key in keys if key in self.counts]
        if not counts:
            return pl.DataFrame(schema=EXCERPT)
        fleet = {"series": counts[0], "round": self.round}
        excerpt = frames.fleet_step("fleet_excerpt", at, options, self.backbones, fleet)
        return pl.DataFrame({_KEY: keys, _EXCERPT: excerpt.to_series()}, schema=EXCERPT)


class OnAll(Protocol):
    """Runs a step on all series."""

    def __call__(self, step: Step, /) -> pl.DataFrame:
        """The rows of all series, in any order."""


def trained(run: OnAll, backbones: list[bytes]) -> list[bytes]:
    """The given backbones, and those of the series that these do not fit."""
    fewest, rounds = _genias.fleet_limits()
    found = list(backbones)
    for number in range(rounds):
        left = run(Step(found)).filter(~pl.col(_FITS)).unique(_KEY)
        # No name holds a NUL.
        left = left.select(_KEY, pl.col(_FEATURES).list.join("\0"))
        left = left.with_columns(pl.len().over(_FEATURES).alias(_COUNT))
        left = left.filter(pl.col(_COUNT) >= fewest)
        if left.is_empty():
            break
        counts = dict(left.select(_KEY, _COUNT).iter_rows())
        excerpts = run(Step(found, counts, number)).unique(_KEY).join(left, on=_KEY)
        classes = excerpts.sort(_FEATURES, _KEY).partition_by(_FEATURES, maintain_order=True)
        found += [_backbone(windows) for windows in classes]
    return found


def _backbone(excerpts: pl.DataFrame) -> bytes:
    made = plugin("fleet_backbone", _EXCERPT, options={}, returns_scalar=True)
    return bytes(excerpts.select(made).item())
