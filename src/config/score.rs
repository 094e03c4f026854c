//! Options of `score` and `label`.

use serde::{Deserialize, Serialize};

use super::check::optional_count;
use super::detect::DetectorKind;
use crate::error::{Error, Result};

/// What the windows that cover a row come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// The score of the window in which the row comes last: what could be said by then.
    Last,
}

/// Where `label` draws the line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Threshold {
    /// Best F1 between held-out normal rows and generated anomalies, and at least the 99 % quantile
    /// of the normal ones.
    #[default]
    Auto,
    /// Peaks over threshold: the score that a normal row passes once in a thousand, by a generalised
    /// Pareto tail (Siffer et al., KDD 2017).
    Pot,
    /// This quantile of the scores of held-out normal rows, in [0, 1].
    Quantile(f64),
    /// This score.
    Number(f64),
}

/// How rows are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreConfig {
    /// The detector; `None`: the model's own.
    pub detector: Option<DetectorKind>,
    /// What the windows that cover a row come to.
    pub aggregate: Aggregate,
    /// Rows between windows; `None`: a quarter of a window.
    pub score_stride: Option<usize>,
    /// Whether every feature gets a score of its own (`reconstruction` and `amplitude` only).
    pub per_feature: bool,
}

/// A net has no score per feature.
pub(crate) fn per_feature_error(kind: DetectorKind) -> Error {
    let allowed = "\"reconstruction\" or \"amplitude\" with `per_feature`";
    Error::parameter("detector", kind.name(), allowed)
}

impl ScoreConfig {
    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        match self.detector.filter(|kind| self.per_feature && kind.is_trained()) {
            Some(kind) => Err(per_feature_error(kind)),
            None => optional_count("score_stride", self.score_stride, 1, usize::MAX),
        }
    }
}
