//! Kinds that hit single rows: `global`, `contextual`, `extremum`.
//!
//! The first two are the point outliers of Lai et al., "Revisiting Time Series Outlier Detection"
//! (NeurIPS 2021), the third is GutenTAG's (Wenig, Schmidl, Papenbrock, VLDB 2022).

use super::stretch::Stretch;

/// Rows on either side of a row that are its local context.
const RADIUS: usize = 10;
/// Least local deviation, in training deviations: what a flat stretch is taken to have.
const MIN_LOCAL: f32 = 0.1;

/// Every row is thrown outwards, away from the training mean, by `strength`.
pub(super) fn global(stretch: &Stretch<'_>, strength: f32, up: bool) -> Vec<f32> {
    let outwards = |z: f32| if z == 0.0 { up } else { z > 0.0 };
    stretch.own().iter().map(|&z| if outwards(z) { strength } else { -strength }).collect()
}

/// Every row goes to the other side of its local mean, `strength` local deviations from it: a value
/// that may be usual elsewhere in the series.
pub(super) fn contextual(stretch: &Stretch<'_>, strength: f32) -> Vec<f32> {
    let moved = |t: usize| {
        let rows = t.saturating_sub(RADIUS)..(t + RADIUS + 1).min(stretch.values.len());
        let (mean, std) = mean_std(&stretch.values[rows]);
        let z = stretch.values[t];
        let distance = strength * std.max(MIN_LOCAL);
        if z > mean { mean - distance - z } else { mean + distance - z }
    };
    stretch.rows.clone().map(moved).collect()
}

/// Every row goes `strength` beyond the largest value of the window, or below its smallest.
pub(super) fn extremum(stretch: &Stretch<'_>, strength: f32, up: bool) -> Vec<f32> {
    let (low, high) = range(stretch.values);
    let extreme = if up { high + strength } else { low - strength };
    stretch.own().iter().map(|z| extreme - z).collect()
}

/// Smallest and largest value.
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &z| (low.min(z), high.max(z)))
}

/// Mean and standard deviation (divided by n).
pub(super) fn mean_std(values: &[f32]) -> (f32, f32) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|&z| f64::from(z)).sum::<f64>() / n;
    let variance = values.iter().map(|&z| (f64::from(z) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, variance.sqrt() as f32)
}
