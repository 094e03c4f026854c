"""The benchmark's baselines against plain loops."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.once

PATH = Path(__file__).parents[2] / "examples" / "benchmark" / "baselines.py"


@pytest.fixture(scope="module")
def baselines():
    spec = importlib.util.spec_from_file_location("baselines", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts():
    """Train and test of three features: a wave, noise, and a constant that moves once."""
    rng = np.random.default_rng(3)
    t = np.arange(900)
    whole = np.column_stack(
        [5 + np.sin(t / 9) + rng.normal(0, 0.05, 900), rng.normal(0, 3, 900), np.full(900, 0.1)]
    )
    whole[700, 2] += 4
    whole[800:810, 0] += 3
    return whole[:500], whole[500:]


def by_hand(train, test):
    """Features in train units, one by one."""
    scaled = []
    for known, new in zip(train.T, test.T, strict=True):
        spread = known.std() if len(set(known)) > 1 else 1.0
        scaled.append(((known - known.mean()) / spread, (new - known.mean()) / spread))
    return (np.column_stack(side) for side in zip(*scaled, strict=True))


def test_every_baseline_scores_every_row(baselines, parts):
    train, test = parts
    constant = np.ones((50, 2))
    for score in baselines.BASELINES.values():
        for known, new in (
            (train, test),
            (train[:30], test),  # shorter than the window
            (train, test[:7]),
            (train[:, :1], test[:, :1]),
            (constant, constant),
            (train.astype(np.float32), test.astype(np.float32)),
        ):
            found = score(known, new)
            assert found.shape == (len(new),)
            assert np.isfinite(found).all()


def test_random_depends_on_the_seed_alone(baselines, parts):
    train, test = parts
    first = baselines.random(train, test, seed=1)
    assert np.array_equal(first, baselines.random(train * 2, test * 3, seed=1))
    assert not np.array_equal(first, baselines.random(train, test, seed=2))


def test_max_abs_z(baselines, parts):
    _, z = by_hand(*parts)
    found = baselines.max_abs_z(*parts)
    assert found == pytest.approx([max(abs(v) for v in row) for row in z])
    assert found[200] == pytest.approx(4, abs=1e-9)  # the constant moved by four


def test_moving_z(baselines, parts):
    train, z = by_hand(*parts)
    whole = np.concatenate([train, z])
    found = baselines.moving_z(*parts, window=40)
    expected = []
    for at in range(len(train), len(whole)):
        before = whole[at - 40 : at]
        spread = np.maximum(before.std(axis=0), 0.1)
        expected.append((np.abs(whole[at] - before.mean(axis=0)) / spread).mean())
    assert found == pytest.approx(expected)
    # Scores of a row do not depend on later rows.
    assert baselines.moving_z(parts[0], parts[1][:150], window=40) == pytest.approx(found[:150])


def test_pca_error(baselines, parts, monkeypatch):
    monkeypatch.setattr(baselines, "TEST_STRIDE", 7)
    monkeypatch.setattr(baselines, "BLOCK", 5)
    size = 24
    train, z = by_hand(*parts)
    found = baselines.pca_error(*parts, window=size)

    known = np.array([train[i : i + size].ravel() for i in range(len(train) - size + 1)])
    mean = known.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(known.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = next(r for r in range(1, 51) if values[:r].sum() >= 0.9 * values.sum())
    basis = vectors[:, :rank]
    errors = [[] for _ in z]
    for start in {*range(0, len(z) - size + 1, 7), len(z) - size}:
        x = z[start : start + size].ravel() - mean
        for row, error in enumerate(((x - basis @ (basis.T @ x)) ** 2).reshape(size, 3)):
            errors[start + row].append(error.mean())
    assert found == pytest.approx([np.mean(of_row) for of_row in errors])


def test_pca_keeps_what_train_varies_in(baselines):
    t = np.arange(2000)
    wave = np.column_stack([np.sin(t / 7), np.cos(t / 7), np.zeros(2000)])
    test = wave[1200:].copy()
    test[400:420, 2] = 1
    found = baselines.pca_error(wave[:1200], test)
    assert found[:190].max() < 1e-12
    assert found[400:420].min() > 0.3
    assert np.argmax(found) in range(390, 430)
