//! Alarms: scores in time order -> p-values -> runs of anomalous rows.
//!
//! Scores are compared with those of normal rows (`follow`). The tail of these gives the
//! probability of a score as high (`tail`), and the accepted rate of false alarms sets the
//! thresholds (`promise`).

mod follow;
mod found;
mod promise;
mod rule;
mod tail;

pub use follow::Reference;
pub(crate) use follow::{AlarmRun, Followed, runs_above};
pub use found::{Alarm, Direction};
pub(crate) use rule::FollowRule;
