//! Options of `label` and `alarms`: the accepted rate of false alarms, and the extent of an alarm.

use super::declare::{options, words};
use super::table::{LABELS, above, any, at_least, between};
use crate::error::{Error, Result};

/// Default share of normal rows in alarms: 30 in 10,000.
const QUIET: f64 = 3e-3;
/// Largest rate that is accepted.
const MOST: f64 = 0.2;

words! {
    /// How fast the reference scores follow new rows.
    pub enum Adapt {
        /// They stay those of the fit.
        Off = "off",
        /// They follow within about 8,000 rows; a lasting change counts as normal after 2.5
        /// windows.
        Slow = "slow",
        /// They follow within about 2,000 rows; a lasting change counts as normal after half a
        /// window.
        Fast = "fast",
    }
}

options! {
    /// When a row belongs to an alarm.
    #[derive(Copy)]
    pub struct AlarmConfig of "scores", for LABELS;

    /// Accepted share of normal rows in alarms.
    false_alarm_rate: Option<f64> = None => between(0.0, MOST)
        .above_low()
        .auto("0.003, unless `alarms_per_day` is given");
    /// Accepted number of false alarms per day; needs one temporal `order_by` column.
    alarms_per_day: Option<f64> = None => above(0.0);
    /// How fast the reference scores follow new rows.
    adapt: Adapt = Adapt::Slow => any();
    /// Rows below the low threshold that are bridged inside an alarm.
    join: Option<usize> = None => at_least(0.0).auto("a sixteenth of a window");
    /// Minimum number of rows in an alarm; shorter alarms are dropped.
    min_rows: Option<usize> = None => at_least(1.0);
    /// Rows after an alarm in which no new alarm starts.
    cooldown: usize = 0 => at_least(0.0);
    /// Minimum deviation of a feature from its expected value, in the feature's unit; alarms
    /// without one are dropped.
    min_change: Option<f64> = None => at_least(0.0);
}

impl AlarmConfig {
    /// Accepted share of normal rows in alarms.
    pub fn rate(&self) -> f64 {
        self.false_alarm_rate.unwrap_or(QUIET)
    }

    /// Whether the user has set an accepted rate.
    pub fn asks(&self) -> bool {
        self.false_alarm_rate.is_some() || self.alarms_per_day.is_some()
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        self.check_ranges()?;
        match self.alarms_per_day.filter(|_| self.false_alarm_rate.is_some()) {
            Some(count) => {
                let allowed = "given without `false_alarm_rate`";
                Err(Error::parameter("alarms_per_day", count, allowed))
            }
            None => Ok(()),
        }
    }
}
