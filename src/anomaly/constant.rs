//! Anomalies of features that are constant in training.

use crate::runtime::rng::Rng;

/// How often an anomaly also hits features that were constant in training, where it may.
pub(crate) const CONSTANT_RATE: f64 = 0.2;
/// Most such features that one anomaly hits.
pub(crate) const CONSTANT_MOST: usize = 3;

/// One to three of the constant features, in random order; none of none.
pub(crate) fn constants(constant: &[usize], rng: &mut Rng) -> Vec<usize> {
    if constant.is_empty() {
        return Vec::new();
    }
    let mut chosen = constant.to_vec();
    rng.shuffle(&mut chosen);
    chosen.truncate(1 + rng.below(chosen.len().min(CONSTANT_MOST)));
    chosen
}

/// Height of a pulse on a constant: a flag flips, anything else moves by a tenth or by 1.
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
