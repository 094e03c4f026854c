//! The options of `inject`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::check::{count_range, number, positive_range};
use super::fit::MAX_WINDOW;
use super::parse::over_defaults;
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Share of the rows that is hit where neither `contamination` nor `count` is given.
const CONTAMINATION: f64 = 0.1;
/// Largest factor, and one over the smallest.
const FACTOR: f64 = 1000.0;

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
    pub(crate) fn is_point(self) -> bool {
        matches!(self, Self::Global | Self::Contextual | Self::Extremum)
    }

    /// Shortest and longest segment where none is given.
    pub(crate) fn length(self) -> (usize, usize) {
        match self {
            Self::Extremum => (1, 1),
            Self::Global | Self::Contextual => (1, 3),
            _ => (16, 128),
        }
    }

    /// Range of the strength where none is given: what the kind is made of, or the shift that stands
    /// in for it where there is nothing to change.
    pub(crate) fn strength(self) -> (f64, f64) {
        match self {
            Self::Global => (3.0, 8.0),
            Self::Contextual => (2.0, 5.0),
            Self::Extremum => (1.0, 4.0),
            _ => (0.7, 4.0),
        }
    }

    /// Range of the factor where none is given.
    pub(crate) fn factor(self) -> (f64, f64) {
        match self {
            Self::Pattern => (5.0, 20.0),
            _ => (1.5, 4.0),
        }
    }

    /// Whether one over the factor is the same kind the other way: slower, smaller.
    pub(crate) fn inverts(self) -> bool {
        matches!(self, Self::Seasonal | Self::Frequency | Self::Amplitude)
    }

    /// Whether the strength says how much it changes.
    pub(crate) fn uses_strength(self) -> bool {
        use Kind::{Contextual, Extremum, Global, Mean, Trend, Variance};
        matches!(self, Global | Contextual | Extremum | Mean | Trend | Variance)
    }

    /// Whether the factor does.
    pub(crate) fn uses_factor(self) -> bool {
        self.inverts() || self == Self::Pattern
    }
}

/// Ranges that amounts are drawn from; `None`: the kind's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ranges {
    pub strength: Option<OneOrRange<f64>>,
    pub factor: Option<OneOrRange<f64>>,
    pub shift: Option<OneOrRange<usize>>,
}

/// Kinds to choose from: a name, or a list of names.
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
        let known = || Kind::ALL.map(Kind::name).join("\", \"");
        let allowed = || D::Error::custom(format!("one or several of \"{}\"", known()));
        kinds.filter(|kinds| !kinds.is_empty()).map(Self).ok_or_else(allowed)
    }
}

/// Which classical anomalies are injected, how many, and how strong they are.
///
/// Amounts that are ranges are drawn log-uniformly, once per anomaly. What no chosen kind uses is
/// refused. Deviations are those of the feature over the clean rows of the series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectConfig {
    /// Kinds, each as often as the others to within one.
    pub kind: Kinds,
    /// Share of the rows of a series that belongs to an anomaly, in (0, 1], met to within one
    /// anomaly; `None`: 0.1, unless `count` is given.
    pub contamination: Option<f64>,
    /// Number of anomalies per series (>= 1), instead of `contamination`.
    pub count: Option<usize>,
    /// Rows of an anomaly (>= 1), uniform in a range; `extremum` always takes one. `None`: one to
    /// three for `global` and `contextual`, 16 to 128 for the others, or less in a short series.
    pub length: Option<OneOrRange<usize>>,
    /// In standard deviations of the feature (> 0): of `global`, `extremum`, `mean`, `trend` and
    /// `variance`; of `contextual` in local deviations. `None`: the kind's own range.
    pub strength: Option<OneOrRange<f64>>,
    /// Of the tempo (`seasonal`, `frequency`), the `amplitude`, or the steepness of `pattern` (1/1000
    /// to 1000, not 1). `None`: 1.5 to 4, or one over that; 5 to 20 for `pattern`.
    pub factor: Option<OneOrRange<f64>>,
    /// Rows by which `pattern-shift` moves the phase (>= 1). `None`: an eighth to half of the
    /// anomaly.
    pub shift: Option<OneOrRange<usize>>,
    /// Largest share of the features that one anomaly hits, in (0, 1]; it hits at least one.
    pub feature_share: f64,
    /// Whether anomalies may also hit features that are constant over the clean rows, which then make
    /// a step. Where all are, they always do.
    pub hit_constant: bool,
    /// Seed.
    pub seed: u64,
}

impl Default for InjectConfig {
    fn default() -> Self {
        Self {
            kind: Kinds(Kind::CARLA.to_vec()),
            contamination: None,
            count: None,
            length: None,
            strength: None,
            factor: None,
            shift: None,
            feature_share: 1.0,
            hit_constant: false,
            seed: 0,
        }
    }
}

impl InjectConfig {
    /// Reads a flat map of options over the defaults.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type or range.
    pub fn parse(given: &Map<String, Value>) -> Result<Self> {
        let config: Self = over_defaults(given)?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every range, and that some chosen kind uses every amount that is given.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn validate(&self) -> Result<()> {
        if self.kind.0.is_empty() {
            return Err(Error::parameter("kind", "[]", "at least one kind"));
        }
        let contamination = self.contamination.unwrap_or(CONTAMINATION);
        number("contamination", contamination, |x| x > 0.0 && x <= 1.0, "in (0, 1]")?;
        if let Some(count) = self.count.filter(|&n| n < 1 || self.contamination.is_some()) {
            let allowed = "an integer >= 1, given without `contamination`";
            return Err(Error::parameter("count", count, allowed));
        }
        count_range("length", self.length, usize::MAX, "1 <= min <= max")?;
        positive_range("strength", self.strength)?;
        positive_range("factor", self.factor)?;
        let odd = |(low, high)| (low, high) == (1.0, 1.0) || low < 1.0 / FACTOR || high > FACTOR;
        if let Some(bounds) = self.factor.map(OneOrRange::bounds).filter(|&bounds| odd(bounds)) {
            let allowed =
                format!("within 1/{FACTOR} to {FACTOR}, and not 1, which changes nothing");
            return Err(Error::parameter("factor", format!("{bounds:?}"), allowed));
        }
        let allowed = format!("1 <= min <= max <= {MAX_WINDOW}");
        count_range("shift", self.shift, MAX_WINDOW, &allowed)?;
        number("feature_share", self.feature_share, |x| x > 0.0 && x <= 1.0, "in (0, 1]")?;
        let given = |range: Option<OneOrRange<f64>>| range.map(|r| format!("{:?}", r.bounds()));
        self.used("strength", given(self.strength), Kind::uses_strength)?;
        self.used("factor", given(self.factor), Kind::uses_factor)?;
        let shift = self.shift.map(|range| format!("{:?}", range.bounds()));
        self.used("shift", shift, |kind| kind == Kind::PatternShift)
    }

    /// Refuses an amount that is given, but used by no chosen kind.
    fn used(
        &self,
        name: &'static str,
        given: Option<String>,
        uses: fn(Kind) -> bool,
    ) -> Result<()> {
        let Some(given) = given else { return Ok(()) };
        if self.kind.0.iter().any(|&kind| uses(kind)) {
            return Ok(());
        }
        let users = Kind::ALL.into_iter().filter(|&kind| uses(kind)).map(Kind::name);
        let users = users.collect::<Vec<_>>().join(", ");
        Err(Error::parameter(name, given, format!("left out unless `kind` is one of {users}")))
    }

    /// What asks for the number of anomalies: the option and its value.
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
            (json!({"length": 0}), "`length` = (0, 0)"),
            (json!({"strength": -1.0}), "`strength` = (-1, -1)"),
            (json!({"strength": "much"}), "`strength` = \"much\""),
            (json!({"factor": 1}), "`factor` = (1.0, 1.0)"),
            (json!({"factor": 1e9}), "`factor` = (1000000000.0, 1000000000.0)"),
            (json!({"factor": 0}), "`factor` = (0, 0)"),
            (json!({"shift": 0, "kind": "pattern-shift"}), "`shift` = (0, 0)"),
            (
                json!({"shift": 3}),
                "`shift` = (3, 3): must be left out unless `kind` is one of pattern-shift",
            ),
            (json!({"strength": 2, "kind": "platform"}), "`strength` = (2.0, 2.0)"),
            (json!({"factor": 2, "kind": "mean"}), "`factor` = (2.0, 2.0)"),
            (json!({"feature_share": 0}), "`feature_share` = 0"),
            (json!({"window": 100}), "unknown option `window`"),
            (json!({"seed": -1}), "`seed` = -1"),
        ] {
            let error = parse(&json).unwrap_err().to_string();
            assert!(error.contains(text), "{error:?} lacks {text:?}");
        }
    }
}
