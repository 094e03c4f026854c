//! Classical anomalies, without a model: the five kinds of CARLA (after Lai et al., NeurIPS 2021) and
//! those of GutenTAG (Wenig, Schmidl, Papenbrock, VLDB 2022), put into existing series.

mod config;
mod level;
mod points;
mod series;
mod shape;
mod stretch;
mod tempo;
mod window;

use serde::{Deserialize, Serialize};

pub use config::{InjectConfig, Kinds};
pub use series::inject;
pub(crate) use tempo::reflect;
pub(crate) use window::draw_classical;

/// A kind of classical anomaly. Amounts are in training standard deviations of the feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Spikes: each row is thrown away from the mean by the strength.
    Global,
    /// Each row goes to the other side of its local mean (10 rows either way), `strength` local
    /// deviations from it.
    Contextual,
    /// The series runs on `factor` times as fast.
    Seasonal,
    /// A slope is added, which ends with the segment; its root mean square is the strength.
    Trend,
    /// Another shape, or a flat line, over the range of the segment.
    Shapelet,
    /// Distances from the segment's mean are multiplied by `factor`.
    Amplitude,
    /// One row goes `strength` beyond the extremes around it.
    Extremum,
    /// The segment's own rows are run through `factor` times as fast, to and fro.
    Frequency,
    /// A shift by the strength.
    Mean,
    /// The shape is distorted by an arc tangent of steepness `factor`: flanks steep, crests flat.
    Pattern,
    /// The values of `shift` rows earlier or later.
    PatternShift,
    /// A flat line at a level within the range around it.
    Platform,
    /// White noise is added; its root mean square is the strength.
    Variance,
    /// The feature is mirrored at its mean: its correlations with the others change sign.
    ModeCorrelation,
}

impl Kind {
    /// The five kinds that CARLA trains on.
    pub const CARLA: [Self; 5] =
        [Self::Global, Self::Contextual, Self::Seasonal, Self::Trend, Self::Shapelet];
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Global,
        Self::Contextual,
        Self::Seasonal,
        Self::Trend,
        Self::Shapelet,
        Self::Amplitude,
        Self::Extremum,
        Self::Frequency,
        Self::Mean,
        Self::Pattern,
        Self::PatternShift,
        Self::Platform,
        Self::Variance,
        Self::ModeCorrelation,
    ];

    /// Its name, as an option and in the column `anomaly_kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Contextual => "contextual",
            Self::Seasonal => "seasonal",
            Self::Trend => "trend",
            Self::Shapelet => "shapelet",
            Self::Amplitude => "amplitude",
            Self::Extremum => "extremum",
            Self::Frequency => "frequency",
            Self::Mean => "mean",
            Self::Pattern => "pattern",
            Self::PatternShift => "pattern-shift",
            Self::Platform => "platform",
            Self::Variance => "variance",
            Self::ModeCorrelation => "mode-correlation",
        }
    }

    /// Whether it hits single rows.
    fn is_point(self) -> bool {
        matches!(self, Self::Global | Self::Contextual | Self::Extremum)
    }

    /// Shortest and longest segment where none is given.
    fn length(self) -> (usize, usize) {
        match self {
            Self::Extremum => (1, 1),
            Self::Global | Self::Contextual => (1, 3),
            _ => (16, 128),
        }
    }

    /// Range of the strength where none is given: what the kind is made of, or the shift that stands
    /// in for it where there is nothing to change.
    fn strength(self) -> (f64, f64) {
        match self {
            Self::Global => (3.0, 8.0),
            Self::Contextual => (2.0, 5.0),
            Self::Extremum => (1.0, 4.0),
            _ => (0.7, 4.0),
        }
    }

    /// Range of the factor where none is given.
    fn factor(self) -> (f64, f64) {
        match self {
            Self::Pattern => (5.0, 20.0),
            _ => (1.5, 4.0),
        }
    }

    /// Whether one over the factor is the same kind the other way: slower, smaller.
    fn inverts(self) -> bool {
        matches!(self, Self::Seasonal | Self::Frequency | Self::Amplitude)
    }

    /// Whether the strength says how much it changes.
    fn uses_strength(self) -> bool {
        use Kind::{Contextual, Extremum, Global, Mean, Trend, Variance};
        matches!(self, Global | Contextual | Extremum | Mean | Trend | Variance)
    }

    /// Whether the factor does.
    fn uses_factor(self) -> bool {
        self.inverts() || self == Self::Pattern
    }
}
