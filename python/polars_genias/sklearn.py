"""A detector with the interface of scikit-learn: the extra ``sklearn``.

The rows of ``X`` form one time series, in time order and evenly spaced. Unlike in scikit-learn's
own detectors, the score of a row depends on its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from polars_genias import verbs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["GeniasDetector"]

_LEAST = 8
"""Rows of the shortest window."""


class GeniasDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Score and flag the rows of one time series.

    Parameters
    ----------
    detector
        As in `polars_genias.score`; the default needs no training of nets.
    window
        Rows of a window, W. By default that of the package, or, if `fit` gets fewer than four
        windows, a quarter of its rows, at least 8.
    contamination
        Share of the training rows that `predict` flags, in (0, 0.5].
    random_state
        Seed, an integer.
    options
        Other options of `polars_genias.fit` by name.

    Attributes
    ----------
    model_
        The model, as bytes.
    offset_
        Offset that `decision_function` subtracts from the scores.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from polars_genias.sklearn import GeniasDetector
    >>> wave = np.sin(np.arange(600) / 3)[:, None]
    >>> odd = wave.copy()
    >>> odd[300:305] += 4
    >>> found = GeniasDetector(window=32).fit(wave).predict(odd)
    >>> bool((found[300:305] == -1).all())
    True
    """

    def __init__(
        self,
        *,
        detector: str = "evidence",
        window: int | None = None,
        contamination: float = 0.001,
        random_state: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.detector = detector
        self.window = window
        self.contamination = contamination
        self.random_state = random_state
        self.options = options

    def fit(self, X: Any, y: Any = None) -> GeniasDetector:  # noqa: ARG002, N803
        """Fit to the rows of a series that is mostly normal.

        Parameters
        ----------
        X
            Rows in time order, of shape ``(T, D)``; NaN for missing values.
        y
            Not used.

        Returns
        -------
        GeniasDetector
            The detector itself.

        Raises
        ------
        ValueError
            For fewer rows than a window, or a parameter out of range.
        """
        if not 0 < self.contamination <= 0.5:
            msg = f"parameter `contamination` = {self.contamination}: must be in (0, 0.5]"
            raise ValueError(msg)
        rows = _checked(self, X, reset=True)
        options: dict[str, Any] = {"detector": self.detector, "seed": self.random_state}
        options |= {"window": self._window(len(rows))} | dict(self.options or {})
        self.model_: bytes = verbs.fit(rows, strict=True, **options)["model"][0]
        scores = self.score_samples(X)
        self.offset_ = float(np.nanquantile(scores, self.contamination))
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Score every row: lower is more anomalous, as in scikit-learn.

        Parameters
        ----------
        X
            Rows in time order, of shape ``(T, D)``.

        Returns
        -------
        ndarray
            The negative of `polars_genias.score`, of shape ``(T,)``; NaN for null.
        """
        check_is_fitted(self)
        rows = _checked(self, X, reset=False)
        found = verbs.score(rows, models=self.model_, strict=True)["anomaly_score"]
        scores: NDArray[np.float64] = -found.cast(pl.Float64).to_numpy()
        return scores

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Shift the scores so that negative ones are anomalies; of shape ``(T,)``."""
        shifted: NDArray[np.float64] = self.score_samples(X) - self.offset_
        return shifted

    def predict(self, X: Any) -> NDArray[np.int64]:  # noqa: N803
        """Flag every row: -1 for an anomaly, 1 for other rows and rows without a score."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _window(self, rows: int) -> int:
        if self.window is not None:
            return self.window
        return max(_LEAST, min(_DEFAULT_WINDOW, rows // 4))

    def __sklearn_tags__(self) -> Any:
        """Declare that missing values are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _default_window() -> int:
    from polars_genias import _table

    (option,) = (option for option in _table.of_verb("fit") if option.name == "window")
    return int(option.default)


_DEFAULT_WINDOW = _default_window()


def _checked(detector: GeniasDetector, data: Any, *, reset: bool) -> pl.DataFrame:
    """The rows as a frame with numbered columns."""
    array = validate_data(
        detector,
        data,
        reset=reset,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=_LEAST,
    )
    return pl.DataFrame({f"x{number}": column for number, column in enumerate(array.T)})
