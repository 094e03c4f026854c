//! The accepted rate of false alarms -> thresholds, and how they follow the scores.

use super::follow::{MEMORY, Reference};
use super::lengths::RunLengths;
use super::rule::FollowRule;
use crate::config::{Adapt, AlarmConfig};
use crate::error::{Error, Result};

/// p of the low threshold in units of the high one's, and its maximum: at a larger p, alarms that are two
/// windows apart become one.
const LOWER: f64 = 5.0;
const MOST: f64 = 0.008;
/// Maximum number of scores in a reference that follows fast.
const FAST: usize = 2048;
/// p of the high threshold at which the length of runs is measured: enough scores of normal rows
/// exceed it.
const TRIED: f64 = 0.02;
/// Share of normal rows in alarms up to which an accepted number of alarms is taken as it is. Beyond it, ten
/// times as many alarms accept twice as many rows.
const MOST_ROWS: f64 = 0.02;
const DOUBLES_WITH: f64 = 10.0;
/// After a run, scores alone make no alarm of another one for this many windows, or for as many rows as
/// normal rows have this many runs in.
const REPEATS: usize = 5;
const REPEATED: f64 = 0.2;
/// Length of a window in units of the default `join`.
const JOINS: usize = 16;

impl FollowRule {
    /// The rule for windows of `window` rows.
    ///
    /// # Errors
    /// [`Error::Parameter`] for `alarms_per_day` if the number of rows per day is unknown.
    pub(crate) fn new(
        config: &AlarmConfig,
        reference: &Reference,
        window: usize,
        rows_per_day: Option<f64>,
    ) -> Result<Self> {
        let join = config.join.unwrap_or(window / JOINS);
        let lengths = reference.lengths(TRIED, LOWER, join);
        let start = start(config, lengths, rows_per_day)?;
        let (memory, settle) = match config.adapt {
            Adapt::Off => (None, usize::MAX),
            Adapt::Slow => (Some(MEMORY), 3 * window),
            Adapt::Fast => (Some(FAST), (window / 2).max(1)),
        };
        let go_on = (LOWER * start).min(MOST.max(start));
        let (cooldown, reach) = (config.cooldown, 0);
        Ok(Self { start, go_on, memory, settle, join, cooldown, reach, repeats: 0, lengths })
    }

    /// The same for a detector that finds the rows of an alarm that deviate, with windows of `window` rows.
    pub(crate) fn with_rows(self, window: usize) -> Self {
        let between = self.lengths.excursion / self.start;
        Self { repeats: (REPEATS * window).min((REPEATED * between) as usize), ..self }
    }
}

/// p of the high threshold. Only some rows of an alarm exceed it, so it is below the accepted rate.
fn start(config: &AlarmConfig, lengths: RunLengths, rows_per_day: Option<f64>) -> Result<f64> {
    let Some(count) = config.alarms_per_day else {
        return Ok(config.rate() / lengths.per_high_row);
    };
    let Some(rows) = rows_per_day else {
        let allowed = "given together with one temporal `order_by` column";
        return Err(Error::parameter("alarms_per_day", count, allowed));
    };
    let rate = count / rows * lengths.excursion * lengths.per_high_row;
    Ok(bearable(rate) / lengths.per_high_row)
}

/// The share of normal rows in alarms for an accepted number of alarms that would cover the share `rate`,
/// which may be above 1. Alarms are a window long or so, so that a few a day can be most of a day: the share
/// always rises with the number, but beyond [`MOST_ROWS`] far more slowly, and not above the largest rate.
fn bearable(rate: f64) -> f64 {
    let power = 2f64.ln() / DOUBLES_WITH.ln();
    let share = if rate > MOST_ROWS { MOST_ROWS * (rate / MOST_ROWS).powf(power) } else { rate };
    share.min(AlarmConfig::MOST)
}

#[cfg(test)]
mod tests {
    use super::super::example::RULE;
    use super::*;

    #[test]
    fn runs_are_repeats_where_normal_rows_have_few() {
        let repeats = |start| FollowRule { start, ..RULE }.with_rows(10).repeats;
        assert_eq!([1e-3, 1e-2, 0.1].map(repeats), [50, 20, 2]);
    }

    #[test]
    fn more_accepted_alarms_are_more_rows_but_no_flood() {
        let rates: Vec<f64> = (0..60).map(|i| 1e-4 * 1.2f64.powi(i)).collect();
        assert!(rates.windows(2).all(|pair| bearable(pair[0]) < bearable(pair[1])));
        assert_eq!([0.001, 0.02].map(bearable), [0.001, 0.02]);
        assert!((bearable(0.2) - 0.04).abs() < 1e-12 && (bearable(2.0) - 0.08).abs() < 1e-12);
        assert_eq!(bearable(1e6), 0.2);
    }
}
