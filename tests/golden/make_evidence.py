"""Golden fixtures of the detector `evidence`: scores of a plain twin in 64 bits, with NumPy alone.

`evidence` has one feature, `evidence_many` two measurements, a flag and a constant.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
SHARES = (0.32, 0.64, 1.28)
REFERENCES, PCA_ROWS, COMPONENTS, CALIBRATION, HELD = 2500, 1200, 32, 1000, 250
WEIGHTS = {"raw": 1.0, "level": 2.0, "shape": 2.0, "stats": 1.0, "diff": 1.0}


def windows(x, size, starts, block):
    """Means over blocks of rows, [n, D, points]."""
    view = np.lib.stride_tricks.sliding_window_view(x, size, axis=0)[starts]
    points = size // block
    kept = view[:, :, : points * block]
    return kept.reshape(len(kept), x.shape[1], points, block).mean(3)


def embed(x, size, starts, kind, floor):
    """[n, width]: windows as one of the six ways sees them."""
    if kind == "stats":
        w = windows(x, size, starts, 1)
        return np.concatenate([w.mean(2), w.std(2), w.max(2), w.min(2)], 1)
    if kind == "diff":
        steps = np.diff(windows(x, size, starts, 1), axis=2)
        return np.concatenate([steps.std(2), np.abs(steps).max(2)], 1)
    block = 1
    while size // block > 64 or (size // block > 16 and (size // block) * x.shape[1] > 512):
        block *= 2
    w = windows(x, size, starts, block)
    if kind == "level":
        w = w - w.mean(2, keepdims=True)
    elif kind == "shape":
        deviation = np.maximum(w.std(2, keepdims=True), floor[None, :, None])
        w = (w - w.mean(2, keepdims=True)) / deviation
    elif kind == "joint":
        deviation = np.maximum(w.std((1, 2), keepdims=True), 1e-3)
        w = (w - w.mean((1, 2), keepdims=True)) / deviation
    return w.reshape(len(w), -1) / np.sqrt(w.shape[2])


def components(embedded):
    """Mean, and the directions of largest variance where there are more than 32 values."""
    mean = embedded.mean(0)
    some = embedded[:: max(1, len(embedded) // PCA_ROWS)] - mean
    if some.shape[1] <= COMPONENTS:
        return mean, None
    return mean, np.linalg.svd(some, full_matrices=False)[2][:COMPONENTS].T


def project(embedded, mean, directions):
    """Coordinates, the norm of what the directions leave being the last."""
    centred = embedded - mean
    if directions is None:
        return centred
    along = centred @ directions
    rest = np.linalg.norm(centred - along @ directions.T, axis=1)
    return np.concatenate([along, rest[:, None]], 1)


def nearest(queries, references, allowed):
    """The nearest allowed reference and the distance to it; infinite where none is."""
    squares = (queries**2).sum(1)[:, None] + (references**2).sum(1) - 2 * queries @ references.T
    squares = np.where(allowed, np.maximum(squares, 0.0), np.inf)
    return squares.argmin(1), np.sqrt(squares.min(1))


def differences(x, y, size, starts, places, kind):
    """Windows of x less those of y, [n, D, size]; of `level`, without their median."""
    rolling = np.lib.stride_tricks.sliding_window_view
    found = rolling(x, size, axis=0)[starts] - rolling(y, size, axis=0)[places]
    if kind == "level":
        found -= np.sort(found, axis=2)[:, :, [size // 2]]
    return found


def shares(differences, units):
    """How much each row takes part in the distance of its window, [n, size]."""
    energy = np.minimum((differences / units[:, None]) ** 2, 100.0).sum(1)
    q = (energy**2).sum(1) / energy.sum(1)
    part = np.minimum(energy / q[:, None], 1.0)
    before = np.maximum.accumulate(part, axis=1)
    after = np.maximum.accumulate(part[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(before, after)


def held_out(starts, size, last):
    """The references that each quarter of the starts leaves out, [n, n]."""
    left = np.zeros((len(starts), len(starts)), bool)
    edges = [np.ceil(i * (last + 1) / 4) for i in range(5)]
    for low, end in zip(edges[:-1], edges[1:], strict=True):
        inside = (starts >= low) & (starts < end)
        left[inside] = (starts >= low - size) & (starts < end + size)
    return left


def usual(references, starts, size, last, some, scale):
    """Median z of distances to references of other quarters, as if among all references."""
    median, unit, steady = scale
    n = len(starts)
    left = held_out(starts, size, last)
    distance = nearest(references, references, ~left)[1]
    both = left[some] | left[(some + n // 2) % n]
    distance_to_fewer = nearest(references[some], references, ~both)[1]
    kept, fewer = n - left[some].sum(1), n - both.sum(1)
    used = np.isfinite(distance_to_fewer) & (fewer >= 8) & (fewer < kept)
    ratio = np.log(kept[used] / fewer[used]).mean()
    farther = distance_to_fewer[used].sum() / distance[some][used].sum()
    power = np.clip(np.log(farther) / ratio, 0.0, 1.0)
    explained = steady / np.exp(power * np.log(kept[used] / n).mean())
    share = left.sum(1) / n
    distance = distance * (1.0 - share) ** (power * min(explained, 1.0))
    return max(0.0, (np.median(distance) - median) / unit)


def fit_member(x, size, kind, floor):
    last = len(x) - size
    starts = np.arange(0, last + 1, max(1, (last + 1) // REFERENCES))
    embedded = embed(x, size, starts, kind, floor)
    mean, directions = components(embedded)
    references = project(embedded, mean, directions)
    some = np.arange(0, len(starts), max(1, len(starts) // CALIBRATION))
    apart = np.abs(starts[some][:, None] - starts) > size
    place, own = nearest(references[some], references, apart)
    found = np.isfinite(own)
    own = own[found]
    units = None
    if kind in ("raw", "level"):
        squares = differences(x, x, size, starts[some[found]], starts[place[found]], kind) ** 2
        units = np.maximum(np.sqrt(squares.mean((0, 2))), 2e-3)
    median, high = np.median(own), np.quantile(own, 0.9)
    held = []
    edges = np.linspace(0, last + 1, 5)
    for low, end in zip(edges[:-1], edges[1:], strict=True):
        inside = np.flatnonzero((starts >= low) & (starts < end))
        outside = (starts < low - size) | (starts >= end + size)
        if outside.sum() >= 8 and len(inside):
            some = inside[:: max(1, len(inside) // HELD)]
            held.append(nearest(references[some], references[outside], True)[1])
    steady = min(1.0, high / np.quantile(np.concatenate(held), 0.9)) if held else 1.0
    unit = max(high - median, 1e-3 * median)
    some = np.arange(0, len(starts), max(1, len(starts) // CALIBRATION))
    seen = usual(references, starts, size, last, some, (median, unit, steady))
    return mean, directions, references, median, unit, steady, starts, units, seen


def member_rows(x, train, size, kind, floor, fitted):
    """z of every row: the mean over its windows; max(z, 0) likewise, and its part of it."""
    mean, directions, references, median, unit, _, places, units, _ = fitted
    last = len(x) - size
    starts = np.unique(np.append(np.arange(0, last + 1, max(1, size // 4)), last))
    queries = project(embed(x, size, starts, kind, floor), mean, directions)
    place, distance = nearest(queries, references, True)
    z = (distance - median) / unit
    totals = np.append(0.0, np.cumsum(np.interp(np.arange(last + 1), starts, z)))
    row = np.arange(len(x))
    low, end = np.maximum(0, row - size + 1), np.minimum(last, row) + 1
    rows = (totals[end] - totals[low]) / (end - low)
    if units is None:
        return rows, None
    part = shares(differences(x, train, size, starts, places[place], kind), units)
    sums = np.zeros((3, len(x)))
    for start, said, own in zip(starts, np.maximum(z, 0.0), part, strict=True):
        sums[:, start : start + size] += np.stack([np.ones(size), np.full(size, said), said * own])
    return rows, sums[1:] / sums[0]


def around(values, reach):
    """Mean of `reach` values on either side and the value itself; fewer at the ends."""
    totals, row = np.append(0.0, np.cumsum(values)), np.arange(len(values))
    low, end = np.maximum(0, row - reach), np.minimum(len(values), row + reach + 1)
    return (totals[end] - totals[low]) / (end - low)


def score(train, test, window):
    """What labels follow, and what ranks rows."""
    low, high = train.min(0), train.max(0)
    moves = high > low
    divisor = np.where(moves, high - low, 1.0)
    centre = train.mean(0)
    flag = moves & np.isin(train, (0.0, 1.0)).all(0)
    a, b = (train - centre) / divisor, (test - centre) / divisor
    plan = [("measured", moves & ~flag, kind) for kind in WEIGHTS]
    if train.shape[1] > 1:
        plan += [("all", np.ones_like(moves), "raw"), ("joint", moves, "joint")]
    groups, parts, weights = {}, 0.0, 0.0
    for group, features, kind in plan:
        x, y = a[:, features], b[:, features]
        floor = np.maximum(0.05 * x.std(0), 1e-3)
        for size in (round(share * window) for share in SHARES):
            fitted = fit_member(x, size, kind, floor)
            weight = WEIGHTS[kind] * fitted[5] if group == "measured" else 1.0
            rows, part = member_rows(y, x, size, kind, floor, fitted)
            z = np.stack([rows, rows - fitted[8]])
            groups.setdefault(group, []).append((weight, np.log1p(np.maximum(z, 0.0))))
            if part is not None:
                parts, weights = parts + weight * part, weights + weight
    little = max(weights, 1.0)
    share = (little + parts[1]) / (little + parts[0])
    own, ranking = fused(groups, 0, 1.0), fused(groups, 1, 1.5)
    ranking *= 0.85 + 0.15 * share
    reach = int(0.25 * round(SHARES[-1] * window))
    return own * (0.7 + 0.3 * share), (2 * ranking + around(ranking, reach)) / 3


def fused(groups, which, power):
    """The power mean of the members of each group, and of the groups."""
    mean = {
        g: sum(w * v[which] ** power for w, v in m) / sum(w for w, _ in m)
        for g, m in groups.items()
    }
    context = [mean[group] for group in ("all", "joint") if group in mean]
    largest = np.maximum(mean["measured"], np.mean(context, axis=0) if context else -np.inf)
    return largest ** (1.0 / power)


def series(rows, features, rng, *, anomalous):
    t = np.arange(rows)
    columns = [np.sin(t / 5.0) + 0.1 * rng.normal(size=rows)]
    if features > 1:
        columns.append(500 + 40 * np.cos(t / 7.0) + 4 * rng.normal(size=rows))
        columns.append((t % 50 < 8).astype(float))
        columns.append(np.full(rows, 3.0))
    if anomalous:
        columns[0][200:240] += 1.0
        if features > 1:
            columns[1][300:330] = 500.0
            columns[3][400:420] = 4.0
    return np.stack(columns, 1).astype(np.float32)


def make(name, features, seed):
    rng = np.random.default_rng(seed)
    train = series(700, features, rng, anomalous=False)
    test = series(500, features, rng, anomalous=True)
    own, ranking = score(train.astype(np.float64), test.astype(np.float64), 100)
    arrays = {"train": train, "test": test}
    arrays |= {"own": own.astype(np.float32), "ranking": ranking.astype(np.float32)}
    path = HERE / f"{name}.safetensors"
    save_file(arrays, path, metadata={"config": json.dumps({"window": 100})})
    print(f"{path.name}: {path.stat().st_size} bytes, scores up to {own.max():.3f}")


if __name__ == "__main__":
    make("evidence", 1, 21)
    make("evidence_many", 4, 22)
