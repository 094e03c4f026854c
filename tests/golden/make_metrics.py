"""Golden fixture of the metrics: 200 small series, from scikit-learn and the package of TSB-AD.

Where TSB-AD departs from the definition that it implements, the definition counts:

* the range of a label that is 1 everywhere is lost, point adjustment never reaches row 0, and an
  event at the end of the series loses its last row: a normal, unpredicted row is put before and
  after the series, which changes none of the definitions;
* its F1 adds 1e-5 to the denominator: computed from scikit-learn's curve instead;
* the volume under the surface of a series without a normal row is an error: by the definition the
  ROC surface is undefined and every precision is 1.

Affiliation is computed a second time, by numerical integration of the definition, and has to agree.
Undefined values are NaN.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.spatial.distance import cdist
from sklearn import metrics
from sklearn.cluster import KMeans
from TSB_AD.evaluation.affiliation.generics import convert_vector_to_events
from TSB_AD.evaluation.affiliation.metrics import pr_from_events
from TSB_AD.evaluation.basic_metrics import basic_metricor, generate_curve

HERE = Path(__file__).parent
CASES = 200
NAN = float("nan")
GRADER = basic_metricor()
NAMES = [
    "auc_roc",
    "auc_pr",
    "best_f1",
    "precision",
    "recall",
    "f1",
    "point_adjusted_f1",
    "event_f1",
    "range_f1",
    "affiliation_precision",
    "affiliation_recall",
    "affiliation_f1",
    "oracle_point_adjusted_f1",
    "oracle_event_f1",
    "oracle_range_f1",
    "oracle_affiliation_f1",
    "vus_roc",
    "vus_pr",
]


def labels_of(rng, kind, rows):
    labels = np.zeros(rows, dtype=int)
    if kind == "points":
        labels[rng.random(rows) < 0.1] = 1
    elif kind == "dense":
        labels[rng.random(rows) < 0.5] = 1
    elif kind == "runs":
        for _ in range(rng.integers(1, 6)):
            start = rng.integers(0, rows)
            labels[start : start + rng.integers(1, max(2, rows // 8))] = 1
    elif kind == "ends":
        labels[: rng.integers(1, max(2, rows // 4))] = 1
        labels[rows - rng.integers(1, max(2, rows // 4)) :] = 1
    elif kind == "first":
        labels[0] = 1
    elif kind == "last":
        labels[-1] = 1
    elif kind == "all":
        labels[:] = 1
    elif kind == "alternating":
        labels[:: rng.integers(2, 4)] = 1
    return labels


def scores_of(rng, kind, labels):
    noise = rng.normal(0, 1, len(labels))
    scores = {
        "noise": noise,
        "good": noise + 2.5 * labels,
        "smooth": np.convolve(noise + 2 * labels, np.ones(5) / 5, mode="same")[: len(labels)],
        "ties": np.round(noise + labels),
        "binary": (noise + labels > 0.8).astype(float),
        "perfect": labels.astype(float),
        "inverted": -2.0 * labels + 0.1 * noise,
        "constant": np.full(len(labels), 0.3),
        "outlier": np.where(np.arange(len(labels)) == len(labels) // 2, 1e4, noise + labels),
        "tiny": 1e-6 * (noise + labels) + 5,
    }[kind]
    return scores.astype(np.float32).astype(np.float64)


def case(number):
    rng = np.random.default_rng([7, number])
    label_kinds = [
        "runs",
        "points",
        "runs",
        "ends",
        "dense",
        "runs",
        "alternating",
        "first",
        "last",
    ]
    score_kinds = ["noise", "good", "smooth", "ties", "binary", "outlier", "good", "perfect"]
    score_kinds += ["inverted", "constant", "tiny"]
    label_kind = label_kinds[number % len(label_kinds)]
    score_kind = score_kinds[number % len(score_kinds)]
    rows = int(rng.integers(2, 160))
    if number % 40 == 13:
        label_kind = "none"
    elif number % 40 == 27:
        label_kind = "all"
    if number % 25 == 7:
        rows = int(rng.integers(1, 4))
    elif number % 50 == 3:
        rows = 400
    labels = labels_of(rng, label_kind, rows)
    scores = scores_of(rng, score_kind, labels)
    share = [0.02, 0.1, 0.3, 0.9][number % 4]
    predicted = (scores > np.quantile(scores, 1 - share)).astype(int)
    if number % 23 == 5:
        predicted[:] = 1
    elif number % 23 == 11:
        predicted[:] = 0
    buffer = [0, 1, 2, 5, 12, 25, 40][number % 7] if number % 20 else 100
    return scores, labels, predicted, buffer


def enclosed(values, value=0):
    return np.concatenate([[value], values, [value]])


def point_metrics(labels, predicted):
    arguments = {"average": "binary", "zero_division": np.nan}
    result = metrics.precision_recall_fscore_support(labels, predicted, **arguments)
    return [float(value) for value in result[:3]]


def best_f1(labels, scores):
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    sums = precision + recall
    return np.max(np.where(sums > 0, 2 * precision * recall / np.where(sums > 0, sums, 1), 0))


def run_metrics(labels, predicted):
    labels, predicted = enclosed(labels), enclosed(predicted)
    arguments = (labels, predicted.astype(float))
    return [
        GRADER.metric_PointF1PA(*arguments, preds=predicted),
        GRADER.metric_EventF1PA(*arguments, preds=predicted),
        GRADER.metric_RF1(*arguments, preds=predicted),
    ]


def oracle_run_metrics(labels, scores):
    labels, scores = enclosed(labels), enclosed(scores, scores.min())
    return [
        GRADER.metric_PointF1PA(labels, scores),
        GRADER.metric_EventF1PA(labels, scores),
        GRADER.metric_RF1(labels, scores),
    ]


def harmonic(precision, recall):
    return 0.0 if not precision + recall > 0 else 2 * precision * recall / (precision + recall)


def affiliation(labels, predicted):
    events = convert_vector_to_events(labels)
    result = pr_from_events(convert_vector_to_events(predicted), events, (0, len(labels)))
    precision, recall = result["Affiliation_Precision"], result["Affiliation_Recall"]
    other = integrated_affiliation(events, predicted)
    assert np.allclose([precision, recall], other, atol=1e-9, equal_nan=True), (precision, other)
    return precision, recall, harmonic(precision, recall)


def integrated_affiliation(events, predicted):
    """The definition, by the midpoint rule.

    All borders and kinks lie on quarters of a row and the integrands are linear between them, so
    that the rule is exact up to rounding.
    """
    cell = 0.25
    times = np.arange(0, len(predicted), cell) + cell / 2
    covered = predicted[np.floor(times).astype(int)] == 1
    borders = [(a[1] + b[0]) / 2 for a, b in zip(events[:-1], events[1:])]
    borders = [0, *borders, len(predicted)]
    precisions, recalls = [], []
    for (start, end), low, high in zip(events, borders[:-1], borders[1:]):
        zone = (times > low) & (times < high)
        inside = (times > start) & (times < end)
        points = times[zone & covered]
        if len(points) == 0:
            recalls.append(0.0)
            continue
        distance = np.maximum(np.maximum(start - points, points - end), 0)
        near = np.minimum(distance, start - low) + np.minimum(distance, high - end)
        survival = np.where(distance > 0, 1 - (end - start + near) / (high - low), 1)
        precisions.append(survival.mean())
        # Nearest predicted time: the border of a predicted cell.
        truth = times[inside]
        gaps = np.abs(truth[:, None] - points[None, :]) - cell / 2
        distance = np.maximum(gaps.min(axis=1), 0)
        reached = np.minimum(distance, truth - low) + np.minimum(distance, high - truth)
        recalls.append((1 - reached / (high - low)).mean())
    return np.mean(precisions) if precisions else NAN, np.mean(recalls)


def oracle_affiliation(labels, scores):
    best = 0.0
    for threshold in np.linspace(scores.min(), scores.max(), 100):
        best = max(best, affiliation(labels, (scores > threshold).astype(int))[2])
    if scores.max() > scores.min():
        assert abs(best - GRADER.metric_Affiliation(labels, scores)) < 1e-9
    return best


def volumes(labels, scores, buffer):
    if labels.all():
        return [NAN, 1.0]
    return [float(x) for x in generate_curve(labels, scores, buffer, "opt", 250)[-2:]]


def expected(scores, labels, predicted, buffer):
    points = point_metrics(labels, predicted)
    if not labels.any():
        nothing = [NAN] * len(NAMES)
        nothing[3:6] = points
        return nothing
    roc = NAN if labels.all() else metrics.roc_auc_score(labels, scores)
    return [
        roc,
        metrics.average_precision_score(labels, scores),
        best_f1(labels, scores),
        *points,
        *run_metrics(labels, predicted),
        *affiliation(labels, predicted),
        *oracle_run_metrics(labels, scores),
        oracle_affiliation(labels, scores),
        *volumes(labels, scores, buffer),
    ]


def sets(number):
    """Embeddings of four regions far apart, with a set of real and one of generated rows."""
    rng = np.random.default_rng([8, number])
    rows, width = 24, 3
    centres = 200.0 * rng.permutation(np.eye(4)[:, :width]) + rng.normal(0, 1, width)
    region = np.concatenate([np.arange(4), rng.integers(0, 4, rows - 4)])
    values = (centres[region] + rng.normal(0, 0.1, (rows, width))).astype(np.float32)
    real, generated = rng.random(rows) < 0.4, rng.random(rows) < [0.1, 0.5, 0.9][number % 3]
    wide = values.astype(np.float64)
    arp = NAN
    if real.any() and generated.any():
        arp = 1 / (1 + cdist(wide[real], wide[generated]).min(axis=1).mean())
    edi = NAN
    if generated.any():
        found = KMeans(4, n_init=10, random_state=0).fit_predict(wide)
        share = np.bincount(found[generated]) / generated.sum()
        share = share[share > 0]
        edi = -np.sum(share * np.log(share))
    return values, real, generated, [arp, edi]


def main():
    warnings.filterwarnings("ignore")
    rows = [case(number) for number in range(CASES)]
    values = [expected(*given) for given in rows]
    scores, labels, predicted, buffers = zip(*rows)
    embedded, real, generated, diversity = zip(*[sets(number) for number in range(CASES)])
    arrays = {
        "rows": np.array([len(x) for x in scores], dtype=np.uint32),
        "buffers": np.array(buffers, dtype=np.uint32),
        "scores": np.concatenate(scores).astype(np.float32),
        "labels": np.concatenate(labels).astype(np.uint8),
        "predicted": np.concatenate(predicted).astype(np.uint8),
        "expected": np.array(values, dtype=np.float64),
        "embeddings": np.array(embedded),
        "real": np.array(real, dtype=np.uint8),
        "generated": np.array(generated, dtype=np.uint8),
        "diversity": np.array(diversity, dtype=np.float64),
    }
    path = HERE / "metrics.safetensors"
    save_file(arrays, path, metadata={"config": json.dumps({"names": NAMES})})
    table = np.array(values, dtype=np.float64)
    for i, name in enumerate(NAMES):
        defined = table[:, i][~np.isnan(table[:, i])]
        print(f"{name:26} {len(defined)} defined, {defined.min():.4f} to {defined.max():.4f}")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
