//! How scores are followed.

/// How scores are followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FollowRule {
    /// p at which a run starts.
    pub start: f64,
    /// p up to which it goes on.
    pub go_on: f64,
    /// Most scores of the reference; `None`: it stays as it is.
    pub memory: Option<usize>,
    /// Rows after which a run is the new normal.
    pub settle: usize,
    /// Rows below the low line that a run goes on for.
    pub join: usize,
    /// Rows after a run in which none starts.
    pub cooldown: usize,
}
