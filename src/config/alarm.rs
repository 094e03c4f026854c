//! Options of `label` and `alarms`: the accepted rate of false alarms, and the extent of an alarm.

use super::declare::{options, words};
use super::table::{LABELS, above, any, at_least, between};
use crate::error::{Error, Result};

/// Default share of normal rows in alarms: 100 in 10,000.
const QUIET: f64 = 0.01;
/// Largest rate that is accepted.
const MOST: f64 = 0.2;

words! {
    /// How fast the reference scores follow new rows.
    pub enum Adapt {
        /// They stay those of the fit.
        Off = "off",
        /// They follow within about 4,000 rows; a lasting change counts as normal after three
        /// windows.
        Slow = "slow",
        /// They follow within about 2,000 rows; a lasting change counts as normal after half a
        /// window.
        Fast = "fast",
    }
}

words! {
    /// What an accepted number of false alarms is shared by.
    pub enum Budget {
        /// Each group has its own.
        Group = "group",
        /// All groups of a call share one.
        Fleet = "fleet",
    }
}

/// Budgets of all groups together.
const FLEET: &[&str] = &["fleet"];

options! {
    /// When a row belongs to an alarm.
    #[derive(Copy)]
    pub struct AlarmConfig of "scores", for LABELS;

    /// Accepted share of normal rows in alarms.
    false_alarm_rate: Option<f64> = None => between(0.0, MOST)
        .above_low()
        .auto("0.01, unless `alarms_per_day` is given");
    /// Accepted number of false alarms per day; needs one temporal `order_by` column.
    alarms_per_day: Option<f64> = None => above(0.0);
    /// Whether each group has its own budget of false alarms, or all groups of a call share one:
    /// `alarms_per_day` is then that of all groups, and `false_groups` applies.
    budget: Budget = Budget::Group => any().verbs(&["label", "alarms"]);
    /// Accepted share of groups with false alarms only, among all groups with alarms.
    false_groups: f64 = 0.1 => between(0.0, 1.0)
        .above_low()
        .below_high()
        .verbs(&["label", "alarms"])
        .when("budget", FLEET);
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
    /// Largest share of normal rows in alarms that is accepted.
    pub(crate) const MOST: f64 = MOST;

    /// Accepted share of normal rows in alarms.
    pub fn rate(&self) -> f64 {
        self.false_alarm_rate.unwrap_or(QUIET)
    }

    /// The options of each of `groups` groups.
    #[must_use]
    pub fn of_each(&self, groups: usize) -> Self {
        let share = match self.budget {
            Budget::Group => 1.0,
            Budget::Fleet => groups.max(1) as f64,
        };
        Self { alarms_per_day: self.alarms_per_day.map(|count| count / share), ..*self }
    }

    /// Whether the user has set an accepted rate.
    pub fn asks(&self) -> bool {
        self.false_alarm_rate.is_some()
            || self.alarms_per_day.is_some()
            || self.budget == Budget::Fleet
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
