//! The option `domain`: the values that features can take.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::table::{OptionSpec, Ranged, Shape, Shaped, ValueType, plain};
use crate::error::Result;

const LEARNED: &str = "learned";
const NONE: &str = "none";

/// The domains of the features.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Domains {
    /// As learned from training rows.
    #[default]
    Learned,
    /// Any value of their dtype.
    None,
    /// As given for some features, as learned for the others.
    Given(BTreeMap<String, GivenDomain>),
}

/// The given domain of one feature.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenDomain {
    /// Any value of its dtype.
    None,
    /// As given; limits that are not given are learned.
    Some(GivenLimits),
}

/// Limits of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenLimits {
    /// Smallest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Step between two values, counted from `min`, or from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The only values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f64>>,
    /// Whether it is a counter: it never falls, except for resets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monotone: Option<bool>,
}

impl GivenDomain {
    fn read(value: &Value) -> Option<Self> {
        if value.as_str() == Some(NONE) {
            return Some(Self::None);
        }
        let limits = GivenLimits::deserialize(value).ok()?;
        limits.is_sound().then_some(Self::Some(limits))
    }

    fn write(&self) -> Value {
        match self {
            Self::None => NONE.into(),
            Self::Some(limits) => serde_json::to_value(limits).unwrap_or(Value::Null),
        }
    }
}

impl GivenLimits {
    fn is_sound(&self) -> bool {
        self.min.zip(self.max).is_none_or(|(min, max)| min <= max)
            && self.step.is_none_or(|step| step > 0.0)
            && self.values.as_ref().is_none_or(|values| !values.is_empty())
    }
}

impl<'de> Deserialize<'de> for Domains {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let entry =
            |(name, value): (&String, &Value)| Some((name.clone(), GivenDomain::read(value)?));
        let read = |value: &Value| match (value.as_str(), value.as_object()) {
            (Some(LEARNED), _) => Some(Self::Learned),
            (Some(NONE), _) => Some(Self::None),
            (_, Some(all)) => all.iter().map(entry).collect::<Option<_>>().map(Self::Given),
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
                let entry = |(name, given): (&String, &GivenDomain)| (name.clone(), given.write());
                given.iter().map(entry).collect::<Map<String, Value>>().serialize(serializer)
            }
        }
    }
}

impl Shaped for Domains {
    const SHAPE: Shape = plain(ValueType::Domain);
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
