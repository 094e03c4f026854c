//! Kinds that change single rows: `global`, `contextual`, `extremum`.
//!
//! The first two are the point outliers of Lai et al., "Revisiting Time Series Outlier Detection"
//! (NeurIPS 2021), the third is GutenTAG's (Wenig, Schmidl, Papenbrock, VLDB 2022).

use super::stretch::Stretch;
use crate::stats::{mean_std, range};

/// Rows on either side of a row that form its local context.
const RADIUS: usize = 10;
/// Minimum local standard deviation, in training standard deviations; used for flat stretches.
const MIN_LOCAL: f64 = 0.1;

/// Moves every row away from the training mean by `strength`.
pub(super) fn global(stretch: &Stretch<'_>, strength: f64, up: bool) -> Vec<f64> {
    let outwards = |z: f64| if z == 0.0 { up } else { z > 0.0 };
    stretch.own().iter().map(|&z| if outwards(z) { z + strength } else { z - strength }).collect()
}

/// Moves every row to the other side of its local mean, `strength` local standard deviations from
/// it. The value may be usual elsewhere in the series.
pub(super) fn contextual(stretch: &Stretch<'_>, strength: f64) -> Vec<f64> {
    let moved = |t: usize| {
        let rows = t.saturating_sub(RADIUS)..(t + RADIUS + 1).min(stretch.values.len());
        let (mean, std) = mean_std(&stretch.values[rows]);
        let distance = strength * std.max(MIN_LOCAL);
        if stretch.values[t] > mean { mean - distance } else { mean + distance }
    };
    stretch.rows.clone().map(moved).collect()
}

/// Moves every row `strength` beyond the largest value of the window, or below the smallest.
pub(super) fn extremum(stretch: &Stretch<'_>, strength: f64, up: bool) -> Vec<f64> {
    let (low, high) = range(stretch.values);
    let extreme = if up { high + strength } else { low - strength };
    vec![extreme; stretch.rows.len()]
}
