//! The options of `inject`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::declare::{options, words};
use super::domain::Domains;
use super::fit::MAX_WINDOW;
use super::parse::{refuse_unused, to_map};
use super::table::{
    Config, INJECTS, OptionSpec, Ranged, Shape, Shaped, above, any, at_least, between,
};
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Share of the rows in anomalies if neither `contamination` nor `count` is given.
const CONTAMINATION: f64 = 0.1;
/// Name of the group of its options.
pub(super) const INJECT: &str = "inject";
/// Largest factor; its inverse is the smallest.
const FACTOR: f64 = 1000.0;

words! {
    /// A kind of classical anomaly. Amounts are in training standard deviations of the feature.
    pub enum Kind {
        /// Spikes: moves each row away from the mean by the strength.
        Global = "global",
        /// Moves each row to the other side of its local mean (10 rows either way), `strength`
        /// local standard deviations from it.
        Contextual = "contextual",
        /// Continues the series `factor` times as fast.
        Seasonal = "seasonal",
        /// Adds a slope that ends with the segment; its root mean square is the strength.
        Trend = "trend",
        /// Replaces the segment by another shape, or a constant, over the same range.
        Shapelet = "shapelet",
        /// Multiplies distances from the segment's mean by `factor`.
        Amplitude = "amplitude",
        /// Moves one row `strength` beyond the extremes around it.
        Extremum = "extremum",
        /// Reads the segment's own rows `factor` times as fast, reflected at its ends.
        Frequency = "frequency",
        /// Shifts the segment by the strength.
        Mean = "mean",
        /// Distorts the shape by an arc tangent of steepness `factor`: steep flanks, flat crests.
        Pattern = "pattern",
        /// Replaces the segment by the values `shift` rows earlier or later.
        PatternShift = "pattern-shift",
        /// Replaces the segment by a constant within the range around it.
        Platform = "platform",
        /// Adds white noise; its root mean square is the strength.
        Variance = "variance",
        /// Mirrors the feature at its mean: its correlations with the others change sign.
        ModeCorrelation = "mode-correlation",
    }
}

impl Kind {
    /// The five kinds that CARLA trains on.
    pub const CARLA: [Self; 5] =
        [Self::Global, Self::Contextual, Self::Seasonal, Self::Trend, Self::Shapelet];
    /// Whether it changes single rows.
    pub(crate) fn is_point(self) -> bool {
        matches!(self, Self::Global | Self::Contextual | Self::Extremum)
    }

    /// Shortest and longest default length.
    pub(crate) fn length(self) -> (usize, usize) {
        match self {
            Self::Extremum => (1, 1),
            Self::Global | Self::Contextual => (1, 3),
            _ => (16, 128),
        }
    }

    /// Default range of the strength: of the kind itself, or of the shift that replaces it where
    /// the kind has no effect.
    pub(crate) fn strength(self) -> (f64, f64) {
        match self {
            Self::Global => (3.0, 8.0),
            Self::Contextual => (2.0, 5.0),
            Self::Extremum => (1.0, 4.0),
            _ => (0.7, 4.0),
        }
    }

    /// Default range of the factor.
    pub(crate) fn factor(self) -> (f64, f64) {
        match self {
            Self::Pattern => (5.0, 20.0),
            _ => (1.5, 4.0),
        }
    }

    /// Whether its amount is a strength.
    pub(crate) fn has_strength(self) -> bool {
        matches!(
            self,
            Self::Global
                | Self::Contextual
                | Self::Trend
                | Self::Extremum
                | Self::Mean
                | Self::Variance
        )
    }

    /// Whether the inverse factor is the same kind in the opposite direction: slower, smaller.
    pub(crate) fn inverts(self) -> bool {
        matches!(self, Self::Seasonal | Self::Frequency | Self::Amplitude)
    }
}

/// Ranges of the amounts; `None` for the defaults of the kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ranges {
    pub strength: Option<OneOrRange<f64>>,
    pub factor: Option<OneOrRange<f64>>,
    pub shift: Option<OneOrRange<usize>>,
}

/// One kind or a list of kinds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kinds(pub Vec<Kind>);

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let names = match Value::deserialize(deserializer)? {
            Value::Array(names) => names,
            name => vec![name],
        };
        let kind = |name: Value| Kind::deserialize(&name).ok();
        let kinds: Option<Vec<Kind>> = names.into_iter().map(kind).collect();
        let allowed = || D::Error::custom("a list of kinds");
        kinds.filter(|kinds| !kinds.is_empty()).map(Self).ok_or_else(allowed)
    }
}

impl Shaped for Kinds {
    const SHAPE: Shape = Shape { list: true, ..Kind::SHAPE };
}

impl Ranged for Kinds {
    fn check(&self, spec: &OptionSpec) -> Result<()> {
        if self.0.is_empty() { Err(spec.refuse("[]")) } else { Ok(()) }
    }
}

options! {
    /// Which classical anomalies are injected, how many, and how strong.
    ///
    /// Amounts given as ranges are drawn log-uniformly, once per anomaly. Options that no chosen
    /// kind uses are rejected. Standard deviations are those of the feature over the clean rows of
    /// the series.
    pub struct InjectConfig of INJECT, for INJECTS;

    /// Kinds of anomalies, in equal numbers to within one.
    kind: Kinds = Kinds(Kind::CARLA.to_vec()) => any();
    /// Share of the rows of a series in anomalies, to within one anomaly.
    contamination: Option<f64> = None => between(0.0, 1.0)
        .above_low()
        .auto("0.1, unless `count` is given");
    /// Number of anomalies per series, instead of `contamination`.
    count: Option<usize> = None => at_least(1.0);
    /// Rows of an anomaly, uniform in a range; always one for `extremum`.
    length: Option<OneOrRange<usize>> = None => at_least(1.0)
        .auto("1 to 3 for `global` and `contextual`, else 16 to 128, or less in a short series");
    /// Size of an anomaly in standard deviations of the feature; for `contextual` in local ones.
    strength: Option<OneOrRange<f64>> = None => above(0.0)
        .auto("depends on the kind")
        .when("kind", &["global", "contextual", "trend", "extremum", "mean", "variance"]);
    /// Factor of the tempo (`seasonal`, `frequency`) or the `amplitude`, or steepness of `pattern`.
    factor: Option<OneOrRange<f64>> = None => above(0.0)
        .auto("1.5 to 4 or its inverse; 5 to 20 for `pattern`")
        .when("kind", &["seasonal", "amplitude", "frequency", "pattern"]);
    /// Rows by which `pattern-shift` shifts the phase.
    shift: Option<OneOrRange<usize>> = None => between(1.0, MAX_WINDOW as f64)
        .auto("an eighth to half of the anomaly")
        .when("kind", &["pattern-shift"]);
    /// Largest share of the features that an anomaly changes; it changes at least one.
    feature_share: f64 = 1.0 => between(0.0, 1.0).above_low();
    /// Whether anomalies may also change features that are constant over the clean rows, by a step;
    /// they always do if all features are constant.
    hit_constant: bool = false => any();
    /// Values that features can take: learned from their clean rows, or given for some features.
    domain: Domains = Domains::Learned => any();
    /// Random seed.
    seed: u64 = 0 => at_least(0.0);
}

impl InjectConfig {
    /// Checks every range, and that a chosen kind uses every given amount.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn validate(&self) -> Result<()> {
        self.check_ranges()?;
        if let Some(count) = self.count.filter(|_| self.contamination.is_some()) {
            let allowed = "given without `contamination`";
            return Err(Error::parameter("count", count, allowed));
        }
        let odd = |(low, high)| (low, high) == (1.0, 1.0) || low < 1.0 / FACTOR || high > FACTOR;
        if let Some(factor) = self.factor.filter(|factor| odd(factor.bounds())) {
            let allowed = format!("within 1/{FACTOR} to {FACTOR}, and not 1, which has no effect");
            return Err(Error::parameter("factor", factor, allowed));
        }
        let given = to_map(self)?;
        refuse_unused(Self::OPTIONS, &given, &given)
    }

    /// The option that sets the number of anomalies, and its value.
    pub(crate) fn asked(&self) -> (&'static str, f64) {
        match self.count {
            Some(count) => ("count", count as f64),
            None => ("contamination", self.contamination.unwrap_or(CONTAMINATION)),
        }
    }

    /// Ranges of the amounts.
    pub(crate) fn ranges(&self) -> Ranges {
        Ranges { strength: self.strength, factor: self.factor, shift: self.shift }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(json: &Value) -> Result<InjectConfig> {
        InjectConfig::parse(json.as_object().unwrap())
    }

    #[test]
    fn options_are_read_over_the_defaults() {
        assert_eq!(parse(&json!({})).unwrap(), InjectConfig::default());
        let config =
            parse(&json!({"kind": "pattern-shift", "count": 3, "shift": [2, 9], "length": null}))
                .unwrap();
        assert_eq!(config.kind.0, [Kind::PatternShift]);
        assert_eq!((config.count, config.shift), (Some(3), Some(OneOrRange::Range(2, 9))));
        let all: Vec<&str> = Kind::ALL.map(Kind::name).to_vec();
        assert_eq!(parse(&json!({"kind": all})).unwrap().kind.0, Kind::ALL);
    }

    #[test]
    fn errors_name_option_and_value() {
        for (json, text) in [
            (json!({"kind": "spike"}), "`kind` = \"spike\": must be one or several of \"global\""),
            (json!({"kind": ["mean", 3]}), "`kind` = [\"mean\",3]"),
            (json!({"kind": []}), "`kind` = []"),
            (json!({"contamination": 0.0}), "`contamination` = 0"),
            (json!({"contamination": 1.5}), "`contamination` = 1.5"),
            (json!({"count": 0}), "`count` = 0"),
            (json!({"count": 3, "contamination": 0.1}), "given without `contamination`"),
            (json!({"length": [9, 3]}), "`length` = (9, 3)"),
            (json!({"length": 0}), "`length` = 0"),
            (json!({"strength": -1.0}), "`strength` = -1"),
            (json!({"strength": "much"}), "`strength` = \"much\""),
            (json!({"factor": 1}), "`factor` = 1"),
            (json!({"factor": 1e9}), "`factor` = 1000000000"),
            (json!({"factor": 0}), "`factor` = 0"),
            (json!({"shift": 0, "kind": "pattern-shift"}), "`shift` = 0"),
            (json!({"shift": 3}), "it is an option of \"pattern-shift\""),
            (json!({"strength": 2, "kind": "platform"}), "`strength` = 2"),
            (json!({"factor": 2, "kind": "mean"}), "`factor` = 2"),
            (json!({"feature_share": 0}), "`feature_share` = 0"),
            (json!({"window": 100}), "`window` = 100: must be left out of `inject`"),
            (json!({"kinds": "mean"}), "`kinds`"),
            (json!({"kin": "mean"}), "did you mean `kind`?"),
            (json!({"seed": -1}), "`seed` = -1"),
        ] {
            let error = parse(&json).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }
}
