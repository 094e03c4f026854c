//! Kinds that move or scale the values of a segment: `mean`, `trend`, `variance`, `amplitude`,
//! `platform`.

use super::points::{mean_std, range};
use super::stretch::Stretch;
use crate::patch::rms;
use crate::rng::Rng;

/// A shift by `strength`, up or down.
pub(super) fn mean(stretch: &Stretch<'_>, strength: f32, up: bool) -> Vec<f32> {
    vec![if up { strength } else { -strength }; stretch.rows.len()]
}

/// A slope from the first row to the last, whose root mean square is `strength`.
pub(super) fn trend(stretch: &Stretch<'_>, strength: f32, up: bool) -> Vec<f32> {
    let sign = if up { 1.0 } else { -1.0 };
    let ramp = (1..=stretch.rows.len()).map(|i| sign * i as f32).collect();
    scaled(ramp, strength)
}

/// White noise without a mean, whose root mean square is `strength`.
pub(super) fn variance(stretch: &Stretch<'_>, strength: f32, rng: &mut Rng) -> Vec<f32> {
    let mut noise = rng.normals(stretch.rows.len());
    let (mean, _) = mean_std(&noise);
    noise.iter_mut().for_each(|noise| *noise -= mean);
    scaled(noise, strength)
}

/// The distance of every row from the segment's mean is multiplied by `factor`.
pub(super) fn amplitude(stretch: &Stretch<'_>, factor: f32) -> Vec<f32> {
    let (mean, _) = mean_std(stretch.own());
    stretch.own().iter().map(|z| (factor - 1.0) * (z - mean)).collect()
}

/// A flat line at a level drawn between the smallest and the largest value of the window.
pub(super) fn platform(stretch: &Stretch<'_>, rng: &mut Rng) -> Vec<f32> {
    let (low, high) = range(stretch.values);
    let level = low + rng.uniform() as f32 * (high - low);
    stretch.own().iter().map(|z| level - z).collect()
}

/// `values` with the root mean square `strength`; zeros stay zeros.
fn scaled(mut values: Vec<f32>, strength: f32) -> Vec<f32> {
    let found = rms(&values);
    if found > 0.0 {
        values.iter_mut().for_each(|value| *value *= strength / found);
    }
    values
}
