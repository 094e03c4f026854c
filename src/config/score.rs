//! Options of `score` and `label`.

use super::alarm::AlarmConfig;
use super::declare::{options, words};
use super::detect::DetectorKind;
use super::table::{LABELS, Of, OptionSpec, SCORES, Shape, any, at_least, between, plain};
use crate::error::{Error, Result};

words! {
    /// How the scores of the windows that cover a row are combined.
    pub enum Aggregate {
        /// Their mean.
        Mean = "mean",
        /// The largest.
        Max = "max",
        /// The score of the window that ends with the row: what was known at that time.
        Last = "last",
    }
}

/// Where `label` draws the line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Threshold {
    /// A promise about false alarms ([`super::AlarmConfig`]): alarms that start above a high line and go
    /// on above a low one.
    #[default]
    Auto,
    /// Peaks over threshold: the score that one normal row in a thousand exceeds, by a generalised
    /// Pareto tail (Siffer et al., KDD 2017).
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
        /// Probability that a normal row scores as high.
        Pvalue = "pvalue",
    }
}

/// Detectors with a score per feature.
const PER_FEATURE: &[&str] = &["reconstruction", "amplitude"];

options! {
    /// How rows are scored.
    #[derive(Copy)]
    pub struct ScoreConfig of "scores", for SCORES;

    /// Detector that scores and labels come from; with a model, by default the model's own.
    detector: Option<DetectorKind> = None => any();
    /// How the scores of the windows that cover a row are combined.
    aggregate: Aggregate = Aggregate::Mean => any();
    /// Rows between scored windows.
    score_stride: Option<usize> = None => at_least(1.0).auto("a quarter of a window");
    /// Whether every feature gets a score of its own.
    per_feature: bool = false => any()
        .verbs(&["score"])
        .when("detector", PER_FEATURE);
    /// Form of a score: in the detector's own units, or as the probability of as high a score in a normal row.
    as_: Scale = Scale::Score => any().verbs(&["score"]);
    /// Whether rows come with the features to blame, the evidence that speaks, and the nearest normal row.
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
    /// Thresholds of `label` that have a name.
    pub enum NamedThreshold {
        /// A promise about false alarms: alarms that start above a high line and go on above a low
        /// one.
        Auto = "auto",
        /// Peaks over threshold: the score that one normal row in a thousand exceeds.
        Pot = "pot",
    }
}

/// Options of `label` that make a [`Threshold`].
pub(super) const THRESHOLD: &[OptionSpec] = &[
    OptionSpec::new(
        "threshold",
        "Instead of a promise: the score above which a row is anomalous.",
        "scores",
        LABELS,
        Shape { of: Of::WordOrNumber(NamedThreshold::WORDS), ..plain(Of::Number) },
        any(),
    ),
    OptionSpec::new(
        "quantile",
        "Instead of `threshold`: this quantile of the scores of held-out normal rows.",
        "scores",
        LABELS,
        Shape { optional: true, ..plain(Of::Number) },
        between(0.0, 1.0),
    ),
];

impl Threshold {
    /// Refuses a threshold together with a promise: the promise sets the threshold.
    pub(super) fn check(self, alarm: &AlarmConfig) -> Result<()> {
        if self == Self::Auto || !alarm.asks() {
            return Ok(());
        }
        let given =
            if alarm.alarms_per_day.is_some() { "alarms_per_day" } else { "false_alarm_rate" };
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
