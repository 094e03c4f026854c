//! Anomalies on features that are constant in training.

use std::ops::Range;

use super::change::Change;
use super::source::{Source, Window};
use crate::data::normalise::Z_LIMIT;
use crate::runtime::rng::Rng;

/// Probability that an anomaly also changes constant features, if that is allowed.
pub(crate) const CONSTANT_RATE: f64 = 0.2;
/// Maximum number of constant features per anomaly.
pub(crate) const CONSTANT_MOST: usize = 3;

/// One to three of the constant features in random order; empty if there are none.
pub(crate) fn constants(constant: &[usize], rng: &mut Rng) -> Vec<usize> {
    if constant.is_empty() {
        return Vec::new();
    }
    let mut chosen = constant.to_vec();
    rng.shuffle(&mut chosen);
    chosen.truncate(1 + rng.below(chosen.len().min(CONSTANT_MOST)));
    chosen
}

/// Height of a pulse on a constant: a flag flips, other values change by a tenth or by 1.
pub(crate) fn pulse(constant: f64, up: bool) -> f64 {
    const SAME: f64 = 1e-3;
    if (constant - 1.0).abs() < SAME {
        -1.0
    } else if constant.abs() < SAME || (constant + 1.0).abs() < SAME {
        1.0
    } else {
        let height = f64::max(1.0, 0.1 * constant.abs());
        if up { height } else { -height }
    }
}

/// A pulse, or a lasting step, on one to three of the constant `features`, whose constants are
/// `mean`.
pub(crate) struct ConstantSource<'a> {
    pub features: &'a [usize],
    pub mean: &'a [f64],
}

impl Source for ConstantSource<'_> {
    fn changes(&self, window: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change> {
        let chosen = constants(self.features, rng);
        let change = |feature: usize| {
            let height = pulse(self.mean[feature], rng.below(2) == 0);
            let height = height.clamp(-Z_LIMIT, Z_LIMIT) as f32;
            let end = if rng.below(2) == 0 { segment.end } else { window.rows() };
            Change { feature, delta: vec![height; end - segment.start] }
        };
        chosen.into_iter().map(change).collect()
    }
}
