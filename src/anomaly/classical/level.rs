//! Kinds that shift or scale the values of a segment: `mean`, `trend`, `pulse`, `walk`, `variance`,
//! `amplitude`, `platform`.

use std::f64::consts::PI;

use super::stretch::Stretch;
use crate::runtime::rng::Rng;
use crate::stats::{mean_std, range, rms_f64};

/// A shift by `strength`, up or down.
pub(super) fn mean(stretch: &Stretch<'_>, strength: f64, up: bool) -> Vec<f64> {
    let shift = if up { strength } else { -strength };
    stretch.own().iter().map(|z| z + shift).collect()
}

/// Adds a slope over the segment with the RMS `strength`.
pub(super) fn trend(stretch: &Stretch<'_>, strength: f64, up: bool) -> Vec<f64> {
    let sign = if up { 1.0 } else { -1.0 };
    add(stretch, (1..=stretch.rows.len()).map(|i| sign * i as f64).collect(), strength)
}

/// A raised cosine over the segment, whose root mean square is `strength`.
pub(super) fn pulse(stretch: &Stretch<'_>, strength: f64, up: bool) -> Vec<f64> {
    let sign = if up { 1.0 } else { -1.0 };
    let n = stretch.rows.len();
    let hump = |i: usize| (PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
    add(stretch, (0..n).map(|i| sign * hump(i)).collect(), strength)
}

/// The sum of white noise, whose root mean square is `strength`.
pub(super) fn walk(stretch: &Stretch<'_>, strength: f64, rng: &mut Rng) -> Vec<f64> {
    let mut at = 0.0;
    let step = |noise: f32| {
        at += f64::from(noise);
        at
    };
    let walk = rng.normals(stretch.rows.len()).into_iter().map(step).collect();
    add(stretch, walk, strength)
}

/// Adds white noise of mean 0 with the RMS `strength`.
pub(super) fn variance(stretch: &Stretch<'_>, strength: f64, rng: &mut Rng) -> Vec<f64> {
    let noise: Vec<f64> = rng.normals(stretch.rows.len()).into_iter().map(f64::from).collect();
    let (mean, _) = mean_std(&noise);
    add(stretch, noise.iter().map(|noise| noise - mean).collect(), strength)
}

/// Multiplies the distance of every row from the mean of the segment by `factor`.
pub(super) fn amplitude(stretch: &Stretch<'_>, factor: f64) -> Vec<f64> {
    let (mean, _) = mean_std(stretch.own());
    stretch.own().iter().map(|z| mean + factor * (z - mean)).collect()
}

/// A constant level, uniform between the smallest and the largest value of the window.
pub(super) fn platform(stretch: &Stretch<'_>, rng: &mut Rng) -> Vec<f64> {
    let (low, high) = range(stretch.values);
    vec![low + rng.uniform() * (high - low); stretch.rows.len()]
}

/// Adds `shape`, scaled to the RMS `strength`; a shape of zeros stays zero.
fn add(stretch: &Stretch<'_>, shape: Vec<f64>, strength: f64) -> Vec<f64> {
    let scale = strength / rms_f64(&shape).max(f64::MIN_POSITIVE);
    stretch.own().iter().zip(shape).map(|(z, shape)| z + scale * shape).collect()
}
