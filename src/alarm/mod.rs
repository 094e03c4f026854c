//! Alarms: scores in time order -> p-values -> rows that belong together.
//!
//! What a row is compared with are scores of normal rows ([`follow`]), whose tail says how probable a
//! score as high is ([`tail`]).

mod alarm;
mod follow;
mod rule;
mod tail;

pub use alarm::{Alarm, Direction};
pub use follow::Reference;
pub(crate) use follow::Run;
pub(crate) use rule::Rule;
