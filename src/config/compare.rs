//! The options of `compare`.

use super::declare::options;
use super::table::{COMPARES, at_least, between};
use crate::error::Result;

/// The topic of its options.
pub(super) const COMPARE: &str = "compare";

options! {
    /// How detectors are compared.
    pub struct CompareConfig of COMPARE, for COMPARES;

    /// Share of the normal rows of every series that each detector may flag.
    false_alarm_rate: f64 = 3e-3 => between(0.0, 1.0).below_high();
    /// Draws of events with replacement that make the intervals.
    draws: usize = 2000 => between(100.0, 100_000.0);
    /// Seed of everything random.
    seed: u64 = 0 => at_least(0.0);
}

impl CompareConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`].
    pub fn validate(&self) -> Result<()> {
        self.check_ranges()
    }
}
