//! Options of `score` and `label`.

use super::alarm::AlarmConfig;
use super::declare::{options, words};
use super::detect::DetectorKind;
use super::table::{LABELS, OptionSpec, SCORES, Shape, ValueType, any, at_least, between, plain};
use crate::error::{Error, Result};

words! {
    /// How the scores of the windows that cover a row are combined.
    pub enum Aggregate {
        /// Their mean.
        Mean = "mean",
        /// The largest.
        Max = "max",
        /// The score of the window that ends with the row: uses no later rows.
        Last = "last",
    }
}

/// The threshold of `label`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Threshold {
    /// From the accepted rate of false alarms ([`super::AlarmConfig`]): alarms start above a high
    /// threshold and continue above a low one.
    #[default]
    Auto,
    /// Peaks over threshold: the score that one normal row in a thousand exceeds, from a
    /// generalised Pareto tail (Siffer et al., KDD 2017).
    Pot,
    /// This quantile of the scores of held-out normal rows, in [0, 1].
    Quantile(f64),
    /// This score.
    Number(f64),
}

words! {
    /// Form of a score.
    pub enum Scale {
        /// In the detector's own units.
        Score = "score",
        /// As `score`, of each row by itself: labels and alarms follow these scores. They differ for
        /// `evidence`.
        Row = "row",
        /// The probability of a score as high in a normal row.
        Pvalue = "pvalue",
    }
}

/// Detectors with a score per feature.
const PER_FEATURE: &[&str] = &["reconstruction", "amplitude"];

options! {
    /// How rows are scored.
    #[derive(Copy)]
    pub struct ScoreConfig of "scores", for SCORES;

    /// Detector of scores and labels; with a model, the default is the model's own detector.
    detector: Option<DetectorKind> = None => any();
    /// How the scores of the windows that cover a row are combined.
    aggregate: Aggregate = Aggregate::Mean => any();
    /// Rows between scored windows.
    score_stride: Option<usize> = None => at_least(1.0).auto("a quarter of a window");
    /// Whether every feature gets its own score.
    per_feature: bool = false => any()
        .verbs(&["score"])
        .when("detector", PER_FEATURE);
    /// Form of the score: in the detector's units, or as the probability of a score as high in a
    /// normal row.
    as_: Scale = Scale::Score => any().verbs(&["score"]);
    /// Whether rows come with the features to blame, the strongest evidence, and the nearest normal row.
    explain: bool = false => any().verbs(&["score"]);
    /// Share of normal rows between the bounds of what a feature should have been.
    bounds: Option<f64> = None => between(0.0, 1.0)
        .above_low()
        .below_high()
        .auto("0.95 for `expect`; `score` gives none")
        .verbs(&["score", "expect"]);
}

/// Share of normal rows between the bounds of `expect`.
const COVERAGE: f64 = 0.95;

words! {
    /// Named thresholds of `label`.
    pub enum NamedThreshold {
        /// From the accepted rate of false alarms: alarms start above a high threshold and continue
        /// above a low one.
        Auto = "auto",
        /// Peaks over threshold: the score that one normal row in a thousand exceeds.
        Pot = "pot",
    }
}

/// Options of `label` that make a [`Threshold`].
pub(super) const THRESHOLD: &[OptionSpec] = &[
    OptionSpec::new(
        "threshold",
        "Score above which a row is anomalous; replaces the accepted rate of false alarms.",
        "scores",
        LABELS,
        Shape {
            value_type: ValueType::WordOrNumber(NamedThreshold::WORDS),
            ..plain(ValueType::Number)
        },
        any(),
    ),
    OptionSpec::new(
        "quantile",
        "Quantile of the scores of held-out normal rows above which a row is anomalous; replaces `threshold`.",
        "scores",
        LABELS,
        Shape { optional: true, ..plain(ValueType::Number) },
        between(0.0, 1.0),
    ),
];

impl Threshold {
    /// Rejects a threshold together with an accepted rate, which sets the threshold.
    pub(super) fn check(self, alarm: &AlarmConfig) -> Result<()> {
        if self == Self::Auto || !alarm.asks() {
            return Ok(());
        }
        let given = match (alarm.alarms_per_day, alarm.false_alarm_rate) {
            (Some(_), _) => "alarms_per_day",
            (None, Some(_)) => "false_alarm_rate",
            (None, None) => "budget",
        };
        let value = match self {
            Self::Number(number) => number.to_string(),
            Self::Quantile(q) => format!("quantile {q}"),
            _ => "\"pot\"".into(),
        };
        Err(Error::parameter("threshold", value, format!("given without `{given}`")))
    }
}

/// The error for a detector without a score per feature.
pub(crate) fn per_feature_error(kind: DetectorKind) -> Error {
    let quoted = PER_FEATURE.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>();
    let allowed = format!("{} with `per_feature`", quoted.join(" or "));
    Error::parameter("detector", kind.name(), allowed)
}

impl ScoreConfig {
    /// Share of normal rows between the bounds of what a feature should have been.
    pub fn coverage(&self) -> f64 {
        self.bounds.unwrap_or(COVERAGE)
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        if self.per_feature && (self.explain || self.bounds.is_some()) {
            let allowed = "given without `explain` and `bounds`";
            return Err(Error::parameter("per_feature", true, allowed));
        }
        match self.detector.filter(|kind| self.per_feature && !PER_FEATURE.contains(&kind.name())) {
            Some(kind) => Err(per_feature_error(kind)),
            None => self.check_ranges(),
        }
    }
}
