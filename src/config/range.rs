//! A number or a range of numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number, or a range to draw from log-uniformly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrRange<T> {
    /// Always this value.
    One(T),
    /// Between the two values, inclusive.
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

impl<T: fmt::Display> fmt::Display for OneOrRange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(value) => value.fmt(f),
            Self::Range(low, high) => write!(f, "({low}, {high})"),
        }
    }
}
