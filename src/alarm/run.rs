//! Runs of rows that are no longer normal, and rows of which that is not known yet.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A row whose score may change, because windows that cover it reach beyond the last row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendingRow {
    pub time: i64,
    pub score: Option<f32>,
}

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
    /// The first row whose score is high enough for an alarm by scores alone.
    pub alone: Option<usize>,
    /// Whether its scores alone make it an alarm; otherwise its rows must deviate as well.
    pub by_scores: bool,
}

impl AlarmRun {
    /// Its rows from the first one on whose score is high enough for an alarm by scores alone, else all.
    pub(crate) fn of_alarm(&self) -> Range<usize> {
        self.alone.map_or(self.rows.start, |row| row.max(self.rows.start))..self.rows.end
    }

    /// One that began before the first row.
    pub(super) fn going_on(alone: bool, by_scores: bool) -> Self {
        let alone = alone.then_some(0);
        Self { rows: 0..0, continued: true, open: true, alone, by_scores, ..Self::new(0) }
    }

    /// One that begins in row `t`, of which it is not known yet whether it is an alarm.
    pub(super) fn begun(t: usize) -> Self {
        Self { open: true, alone: None, by_scores: false, ..Self::new(t) }
    }

    pub(super) fn new(t: usize) -> Self {
        let rows = t..t + 1;
        Self { rows, continued: false, open: false, stays: false, alone: Some(t), by_scores: true }
    }
}
