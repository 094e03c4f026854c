//! What features can take, as a user says it.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::table::{Of, OptionSpec, Ranged, Shape, Shaped, plain};
use crate::error::Result;

const LEARNED: &str = "learned";
const NONE: &str = "none";

/// What features can take.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Domains {
    /// What training rows show.
    #[default]
    Learned,
    /// Any value of their dtype.
    None,
    /// What is given for some features; what training rows show for the others.
    Given(BTreeMap<String, GivenDomain>),
}

/// What a user says of one feature.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenDomain {
    /// Any value of its dtype.
    None,
    /// What is not given is as learned.
    Some {
        /// Smallest value.
        min: Option<f64>,
        /// Largest value.
        max: Option<f64>,
        /// Distance of two values; they are counted from `min`, or from 0.
        step: Option<f64>,
        /// The only values.
        values: Option<Vec<f64>>,
        /// Whether it never falls, but for resets.
        monotone: Option<bool>,
    },
}

/// The fields of a domain as they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monotone: Option<bool>,
}

impl GivenDomain {
    fn read(value: &Value) -> Option<Self> {
        if value.as_str() == Some(NONE) {
            return Some(Self::None);
        }
        let Fields { min, max, step, values, monotone } = Fields::deserialize(value).ok()?;
        let sound = min.zip(max).is_none_or(|(min, max)| min <= max)
            && step.is_none_or(|step| step > 0.0)
            && values.as_ref().is_none_or(|values| !values.is_empty());
        sound.then_some(Self::Some { min, max, step, values, monotone })
    }

    fn write(&self) -> Value {
        let Self::Some { min, max, step, values, monotone } = self.clone() else {
            return NONE.into();
        };
        let fields = Fields { min, max, step, values, monotone };
        serde_json::to_value(fields).unwrap_or(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Domains {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let of = |(name, value): (&String, &Value)| Some((name.clone(), GivenDomain::read(value)?));
        let read = |value: &Value| match (value.as_str(), value.as_object()) {
            (Some(LEARNED), _) => Some(Self::Learned),
            (Some(NONE), _) => Some(Self::None),
            (_, Some(all)) => all.iter().map(of).collect::<Option<_>>().map(Self::Given),
            _ => None,
        };
        let value = Value::deserialize(deserializer)?;
        read(&value).ok_or_else(|| D::Error::custom("no domain"))
    }
}

impl Serialize for Domains {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Learned => LEARNED.serialize(serializer),
            Self::None => NONE.serialize(serializer),
            Self::Given(given) => {
                let of = |(name, given): (&String, &GivenDomain)| (name.clone(), given.write());
                given.iter().map(of).collect::<Map<String, Value>>().serialize(serializer)
            }
        }
    }
}

impl Shaped for Domains {
    const SHAPE: Shape = plain(Of::Domain);
}

impl Ranged for Domains {
    fn check(&self, _: &OptionSpec) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn domains_are_read_and_written() {
        for value in [
            json!("learned"),
            json!("none"),
            json!({"errors": {"min": 0.0, "step": 1.0}, "cpu": "none"}),
            json!({"state": {"values": [0.0, 3.0]}, "total": {"monotone": true}}),
        ] {
            let domains = Domains::deserialize(&value).unwrap();
            assert_eq!(serde_json::to_value(&domains).unwrap(), value);
        }
        for bad in [
            json!("any"),
            json!(3),
            json!({"a": 3}),
            json!({"a": {"least": 3}}),
            json!({"a": {"min": 3, "max": 2}}),
            json!({"a": {"step": 0}}),
            json!({"a": {"values": []}}),
        ] {
            assert!(Domains::deserialize(&bad).is_err(), "{bad}");
        }
    }
}
