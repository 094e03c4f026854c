//! Kinds that change the shape of a segment: `shapelet`, `pattern`, `mode-correlation`.

use super::stretch::Stretch;
use crate::runtime::rng::Rng;
use crate::stats::{mean_std, range};

/// Minimum half range of a new shape, in training standard deviations, so that it is visible on a
/// flat stretch.
const MIN_HALF_RANGE: f64 = 0.5;
/// Minimum number of rows per cycle of a new shape.
const MIN_CYCLE: usize = 4;

/// Another shape over the range of the segment: constant at its first value, or a square, triangle
/// or sawtooth wave of one or more cycles.
pub(super) fn shapelet(stretch: &Stretch<'_>, rng: &mut Rng) -> Vec<f64> {
    let own = stretch.own();
    let (low, high) = range(own);
    let (middle, half) = (0.5 * (low + high), (0.5 * (high - low)).max(MIN_HALF_RANGE));
    let most = (own.len() / MIN_CYCLE).max(1);
    let cycles = rng.log_uniform(1.0, most as f64);
    let phase = rng.uniform();
    let wave: fn(f64) -> f64 = match rng.below(4) {
        0 => return vec![own[0]; own.len()],
        1 => |p| if p < 0.5 { 1.0 } else { -1.0 },
        2 => |p| 4.0 * (p - 0.5).abs() - 1.0,
        _ => |p| 2.0 * p - 1.0,
    };
    let step = cycles / own.len() as f64;
    (0..own.len()).map(|i| middle + half * wave((phase + step * i as f64).fract())).collect()
}

/// Passes distances from the middle of the segment's range through an arc tangent, as GutenTAG
/// distorts its sines: z' = m + a atan(k (z - m) / a) / atan(k), with a half the range and k the
/// `factor`. The range stays; flanks become steep and crests flat.
pub(super) fn pattern(stretch: &Stretch<'_>, factor: f64) -> Vec<f64> {
    let (low, high) = range(stretch.own());
    let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
    if half <= 0.0 {
        return stretch.own().to_vec();
    }
    let distorted = |z: f64| middle + half * (factor * (z - middle) / half).atan() / factor.atan();
    stretch.own().iter().map(|&z| distorted(z)).collect()
}

/// Mirrors the segment at its own mean: its correlation with every other feature changes sign.
pub(super) fn mode_correlation(stretch: &Stretch<'_>) -> Vec<f64> {
    let (mean, _) = mean_std(stretch.own());
    stretch.own().iter().map(|z| 2.0 * mean - z).collect()
}
