//! Options of `label` and `alarms`: how many false alarms are bearable, and what one alarm is.

use serde::{Deserialize, Serialize};

use super::check::{number, optional_count};
use crate::error::{Error, Result};

/// Share of normal rows that lies in alarms where nothing else is asked for: 10 of 10,000.
const QUIET: f64 = 1e-3;
/// Largest rate that can be asked for.
const MOST: f64 = 0.2;

/// How fast the scores that a row is compared with follow those of new rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adapt {
    /// They stay those of the fit.
    Off,
    /// They follow within some 8,000 rows; a change that stays is normal after 2.5 windows.
    #[default]
    Slow,
    /// They follow within some 2,000 rows; a change that stays is normal after half a window.
    Fast,
}

/// What an alarm is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmConfig {
    /// Share of the rows of a normal series that may lie in alarms, in (0, 0.2]; `None`: 0.001, unless
    /// `alarms_per_day` is given.
    pub false_alarm_rate: Option<f64>,
    /// False alarms per day of a normal series (> 0), where times are known.
    pub alarms_per_day: Option<f64>,
    /// How fast what is normal follows the rows.
    pub adapt: Adapt,
    /// Rows below the low line that are bridged inside an alarm; `None`: a sixteenth of a window.
    pub join: Option<usize>,
    /// Alarms of fewer rows are dropped; `None`: none is.
    pub min_rows: Option<usize>,
    /// Rows after an alarm in which none starts.
    pub cooldown: usize,
    /// Alarms in which no feature moves by more than this from what is expected, in its own unit, are
    /// dropped.
    pub min_change: Option<f64>,
}

impl AlarmConfig {
    /// Share of normal rows that may lie in alarms.
    pub fn rate(&self) -> f64 {
        self.false_alarm_rate.unwrap_or(QUIET)
    }

    /// Whether the user has said what is bearable.
    pub fn asks(&self) -> bool {
        self.false_alarm_rate.is_some() || self.alarms_per_day.is_some()
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        if let Some(rate) = self.false_alarm_rate {
            number("false_alarm_rate", rate, |x| x > 0.0 && x <= MOST, "in (0, 0.2]")?;
        }
        if let Some(count) = self.alarms_per_day {
            number("alarms_per_day", count, |x| x > 0.0, "> 0")?;
            if self.false_alarm_rate.is_some() {
                let allowed = "given without `false_alarm_rate`";
                return Err(Error::parameter("alarms_per_day", count, allowed));
            }
        }
        optional_count("min_rows", self.min_rows, 1, usize::MAX)?;
        match self.min_change {
            Some(change) => number("min_change", change, |x| x >= 0.0, ">= 0"),
            None => Ok(()),
        }
    }
}
