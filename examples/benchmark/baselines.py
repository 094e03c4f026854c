"""Trivial scores that a detector has to beat.

Each takes the train part [T, D] and the test part [T2, D] of one series, test following train in
time, and gives one score per test row, higher = more anomalous. Nothing is learned from the test
part, from labels, or from other series. All but `random` work on features in units of the train
part (`standardised`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Score = Callable[[Matrix, Matrix], NDArray[np.float64]]

WINDOW = 200
"""Rows of a window, as of the detectors."""
CONSTANT_RANGE = 1e-9
"""A feature whose range is below this share of its magnitude is constant, as in the package."""
LEAST_DEVIATION = 0.1
"""`moving_z`: least standard deviation of a window, in train deviations."""
TRAIN_WINDOWS = 500
"""`pca_error`: most windows that are learned from."""
TEST_STRIDE = 10
"""`pca_error`: rows between scored windows."""
EXPLAINED = 0.9
"""`pca_error`: share of the variance of the train windows that the components explain."""
MOST_COMPONENTS = 50
"""`pca_error`: most components."""
BLOCK = 256
"""Windows that are worked on at once, so that memory does not grow with the series."""


def standardised(train: Matrix, test: Matrix) -> tuple[Matrix, Matrix]:
    """Both parts minus the train mean, over the train deviation.

    A feature that is constant in train has deviation 1: what is left is the distance from the
    constant, in the feature's own unit.
    """
    train = np.asarray(train, dtype=np.float64)
    test = np.asarray(test, dtype=np.float64)
    low, high = train.min(axis=0), train.max(axis=0)
    constant = high - low <= CONSTANT_RANGE * np.maximum(np.abs(low), np.abs(high))
    mean = np.where(constant, train[0], train.mean(axis=0))
    deviation = np.where(constant, 1.0, train.std(axis=0))
    return (train - mean) / deviation, (test - mean) / deviation


def random(_train: Matrix, test: Matrix, seed: int = 0) -> NDArray[np.float64]:
    """Uniform noise: what a metric gives for no knowledge at all."""
    return np.random.default_rng(seed).random(len(test))


def max_abs_z(train: Matrix, test: Matrix) -> NDArray[np.float64]:
    """Largest distance of a feature from its train mean, in train deviations."""
    _, z = standardised(train, test)
    score: NDArray[np.float64] = np.abs(z).max(axis=1)
    return score


def moving_z(train: Matrix, test: Matrix, window: int = WINDOW) -> NDArray[np.float64]:
    """Distance from the mean of the `window` rows before, in their deviations; mean over features.

    The row itself is not among them, or it would pull the mean towards itself. Before the first
    test rows stand the last train rows; of a train part shorter than the window, all. Deviations
    are at least `LEAST_DEVIATION`, since a window may be constant.
    """
    known, z = standardised(train, test)
    window = min(window, len(known))
    past = np.concatenate([known[-window:], z])[:-1]
    score = np.empty(len(z))
    for rows in _blocks(len(z)):
        # [rows, D, window]
        before = sliding_window_view(past[rows.start : rows.stop + window - 1], window, axis=0)
        deviation = np.maximum(before.std(axis=2), LEAST_DEVIATION)
        score[rows] = (np.abs(z[rows] - before.mean(axis=2)) / deviation).mean(axis=1)
    return score


def pca_error(train: Matrix, test: Matrix, window: int = WINDOW) -> NDArray[np.float64]:
    """Squared error of windows rebuilt from principal components, mean over covering windows.

    Components are those of at most `TRAIN_WINDOWS` evenly spaced train windows, all features side
    by side: as many as explain `EXPLAINED` of the variance, at most `MOST_COMPONENTS`. A test
    window starts every `TEST_STRIDE` rows and one ends with the last row, so every row is covered.
    The error of a row in a window is the mean over features. Parts shorter than the window shorten
    it.
    """
    known, z = standardised(train, test)
    window = min(window, len(known), len(z))
    last = len(known) - window
    starts = np.arange(0, last + 1, -(-(last + 1) // TRAIN_WINDOWS))
    mean, components = _principal(_windows(known, starts, window))

    starts = np.union1d(np.arange(0, len(z) - window + 1, TEST_STRIDE), len(z) - window)
    total = np.zeros(len(z))
    covering = np.zeros(len(z))
    for block in _blocks(len(starts)):
        centred = _windows(z, starts[block], window) - mean
        residual = centred - (centred @ components) @ components.T
        error = (residual**2).reshape(-1, window, z.shape[1]).mean(axis=2)
        rows = starts[block, None] + np.arange(window)
        np.add.at(total, rows, error)
        np.add.at(covering, rows, 1)
    score: NDArray[np.float64] = total / covering
    return score


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))


def _windows(values: Matrix, starts: NDArray[np.int64], window: int) -> Matrix:
    """Windows as rows [N, window * D]."""
    gathered: Matrix = values[starts[:, None] + np.arange(window)]
    return gathered.reshape(len(starts), -1)


def _principal(rows: Matrix) -> tuple[Matrix, Matrix]:
    """Mean [F] and the components to keep [F, rank]; rank 0 where nothing varies."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    wide = rows.shape[0] < rows.shape[1]
    # The smaller of the two products has the same eigenvalues.
    variance, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    variance, vectors = variance[::-1].clip(0), vectors[:, ::-1]
    explained = np.cumsum(variance)
    rank = 0
    if explained[-1] > 0:
        rank = min(MOST_COMPONENTS, 1 + int(np.argmax(explained >= EXPLAINED * explained[-1])))
    kept: Matrix = vectors[:, :rank]
    if wide:
        kept = centred.T @ kept / np.sqrt(variance[:rank])
    return mean, kept


BASELINES: dict[str, Score] = {
    "random": random,
    "max_abs_z": max_abs_z,
    "moving_z": moving_z,
    "pca_error": pca_error,
}
"""The baselines by name; `random` also takes a seed."""
