//! Options of `label` and `alarms`: how many false alarms are acceptable, and what one alarm is.

use super::declare::{options, words};
use super::table::{LABELS, above, any, at_least, between};
use crate::error::{Error, Result};

/// Share of normal rows that lies in alarms where nothing else is asked for: 10 of 10,000.
const QUIET: f64 = 1e-3;
/// Largest rate that can be asked for.
const MOST: f64 = 0.2;

words! {
    /// How fast the scores that a row is compared with follow those of new rows.
    pub enum Adapt {
        /// They stay those of the fit.
        Off = "off",
        /// They follow within some 8,000 rows; a change that stays is normal after 2.5 windows.
        Slow = "slow",
        /// They follow within some 2,000 rows; a change that stays is normal after half a window.
        Fast = "fast",
    }
}

options! {
    /// What an alarm is.
    #[derive(Copy)]
    pub struct AlarmConfig of "scores", for LABELS;

    /// Share of the rows of a normal series that may lie in alarms.
    false_alarm_rate: Option<f64> = None => between(0.0, MOST)
        .above_low()
        .auto("0.001, unless `alarms_per_day` is given");
    /// False alarms per day of a normal series, with one temporal `order_by`.
    alarms_per_day: Option<f64> = None => above(0.0);
    /// How fast the scores that count as normal follow new rows.
    adapt: Adapt = Adapt::Slow => any();
    /// Rows below the low line that are bridged inside an alarm.
    join: Option<usize> = None => at_least(0.0).auto("a sixteenth of a window");
    /// Fewest rows of an alarm; shorter ones are dropped.
    min_rows: Option<usize> = None => at_least(1.0);
    /// Rows after an alarm in which none starts.
    cooldown: usize = 0 => at_least(0.0);
    /// Least movement of a feature from what is expected, in its own unit; alarms without one are
    /// dropped.
    min_change: Option<f64> = None => at_least(0.0);
}

impl AlarmConfig {
    /// Share of normal rows that may lie in alarms.
    pub fn rate(&self) -> f64 {
        self.false_alarm_rate.unwrap_or(QUIET)
    }

    /// Whether the user has set an acceptable rate.
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
