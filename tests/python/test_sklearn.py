"""The detector in the manner of scikit-learn, and scikit-learn's own checks of it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import polars_genias as pg

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from polars_genias.sklearn import GeniasDetector

pytestmark = pytest.mark.once

CANNOT_PASS = {
    "check_methods_sample_order_invariance": "the rows of a series have an order",
    "check_methods_subset_invariance": "one row of a series has no window",
}
WAVE = np.sin(np.arange(400) / 3)[:, None]


@pytest.mark.slow
def test_checks_of_scikit_learn():
    found = check_estimator(
        GeniasDetector(window=8), expected_failed_checks=CANNOT_PASS, on_skip=None
    )
    assert {check["check_name"] for check in found if check["status"] == "xfail"} == set(
        CANNOT_PASS
    )
    assert sum(check["status"] == "passed" for check in found) > 35


def test_scores_are_those_of_the_verb():
    detector = GeniasDetector(window=16, random_state=3).fit(WAVE)
    frame = pl.DataFrame({"x0": WAVE[:, 0]})
    expected = pg.score(frame, models=detector.model_)["anomaly_score"].to_numpy()
    np.testing.assert_array_equal(detector.score_samples(WAVE), -expected.astype(float))


def test_what_is_odd_is_flagged():
    odd = WAVE.copy()
    odd[200:205] += 4
    detector = clone(GeniasDetector(window=16)).fit(WAVE)
    found = detector.predict(odd)
    assert (found[200:205] == -1).all()
    assert (found[:150] == 1).mean() > 0.95
    assert ((detector.decision_function(odd) < 0) == (found == -1)).all()


@pytest.mark.parametrize("share", [0, 0.6, -1])
def test_a_share_out_of_range(share):
    with pytest.raises(ValueError, match="contamination"):
        GeniasDetector(contamination=share).fit(WAVE)
