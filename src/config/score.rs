//! Options of `score` and `label`.

use super::declare::{options, words};
use super::detect::DetectorKind;
use super::table::{Of, OptionSpec, SCORES, Shape, any, at_least, between, plain};
use crate::error::{Error, Result};

words! {
    /// How the scores of the windows that cover a row are combined.
    pub enum Aggregate {
        /// Their mean.
        Mean = "mean",
        /// The largest.
        Max = "max",
        /// The score of the window that ends with the row: what could be said at that time.
        Last = "last",
    }
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

options! {
    /// How rows are scored.
    #[derive(Copy)]
    pub struct ScoreConfig of "scores", for SCORES;

    /// What the scores and labels come from; with a model, by default the model's own.
    detector: Option<DetectorKind> = None => any();
    /// How the scores of the windows that cover a row are combined.
    aggregate: Aggregate = Aggregate::Mean => any();
    /// Rows between scored windows.
    score_stride: Option<usize> = None => at_least(1.0).auto("a quarter of a window");
    /// Whether every feature gets a score of its own.
    per_feature: bool = false => any()
        .verbs(&["score"])
        .when("detector", &["reconstruction", "amplitude"]);
}

words! {
    /// Thresholds of `label` that have a name.
    pub enum NamedThreshold {
        /// Best F1 between held-out normal rows and generated anomalies, and at least the 99 % quantile
        /// of the normal ones.
        Auto = "auto",
        /// Peaks over threshold: the score that a normal row passes once in a thousand.
        Pot = "pot",
    }
}

/// Options of `label` that make a [`Threshold`].
pub(super) const THRESHOLD: &[OptionSpec] = &[
    OptionSpec::new(
        ("threshold", "Score above which a row is anomalous."),
        ("scores", &["label"]),
        Shape { of: Of::WordOrNumber(NamedThreshold::WORDS), ..plain(Of::Number) },
        any(),
    ),
    OptionSpec::new(
        ("quantile", "Instead of `threshold`: this quantile of the scores of held-out normal rows."),
        ("scores", &["label"]),
        Shape { optional: true, ..plain(Of::Number) },
        between(0.0, 1.0),
    ),
];

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
            None => self.check_ranges(),
        }
    }
}
