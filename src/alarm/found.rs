//! One alarm.

use std::ops::Range;

/// Severity of p: 1 at this many powers of ten below 1, and beyond.
const MOST: f64 = 12.0;

/// Rows of a series that are no longer normal.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Its rows, in time order.
    pub rows: Range<usize>,
    /// The row that is oddest.
    pub peak: usize,
    /// Least probability of a score as high in a normal row, over its rows.
    pub p: f64,
    /// Features with their share in it, the largest first; none where the detector cannot say.
    pub features: Vec<(usize, f64)>,
    /// Which way the first of them went.
    pub direction: Option<Direction>,
    /// What each feature should have been at the peak, in its own unit.
    pub expected: Option<Vec<f64>>,
    /// Largest movement of a feature from what was expected, in its own unit.
    pub change: Option<f64>,
    /// Whether it goes on after the last row.
    pub open: bool,
}

/// Which way a feature went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Above what was expected.
    Up,
    /// Below it.
    Down,
    /// Both, as a change of shape or of variance.
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
    /// How improbable it is, from 0 to 1: -log10(p) / 12. 0.25 is a row in a thousand, 0.5 one in a
    /// million, 1 one in 10^12 or fewer.
    pub fn severity(&self) -> f64 {
        (-self.p.max(f64::MIN_POSITIVE).log10() / MOST).clamp(0.0, 1.0)
    }
}
