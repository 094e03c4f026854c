//! Anomalies of plain noise: a control that shows the contribution of a model.

use std::ops::Range;

use super::change::Change;
use super::source::{Source, Window};
use crate::runtime::rng::Rng;

/// White noise, a random walk or a shift on a few of the `live` features.
pub(crate) struct NoiseSource<'a> {
    pub live: &'a [usize],
}

impl Source for NoiseSource<'_> {
    fn changes(&self, _: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change> {
        let hit = rng.few_of(self.live.len()).into_iter();
        hit.map(|i| Change { feature: self.live[i], delta: noise(segment.len(), rng) }).collect()
    }
}

/// White noise, a random walk or a shift.
fn noise(length: usize, rng: &mut Rng) -> Vec<f32> {
    match rng.below(3) {
        0 => rng.normals(length),
        1 => {
            let mut at = 0.0;
            let walk = rng.normals(length).into_iter().map(|step| {
                at += step;
                at
            });
            walk.collect()
        }
        _ => vec![1.0; length],
    }
}
