//! What an anomaly adds to the values of a feature.

/// The change that one anomaly makes to feature `feature` (position among the live ones), in
/// z-scores, one value per row of its segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub feature: usize,
    pub delta: Vec<f32>,
}
