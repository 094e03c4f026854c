//! Where anomalies go, which way, on which features, and for how long: what `generate` and `inject` share.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::declare::words;
use super::parse::listed;
use super::range::OneOrRange;
use super::table::{OptionSpec, Ranged, Shape, Shaped, ValueType, plain};
use crate::error::{Error, Result};

/// Microseconds of a day.
const DAY: f64 = 86_400e6;
/// Units of a duration, in microseconds; the longer name of two that begin alike comes first.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-3),
    ("us", 1.0),
    ("ms", 1e3),
    ("s", 1e6),
    ("m", 60e6),
    ("h", 3600e6),
    ("d", DAY),
    ("w", 7.0 * DAY),
];

words! {
    /// Which way anomalies go.
    pub enum Way {
        /// Values rise.
        Up = "up",
        /// Values fall.
        Down = "down",
        /// Either, by chance.
        Both = "both",
    }
}

/// Share of the rows that is hit where no number of anomalies is asked for.
const CONTAMINATION: f64 = 0.1;

/// How many anomalies a verb is to place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quota {
    /// Anomalies of every series: `count`.
    Count(usize),
    /// Anomalies of all series together: `total`.
    Total(usize),
    /// Share of the rows: `contamination`.
    Share(f64),
}

impl Quota {
    /// From the options of a verb, of which at most one is given.
    pub(super) fn new(
        count: Option<usize>,
        total: Option<usize>,
        contamination: Option<f64>,
    ) -> Self {
        match (count, total) {
            (Some(count), _) => Self::Count(count),
            (_, Some(total)) => Self::Total(total),
            _ => Self::Share(contamination.unwrap_or(CONTAMINATION)),
        }
    }

    /// Number of anomalies, where one is asked for.
    pub(crate) fn number(self) -> Option<usize> {
        match self {
            Self::Count(number) | Self::Total(number) => Some(number),
            Self::Share(_) => None,
        }
    }

    /// The option that asks, and its value.
    pub(crate) fn option(self) -> (&'static str, f64) {
        match self {
            Self::Count(count) => ("count", count as f64),
            Self::Total(total) => ("total", total as f64),
            Self::Share(share) => ("contamination", share),
        }
    }
}

/// Names of features: one, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Names(pub Vec<String>);

impl Names {
    /// The positions of these features among `known`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a feature that there is not.
    pub(crate) fn positions(
        &self,
        parameter: &'static str,
        known: &[String],
    ) -> Result<Vec<usize>> {
        let position = |name: &String| {
            known.iter().position(|known| known == name).ok_or_else(|| {
                let allowed = format!("features of the series: {}", known.join(", "));
                Error::parameter(parameter, name, allowed)
            })
        };
        self.0.iter().map(position).collect()
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = |name: Value| name.as_str().map(str::to_string);
        let names = listed(Value::deserialize(deserializer)?, text);
        names.map(Self).ok_or_else(|| D::Error::custom("names of features"))
    }
}

impl Shaped for Names {
    const SHAPE: Shape = plain(ValueType::Names);
}

impl Ranged for Names {
    fn check(&self, _: &OptionSpec) -> Result<()> {
        Ok(())
    }
}

/// How long something lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// In rows.
    Rows(usize),
    /// In microseconds.
    Time(f64),
}

impl Span {
    fn read(value: &Value) -> Option<Self> {
        if let Some(rows) = value.as_u64() {
            return (rows > 0).then_some(Self::Rows(rows as usize));
        }
        let time = match value {
            Value::Object(map) if map.len() == 1 => map.get("us")?.as_f64()?,
            value => microseconds(value.as_str()?)?,
        };
        (time > 0.0 && time.is_finite()).then_some(Self::Time(time))
    }

    /// Rows of a series that has so many of them in a day; at least one.
    fn rows(self, per_day: Option<f64>) -> Option<usize> {
        match self {
            Self::Rows(rows) => Some(rows),
            Self::Time(time) => Some(((time / DAY * per_day?).round() as usize).max(1)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => rows.fmt(f),
            Self::Time(time) => write!(f, "{} seconds", time / 1e6),
        }
    }
}

/// A duration such as "90s" or "1h30m" in microseconds.
fn microseconds(text: &str) -> Option<f64> {
    let (mut rest, mut total) = (text.trim(), None);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, size) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = Some(total.unwrap_or(0.0) + number * size);
    }
    total
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::read(&value).ok_or_else(|| D::Error::custom("rows or a duration"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Rows(rows) => rows.serialize(serializer),
            Self::Time(time) => json!({ "us": time }).serialize(serializer),
        }
    }
}

impl Shaped for Span {
    const SHAPE: Shape = plain(ValueType::Span);
}

impl Ranged for OneOrRange<Span> {
    fn check(&self, spec: &OptionSpec) -> Result<()> {
        match self.bounds() {
            (Span::Rows(low), Span::Rows(high)) if low <= high => Ok(()),
            (Span::Time(low), Span::Time(high)) if low <= high => Ok(()),
            _ => Err(spec.refuse(self)),
        }
    }
}

/// Shortest and longest anomaly: `length`, or what `duration` is in rows of a series.
///
/// # Errors
/// [`Error::Parameter`] for a time where it is not known how many rows a day has.
pub(crate) fn rows_of(
    length: Option<OneOrRange<usize>>,
    duration: Option<OneOrRange<Span>>,
    per_day: Option<f64>,
) -> Result<Option<OneOrRange<usize>>> {
    let Some(duration) = duration else { return Ok(length) };
    let (low, high) = duration.bounds();
    match (low.rows(per_day), high.rows(per_day)) {
        (Some(low), Some(high)) => Ok(Some(OneOrRange::Range(low, high))),
        _ => {
            let allowed = "rows, or given together with one temporal `order_by` column";
            Err(Error::parameter("duration", duration, allowed))
        }
    }
}

/// Refuses two options of which only one may be given.
///
/// # Errors
/// [`Error::Parameter`] that names the first.
pub(super) fn one_of(
    parameter: &'static str,
    given: Option<impl ToString>,
    other: &str,
    is_given: bool,
) -> Result<()> {
    match given {
        Some(value) if is_given => {
            Err(Error::parameter(parameter, value, format!("given without `{other}`")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rows_or_times() {
        let span = |value: Value| Span::deserialize(&value).ok();
        for (value, expected) in [
            (json!(12), Some(Span::Rows(12))),
            (json!("2h"), Some(Span::Time(7200e6))),
            (json!("1h30m"), Some(Span::Time(5400e6))),
            (json!("250ms"), Some(Span::Time(250e3))),
            (json!("1.5d"), Some(Span::Time(1.5 * DAY))),
            (json!({"us": 3e6}), Some(Span::Time(3e6))),
            (json!(0), None),
            (json!(1.5), None),
            (json!("2"), None),
            (json!("h"), None),
            (json!("2 h"), None),
            (json!("2 parsecs"), None),
            (json!(""), None),
            (json!("0s"), None),
            (json!(-3), None),
        ] {
            assert_eq!(span(value.clone()), expected, "{value}");
        }
        assert_eq!(Span::Time(7200e6).rows(Some(288.0)), Some(24));
        assert_eq!(Span::Time(1.0).rows(Some(288.0)), Some(1));
        assert_eq!(Span::Time(1.0).rows(None), None);
        let error = rows_of(None, Some(OneOrRange::One(Span::Time(60e6))), None).unwrap_err();
        assert!(error.to_string().contains("`duration` = 60 seconds"), "{error}");
    }
}
