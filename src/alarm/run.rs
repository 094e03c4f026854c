//! Runs of rows that are no longer normal.

use std::ops::Range;

/// Rows of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlarmRun {
    pub rows: Range<usize>,
    /// Whether it began before the first row.
    pub continued: bool,
    /// Whether it continues after the last row.
    pub open: bool,
    /// Whether it became the new normal.
    pub stays: bool,
    /// The first row whose score alone makes an alarm of it; `None` if its rows must deviate as well.
    pub alone: Option<usize>,
}

impl AlarmRun {
    /// Its rows from the first one on whose score alone makes an alarm of it, else all.
    pub(crate) fn of_alarm(&self) -> Range<usize> {
        self.alone.map_or(self.rows.start, |row| row.max(self.rows.start))..self.rows.end
    }

    pub(super) fn new(t: usize) -> Self {
        let rows = t..t + 1;
        Self { rows, continued: false, open: false, stays: false, alone: Some(t) }
    }
}
