"""Small data and a configuration that trains in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import polars_genias as pg

if TYPE_CHECKING:
    from collections.abc import Iterator

FAST: dict[str, Any] = {
    "window": 16,
    "steps": 8,
    "channels": 4,
    "latent": 4,
    "batch_size": 16,
}
"""How a model is fitted: legal in every verb that fits one."""
NETS: dict[str, Any] = {"detector": "ensemble", "detector_steps": 4, "detector_channels": 4}
"""A detector whose nets train in milliseconds: legal in `fit`, `score` and `label`."""


def make_hosts(hosts: int = 3, rows: int = 160, seed: int = 0) -> pl.DataFrame:
    """Hosts one after another: a time, two waves with noise, and known anomalies."""
    rng = np.random.default_rng(seed)
    frames = []
    for host in range(hosts):
        t = np.arange(rows)
        frames.append(
            pl.DataFrame(
                {
                    "host": [f"h{host}"] * rows,
                    "t": t,
                    "cpu": np.sin(t / (3 + host)) + rng.normal(0, 0.2, rows),
                    "mem": np.cos(t / 5) + 0.5 * np.sin(t / 3) + rng.normal(0, 0.1, rows),
                    "known": (t >= 100) & (t < 105),
                }
            )
        )
    return pl.concat(frames)


@pytest.fixture
def hosts() -> pl.DataFrame:
    return make_hosts()


@pytest.fixture
def series() -> pl.DataFrame:
    return make_hosts(hosts=1).drop("host")


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Every test fits for itself."""
    pg.clear_cache()
    yield
    pg.clear_cache()


def both() -> pl.Expr:
    return pl.struct("cpu", "mem")
