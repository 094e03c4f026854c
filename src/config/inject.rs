//! The options of `inject`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::declare::{options, words};
use super::domain::Domains;
use super::fit::MAX_WINDOW;
use super::parse::{listed, refuse_unused, to_map};
use super::placement::{Names, Quota, Span, Way, one_of};
use super::table::{
    Config, INJECTS, OptionSpec, Ranged, Shape, Shaped, above, any, at_least, between,
};
use crate::config::OneOrRange;
use crate::error::{Error, Result};

/// Name of the group of its options.
pub(super) const INJECT: &str = "inject";
/// Largest factor; its inverse is the smallest.
const FACTOR: f64 = 1000.0;

words! {
    /// A kind of classical anomaly. Amounts are in training standard deviations of the feature.
    pub enum Kind {
        /// Spikes: moves each row away from the mean by the strength.
        Global = "global" | "spike",
        /// Moves each row to the other side of its local mean (10 rows either way), `strength`
        /// local standard deviations from it.
        Contextual = "contextual",
        /// Continues the series `factor` times as fast.
        Seasonal = "seasonal" | "tempo",
        /// Adds a slope that ends with the segment; its root mean square is the strength.
        Trend = "trend" | "ramp",
        /// Replaces the segment by another shape, or a constant, over the same range.
        Shapelet = "shapelet",
        /// Multiplies distances from the segment's mean by `factor`.
        Amplitude = "amplitude" | "scale",
        /// Moves one row `strength` beyond the extremes around it.
        Extremum = "extremum",
        /// Reads the segment's own rows `factor` times as fast, reflected at its ends.
        Frequency = "frequency",
        /// Shifts the segment by the strength.
        Mean = "mean" | "level-shift",
        /// Distorts the shape by an arc tangent of steepness `factor`: steep flanks, flat crests.
        Pattern = "pattern",
        /// Replaces the segment by the values `shift` rows earlier or later.
        PatternShift = "pattern-shift" | "phase",
        /// Replaces the segment by a constant within the range around it.
        Platform = "platform" | "flat-line",
        /// Adds white noise; its root mean square is the strength.
        Variance = "variance" | "noise-burst",
        /// Mirrors the feature at its mean: its correlations with the others change sign.
        ModeCorrelation = "mode-correlation" | "correlation-break",
        /// A hump that rises and falls back; its root mean square is the strength.
        Pulse = "pulse",
        /// A random walk is added; its root mean square is the strength.
        Walk = "walk",
        /// Values drop to 0, or to the lowest around where they can be negative.
        Dropout = "dropout",
        /// The value before the segment stays.
        Stuck = "stuck" | "stuck-value",
        /// The values of other rows around, where these are more than those of the segment.
        OtherWindow = "other-window",
        /// A counter starts again from 0, and has its count back behind the segment.
        Reset = "reset" | "counter-reset",
        /// The values of the segment are missing.
        Missing = "missing" | "missing-stretch",
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
        SIZED.contains(&self.name())
    }

    /// Whether it can go up or down as asked.
    pub(super) fn has_direction(self) -> bool {
        DIRECTED.contains(&self.name())
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
    pub size: Option<OneOrRange<f64>>,
    pub direction: Option<Way>,
}

/// A kind by the name that a user calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedKind {
    /// The kind.
    pub kind: Kind,
    /// Its name, or another word for it.
    pub name: &'static str,
}

impl NamedKind {
    /// The kind that a word stands for.
    pub(super) fn read(word: &str) -> Option<Self> {
        let all = Kind::ALL.into_iter().zip(Kind::WORDS);
        let mut names = all.flat_map(|(kind, of)| {
            let names = std::iter::once(of.name).chain(of.aliases.iter().copied());
            names.map(move |name| Self { kind, name })
        });
        names.find(|named| named.name == word)
    }
}

impl From<Kind> for NamedKind {
    fn from(kind: Kind) -> Self {
        Self { kind, name: kind.name() }
    }
}

impl Serialize for NamedKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

/// One kind or a list of kinds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kinds(pub Vec<NamedKind>);

impl From<&[Kind]> for Kinds {
    fn from(kinds: &[Kind]) -> Self {
        Self(kinds.iter().copied().map(NamedKind::from).collect())
    }
}

impl Kinds {
    /// The same by the first other word of each, where it has one.
    pub(super) fn in_plain_words(mut self) -> Self {
        for named in &mut self.0 {
            let words = Kind::WORDS.iter().find(|word| word.name == named.name);
            named.name = words.and_then(|word| word.aliases.first()).copied().unwrap_or(named.name);
        }
        self
    }

    /// Whether one of them is `kind`.
    pub(crate) fn holds(&self, kind: Kind) -> bool {
        self.0.iter().any(|named| named.kind == kind)
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let kind = |name: Value| NamedKind::read(name.as_str()?);
        let kinds = listed(Value::deserialize(deserializer)?, kind);
        kinds.map(Self).ok_or_else(|| D::Error::custom("a list of kinds"))
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

/// Kinds that have a direction.
const DIRECTED: &[&str] = &["global", "extremum", "mean", "trend", "pulse"];
/// Kinds whose amount is a strength.
const SIZED: &[&str] =
    &["global", "contextual", "trend", "extremum", "mean", "variance", "pulse", "walk"];

options! {
    /// Which classical anomalies are injected, how many, and how strong.
    ///
    /// Amounts given as ranges are drawn log-uniformly, once per anomaly. Options that no chosen
    /// kind uses are rejected. Standard deviations are those of the feature over the clean rows of
    /// the series.
    pub struct InjectConfig of INJECT, for INJECTS;

    /// Kinds of anomalies, in equal numbers to within one.
    kind: Kinds = Kinds::from(&Kind::CARLA[..]) => any();
    /// Share of the rows of a series in anomalies; the last anomaly is shortened to meet it.
    contamination: Option<f64> = None => between(0.0, 1.0)
        .above_low()
        .auto("0.1, unless `count` or `total` is given");
    /// Number of anomalies per series, instead of `contamination`.
    count: Option<usize> = None => at_least(1.0);
    /// Number of anomalies over all series of a frame, instead of `contamination`.
    total: Option<usize> = None => at_least(1.0);
    /// Rows of an anomaly, uniform in a range; always one for `extremum`.
    length: Option<OneOrRange<usize>> = None => at_least(1.0)
        .auto("1 to 3 for `global` and `contextual`, else 16 to 128, or less in a short series");
    /// Duration of an anomaly, instead of `length`: rows, or a time such as "2h".
    duration: Option<OneOrRange<Span>> = None => any();
    /// Size of an anomaly in standard deviations of the feature; for `contextual` in local ones.
    strength: Option<OneOrRange<f64>> = None => above(0.0)
        .auto("depends on the kind")
        .when("kind", SIZED);
    /// Size of an anomaly in the unit of the feature, instead of `strength`.
    size: Option<OneOrRange<f64>> = None => above(0.0).when("kind", SIZED);
    /// Direction of the change.
    direction: Option<Way> = None => any().auto("\"both\"").when("kind", DIRECTED);
    /// Features that anomalies may change.
    hit: Option<Names> = None => any().auto("all");
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
        let share = self.contamination.is_some();
        one_of("count", self.count, "contamination", share)?;
        one_of("total", self.total, "contamination", share)?;
        one_of("total", self.total, "count", self.count.is_some())?;
        one_of("duration", self.duration, "length", self.length.is_some())?;
        one_of("size", self.size, "strength", self.strength.is_some())?;
        let odd = |(low, high)| (low, high) == (1.0, 1.0) || low < 1.0 / FACTOR || high > FACTOR;
        if let Some(factor) = self.factor.filter(|factor| odd(factor.bounds())) {
            let allowed = format!("within 1/{FACTOR} to {FACTOR}, and not 1, which has no effect");
            return Err(Error::parameter("factor", factor, allowed));
        }
        let given = to_map(self)?;
        let kinds: Vec<&str> = self.kind.0.iter().map(|named| named.kind.name()).collect();
        let mut chosen = given.clone();
        chosen.insert("kind".into(), kinds.into());
        refuse_unused(Self::OPTIONS, &given, &chosen)
    }

    /// How many anomalies are asked for.
    pub(crate) fn quota(&self) -> Quota {
        Quota::new(self.count, self.total, self.contamination)
    }

    /// Ranges of the amounts.
    pub(crate) fn ranges(&self) -> Ranges {
        let Self { strength, factor, shift, size, direction, .. } = *self;
        Ranges { strength, factor, shift, size, direction }
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
        assert_eq!(config.kind, Kinds::from(&[Kind::PatternShift][..]));
        assert_eq!((config.count, config.shift), (Some(3), Some(OneOrRange::Range(2, 9))));
        let all: Vec<&str> = Kind::ALL.map(Kind::name).to_vec();
        assert_eq!(parse(&json!({"kind": all})).unwrap().kind, Kinds::from(&Kind::ALL[..]));
        let plain = parse(&json!({"kind": ["level-shift", "mean"], "duration": "2h"})).unwrap();
        let shift = |name| NamedKind { kind: Kind::Mean, name };
        assert_eq!(plain.kind.0, ["level-shift", "mean"].map(shift));
        assert_eq!(plain.duration, Some(OneOrRange::One(Span::Time(7200e6))));
        let both = parse(&json!({"duration": ["1h", "2h"], "hit": "a"})).unwrap();
        assert!(matches!(both.duration, Some(OneOrRange::Range(..))));
        assert_eq!(both.hit, Some(Names(vec!["a".into()])));
    }

    #[test]
    fn errors_name_option_and_value() {
        for (json, text) in [
            (
                json!({"kind": "spikes"}),
                "`kind` = \"spikes\": must be one or several of \"global\"",
            ),
            (json!({"kind": ["mean", 3]}), "`kind` = [\"mean\",3]"),
            (json!({"kind": []}), "`kind` = []"),
            (json!({"contamination": 0.0}), "`contamination` = 0"),
            (json!({"contamination": 1.5}), "`contamination` = 1.5"),
            (json!({"count": 0}), "`count` = 0"),
            (json!({"count": 3, "contamination": 0.1}), "given without `contamination`"),
            (json!({"count": 3, "total": 3}), "`total` = 3: must be given without `count`"),
            (json!({"length": 3, "duration": 3}), "given without `length`"),
            (json!({"size": 3, "strength": 3}), "given without `strength`"),
            (json!({"duration": ["2h", "1h"]}), "`duration` = (7200 seconds, 3600 seconds)"),
            (json!({"duration": ["2h", 3]}), "`duration`"),
            (json!({"duration": "long"}), "rows >= 1, or a duration such as \"2h\""),
            (json!({"direction": "left"}), "`direction` = \"left\""),
            (json!({"direction": "up", "kind": "platform"}), "`direction` = \"up\""),
            (json!({"size": 2, "kind": "platform"}), "`size` = 2"),
            (json!({"hit": []}), "`hit` = []"),
            (json!({"hit": 3}), "`hit` = 3"),
            (json!({"total": 0}), "`total` = 0"),
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
