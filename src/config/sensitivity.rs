//! The options of `sensitivity`.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::declare::options;
use super::domain::Domains;
use super::inject::{Kind, Kinds};
use super::parse::listed;
use super::placement::{Names, Span, Way};
use super::table::{OptionSpec, Ranged, Shape, Shaped, TRIES, above, any, at_least, between};
use crate::error::{Error, Result};

/// The topic of its options.
pub(super) const SENSITIVITY: &str = "sensitivity";
/// Kinds that are tried where none are given.
const TRIED: [Kind; 4] = [Kind::Mean, Kind::Trend, Kind::Global, Kind::Variance];
const STRENGTHS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
const ROWS: usize = 12;
const MOST: f64 = 1000.0;

/// One value or several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Many<T>(pub Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let values = listed(Value::deserialize(deserializer)?, |value| T::deserialize(value).ok());
        values.map(Self).ok_or_else(|| D::Error::custom("one value or a list of values"))
    }
}

impl<T: Shaped> Shaped for Many<T> {
    const SHAPE: Shape = Shape { list: true, ..T::SHAPE };
}

impl Ranged for Many<f64> {
    fn check(&self, spec: &OptionSpec) -> Result<()> {
        self.0.iter().try_for_each(|value| value.check(spec))
    }
}

impl Ranged for Many<Span> {
    fn check(&self, _: &OptionSpec) -> Result<()> {
        Ok(())
    }
}

options! {
    /// Which anomalies are tried on the labels of a model.
    pub struct SensitivityConfig of SENSITIVITY, for TRIES;

    /// Kinds of anomalies that are tried.
    kind: Kinds = Kinds::from(&TRIED[..]).in_plain_words() => any();
    /// Strengths that are tried, in standard deviations of the feature in training.
    strength: Many<f64> = Many(STRENGTHS.to_vec()) => above(0.0);
    /// Durations of anomalies: rows, or times such as "1h".
    duration: Many<Span> = Many(vec![Span::Rows(ROWS)]) => any();
    /// Tries of every anomaly, each at another place.
    tries: usize = 4 => between(1.0, MOST);
    /// Direction of the change.
    direction: Option<Way> = None => any().auto("\"both\"");
    /// Features that are tried.
    hit: Option<Names> = None => any().auto("all that vary in training");
    /// What features can take: as their training rows show, or as it is said for some of them.
    domain: Domains = Domains::Learned => any();
    /// Seed of everything random.
    seed: u64 = 0 => at_least(0.0);
}

impl SensitivityConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Parameter`], also for the kind "missing": rows without values have no scores.
    pub fn validate(&self) -> Result<()> {
        if self.kind.holds(Kind::Missing) {
            let allowed = "kinds with values: rows without them have no scores";
            return Err(Error::parameter("kind", Kind::Missing.name(), allowed));
        }
        self.check_ranges()
    }
}
