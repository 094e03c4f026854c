//! How scores are followed.

use super::lengths::RunLengths;

/// p below which scores alone make an alarm of a run soon after another one.
pub(super) const AGAIN: f64 = 1e-9;

/// How scores are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FollowRule {
    /// p of the high threshold: a run starts below it.
    pub start: f64,
    /// p of the low threshold: a run continues below it.
    pub go_on: f64,
    /// Maximum number of scores in the reference; `None` if it does not change.
    pub memory: Option<usize>,
    /// Rows after which a run becomes the new normal.
    pub settle: usize,
    /// Rows below the low threshold that are bridged inside a run.
    pub join: usize,
    /// Rows after a run in which none starts.
    pub cooldown: usize,
    /// Rows after a row that its score depends on.
    pub reach: usize,
    /// Rows after a run in which scores alone make no alarm of the next one, unless its p is below
    /// [`AGAIN`]: both may be one change.
    pub repeats: usize,
    /// How long runs are, which the thresholds follow from.
    pub lengths: RunLengths,
}
