//! Ranges of options, and the errors that name them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A number, or a range that is drawn from log-uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrRange<T> {
    /// Always this.
    One(T),
    /// Between the two, both included.
    Range(T, T),
}

impl<T: Copy> OneOrRange<T> {
    /// Smallest and largest value.
    pub fn bounds(self) -> (T, T) {
        match self {
            Self::One(value) => (value, value),
            Self::Range(low, high) => (low, high),
        }
    }
}

pub(crate) fn count(name: &'static str, value: usize, low: usize, high: usize) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let allowed = if high == usize::MAX {
        format!("an integer >= {low}")
    } else {
        format!("an integer from {low} to {high}")
    };
    Err(Error::parameter(name, value, allowed))
}

pub(crate) fn optional_count(
    name: &'static str,
    value: Option<usize>,
    low: usize,
    high: usize,
) -> Result<()> {
    value.map_or(Ok(()), |value| count(name, value, low, high))
}

pub(crate) fn number(
    name: &'static str,
    value: f64,
    ok: impl Fn(f64) -> bool,
    allowed: &str,
) -> Result<()> {
    if value.is_finite() && ok(value) {
        Ok(())
    } else {
        Err(Error::parameter(name, value, allowed))
    }
}

pub(crate) fn positive_range(name: &'static str, range: Option<OneOrRange<f64>>) -> Result<()> {
    let Some(range) = range else { return Ok(()) };
    let (low, high) = range.bounds();
    if low > 0.0 && low <= high && high.is_finite() {
        return Ok(());
    }
    Err(Error::parameter(name, format!("({low}, {high})"), "0 < min <= max"))
}

pub(crate) fn count_range(
    name: &'static str,
    range: Option<OneOrRange<usize>>,
    most: usize,
    allowed: &str,
) -> Result<()> {
    let Some(range) = range else { return Ok(()) };
    let (low, high) = range.bounds();
    if low >= 1 && low <= high && high <= most {
        return Ok(());
    }
    Err(Error::parameter(name, format!("({low}, {high})"), allowed))
}
