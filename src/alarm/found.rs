//! One alarm.

use std::ops::Range;

/// -log10 of the p-value at which severity reaches 1.
const MOST: f64 = 12.0;

/// Rows of a series that are no longer normal.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Its rows, in time order.
    pub rows: Range<usize>,
    /// The row with the largest deviation, or, for detectors without expected values, the highest score.
    pub peak: usize,
    /// Lowest p-value of its rows: the probability of a score as high in a normal row.
    pub p: f64,
    /// Features with their share in it, in descending order; empty if the detector cannot tell.
    pub features: Vec<(usize, f64)>,
    /// Direction of the first of these features.
    pub direction: Option<Direction>,
    /// Expected value of each feature at the peak, in its own unit.
    pub expected: Option<Vec<f64>>,
    /// Largest deviation of a feature from its expected value, in its own unit.
    pub change: Option<f64>,
    /// Whether it continues after the last row.
    pub open: bool,
}

/// Direction in which a feature deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Above the expected value.
    Up,
    /// Below the expected value.
    Down,
    /// Both, as in a change of shape or variance.
    Both,
}

impl Direction {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

impl Alarm {
    /// Severity from 0 to 1: -log10(p) / 12. 0.25 is one row in a thousand, 0.5 one in a million, 1
    /// one in 10^12 or fewer.
    pub fn severity(&self) -> f64 {
        (-self.p.max(f64::MIN_POSITIVE).log10() / MOST).clamp(0.0, 1.0)
    }
}
