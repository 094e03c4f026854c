//! Alarms: scores in time order -> p-values -> rows that belong together.
//!
//! What a row is compared with are scores of normal rows (`follow`), whose tail says how probable a
//! score as high is (`tail`); the false alarms that a user accepts draw the lines (`promise`).

mod follow;
mod found;
mod promise;
mod rule;
mod tail;

pub(crate) use follow::AlarmRun;
pub use follow::Reference;
pub use found::{Alarm, Direction};
pub(crate) use rule::FollowRule;
