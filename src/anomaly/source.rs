//! Sources of anomalies. Callers choose the place and the size of an anomaly, sources its shape.

use std::ops::Range;

use super::change::Change;
use crate::runtime::rng::Rng;

/// A window of z-scores, row-major [W, D].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// The values.
    pub values: &'a [f32],
    /// Number of features D.
    pub features: usize,
}

/// A source of one type of anomaly.
pub(crate) trait Source {
    /// The change of a window from the first row of `segment`: the features that change, and one
    /// value per row, neither blended nor scaled.
    fn changes(&self, window: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change>;
}

impl Window<'_> {
    /// Number of rows W.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.features.max(1)
    }

    /// One feature, [W].
    pub(crate) fn column(&self, feature: usize) -> Vec<f32> {
        self.values.iter().skip(feature).step_by(self.features.max(1)).copied().collect()
    }
}

/// Adds a change to a window [W, D] from row `start`.
pub(crate) fn splice(window: &mut [f32], features: usize, start: usize, change: &Change) {
    let slots = window[start * features + change.feature..].iter_mut().step_by(features);
    slots.zip(&change.delta).for_each(|(slot, delta)| *slot += delta);
}
