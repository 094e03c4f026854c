//! The change that an anomaly makes to the values of a feature.

/// Change of feature `feature` (position among the live ones) by one anomaly, in z-scores, one
/// value per row of its segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub feature: usize,
    pub delta: Vec<f32>,
}
