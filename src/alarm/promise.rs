//! The accepted rate of false alarms -> thresholds, and how they follow the scores.

use super::follow::{MEMORY, Reference};
use super::rule::FollowRule;
use crate::config::{Adapt, AlarmConfig};
use crate::error::{Error, Result};

/// p of the low threshold in units of the high one's, and its maximum.
const LOWER: f64 = 5.0;
const MOST: f64 = 0.3;
/// Maximum number of scores in a reference that follows fast.
const FAST: usize = 2048;
/// p of the high threshold at which the length of runs is measured: enough scores of normal rows
/// exceed it.
const TRIED: f64 = 0.02;
/// Largest share of normal rows in alarms, if a number of alarms is accepted.
const MOST_ROWS: f64 = 0.02;
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
        let start = start(config, reference, rows_per_day)?;
        let (memory, settle) = match config.adapt {
            Adapt::Off => (None, usize::MAX),
            Adapt::Slow => (Some(MEMORY), 5 * window / 2),
            Adapt::Fast => (Some(FAST), (window / 2).max(1)),
        };
        let join = config.join.unwrap_or(window / JOINS);
        let go_on = (LOWER * start).min(MOST.max(start));
        Ok(Self { start, go_on, memory, settle, join, cooldown: config.cooldown })
    }
}

/// p of the high threshold. Only some rows of an alarm exceed it, so it is below the accepted rate. An
/// accepted number of long alarms could cover most rows, so it also comes with a rate.
fn start(config: &AlarmConfig, reference: &Reference, rows_per_day: Option<f64>) -> Result<f64> {
    let of_rows = |rate: f64| rate / reference.rows_per_high_row(TRIED, LOWER);
    let Some(count) = config.alarms_per_day else { return Ok(of_rows(config.rate())) };
    let Some(rows) = rows_per_day else {
        let allowed = "given together with one temporal `order_by` column";
        return Err(Error::parameter("alarms_per_day", count, allowed));
    };
    Ok((count / rows * reference.tail().cluster()).min(of_rows(MOST_ROWS)))
}
