//! How long runs of high scores are.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// How long runs of high scores are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunLengths {
    /// Rows of the gaps that are bridged.
    pub join: usize,
    /// Mean number of rows in a run per row above its high threshold, at least 1.
    pub per_high_row: f64,
    /// Mean number of rows beyond a high quantile per excursion.
    pub excursion: f64,
}

/// Runs of scores that start above `high` and go on above `low`, over gaps of `join` rows.
pub(super) fn runs_between(scores: &[f32], high: f64, low: f64, join: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (t, score) in scores.iter().map(|score| f64::from(*score)).enumerate() {
        match runs.last_mut().filter(|run| t <= run.end + join) {
            Some(run) if score > low => run.end = t + 1,
            None if score > high => runs.push(t..t + 1),
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use super::*;

    #[test]
    fn runs_go_on_above_the_low_line() {
        let scores = [1.0, 3.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 3.0];
        assert_eq!(runs_between(&scores, 2.0, 0.5, 0), [1..3, 10..11]);
        assert_eq!(runs_between(&scores, 2.0, 0.5, 2), [1..6, 10..11]);
        assert_eq!(runs_between(&scores, 2.0, 0.5, 3), [1..11]);
    }
}
