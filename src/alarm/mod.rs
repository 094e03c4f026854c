//! Alarms: scores in time order -> p-values -> runs of anomalous rows.
//!
//! Scores are compared with those of normal rows (`follow`). The tail of these gives the
//! probability of a score as high (`tail`), and the accepted rate of false alarms sets the
//! thresholds (`promise`).

mod above;
#[cfg(test)]
mod example;
mod fleet;
mod follow;
mod found;
mod lengths;
mod promise;
mod rule;
mod tail;
mod update;

pub(crate) use above::runs_above;
pub use fleet::kept_of_fleet;
pub(crate) use fleet::p_of_any;
pub use follow::Reference;
pub(crate) use follow::{AlarmRun, Followed};
pub use found::{Alarm, Direction};
pub(crate) use rule::FollowRule;
