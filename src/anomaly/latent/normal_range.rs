//! Normal variation of every feature, the unit of deviations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{Distance, PAPER_TAU};
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::stats::median;

/// Minimum normal variation, in training standard deviations.
const LEAST_RESIDUAL: f64 = 0.05;
/// Minimum step in the same unit, for features that rarely move.
const LEAST_STEP: f64 = 0.01;
/// Quantile of a feature's steps that counts as its largest normal step.
const STEP_QUANTILE: f64 = 0.99;
/// Number of evenly spaced steps that are examined.
const STEPS: usize = 1 << 17;

/// Normal variation of every live feature, in training standard deviations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalRange {
    /// RMS error of the VAE's decoding of the latent mean on training windows, at least 0.05.
    pub residual: Vec<f64>,
    /// 99 % quantile of |x[t + 1] - x[t]| over clean rows, at least 0.01.
    pub step: Vec<f64>,
}

/// Deviations from here on come from flat windows under the printed rule.
const ENDLESS: f64 = 1e30;
/// Number of bins of windows by their variation.
const BINS: usize = 5;

/// tau by the variation of a window: the median deviation of held-out windows with a similar
/// variation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalTau {
    /// Ascending borders between the bins: standard deviation of a feature within a window, in
    /// z-scores.
    pub edges: Vec<f64>,
    /// One tau per bin, by distance.
    pub tau: BTreeMap<Distance, Vec<f64>>,
}

/// Median of some deviations. Flat windows are left out: under the printed rule, any change of them
/// is infinite. The paper's tau if none is left.
pub(crate) fn usual_deviation(values: impl IntoIterator<Item = f64>) -> f64 {
    let kept: Vec<f64> = values.into_iter().filter(|value| *value < ENDLESS).collect();
    if kept.is_empty() { PAPER_TAU } else { median(kept) }
}

impl LocalTau {
    /// From (window, feature) pairs: the variation of each, and its deviation by distance. Bins
    /// hold about equally many pairs.
    pub(crate) fn new(spreads: &[f64], deviations: &BTreeMap<Distance, Vec<f64>>) -> Self {
        let mut sorted = spreads.to_vec();
        sorted.sort_by(f64::total_cmp);
        let edge = |i: usize| sorted[(i * sorted.len() / BINS).min(sorted.len() - 1)];
        let mut edges: Vec<f64> =
            if sorted.is_empty() { Vec::new() } else { (1..BINS).map(edge).collect() };
        edges.dedup();
        let mut local = Self { edges, tau: BTreeMap::new() };
        for (distance, values) in deviations {
            let mut bins = vec![Vec::new(); local.edges.len() + 1];
            for (spread, value) in spreads.iter().zip(values) {
                bins[local.bin(*spread)].push(*value);
            }
            let all = usual_deviation(values.iter().copied());
            // A bin is empty if all pairs have the same variation.
            let deviation = |bin: Vec<f64>| if bin.is_empty() { all } else { usual_deviation(bin) };
            local.tau.insert(*distance, bins.into_iter().map(deviation).collect());
        }
        local
    }

    fn bin(&self, spread: f64) -> usize {
        self.edges.iter().filter(|edge| spread > **edge).count()
    }

    /// tau of a feature that varies by `spread` in a window; `None` if it is 0.
    pub(crate) fn at(&self, distance: Distance, spread: f64) -> Option<f32> {
        let tau = *self.tau.get(&distance)?.get(self.bin(spread))? as f32;
        (tau > 0.0).then_some(tau)
    }

    /// Whether a fit can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        let sound = |tau: &Vec<f64>| {
            tau.len() == self.edges.len() + 1 && tau.iter().all(|x| x.is_finite() && *x >= 0.0)
        };
        self.edges.iter().all(|edge| edge.is_finite()) && self.tau.values().all(sound)
    }
}

impl NormalRange {
    /// From windows [n, W, D] and their decodings, both flat, and the rows of a series.
    pub(crate) fn new(windows: &[f32], decoded: &[f32], matrix: &Matrix, of: &Series<'_>) -> Self {
        let features = matrix.features();
        let mut squares = vec![0.0; features];
        for (i, (x, y)) in windows.iter().zip(decoded).enumerate() {
            squares[i % features] += f64::from(x - y).powi(2);
        }
        let rows = (windows.len() / features.max(1)).max(1) as f64;
        let residual = squares.iter().map(|sum| (sum / rows).sqrt().max(LEAST_RESIDUAL));
        Self { residual: residual.collect(), step: steps(matrix, of) }
    }

    /// Whether it fits `features` live features.
    pub(crate) fn fits(&self, features: usize) -> bool {
        let sound = |values: &[f64]| {
            values.len() == features && values.iter().all(|x| x.is_finite() && *x > 0.0)
        };
        sound(&self.residual) && sound(&self.step)
    }
}

fn steps(matrix: &Matrix, series: &Series<'_>) -> Vec<f64> {
    let follows = |t: &usize| {
        let jump = series.gaps().binary_search(t).is_ok();
        series.is_clean(*t) && series.is_clean(t - 1) && !jump
    };
    let rows: Vec<usize> = (1..series.len()).filter(follows).collect();
    let rows: Vec<usize> =
        rows.iter().copied().step_by(rows.len().div_ceil(STEPS).max(1)).collect();
    let step = |d: usize| {
        let size = |t: &usize| (matrix.rows(*t, 1)[d] - matrix.rows(t - 1, 1)[d]).abs();
        let mut sizes: Vec<f32> = rows.iter().map(size).collect();
        let at = (STEP_QUANTILE * sizes.len().saturating_sub(1) as f64) as usize;
        if sizes.is_empty() {
            return LEAST_STEP;
        }
        f64::from(*sizes.select_nth_unstable_by(at, f32::total_cmp).1).max(LEAST_STEP)
    };
    (0..matrix.features()).map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array};

    use super::*;
    use crate::data::columns::Columns;
    use crate::data::normalise::Normaliser;
    use crate::runtime::control::RunToEnd;

    #[test]
    fn tau_follows_how_much_a_window_varies() {
        let spreads: Vec<f64> = (0..100).map(f64::from).collect();
        let deviations = spreads.iter().map(|spread| 2.0 * spread).collect();
        let local = LocalTau::new(&spreads, &BTreeMap::from([(Distance::Dtw, deviations)]));
        assert!(local.is_sound() && local.edges == [20.0, 40.0, 60.0, 80.0]);
        assert_eq!(local.at(Distance::Dtw, 5.0), Some(20.0));
        assert_eq!(local.at(Distance::Dtw, 1e9), Some(180.0));
        assert_eq!(local.at(Distance::Rms, 5.0), None);
        let alike = LocalTau::new(&[1.0; 9], &BTreeMap::from([(Distance::Sbd, vec![0.5; 9])]));
        assert!(alike.is_sound() && alike.at(Distance::Sbd, 7.0) == Some(0.5));
        assert_eq!(usual_deviation([1.0, 1e37, f64::INFINITY, 3.0]), 2.0);
        assert_eq!(usual_deviation([f64::INFINITY]), PAPER_TAU);
        assert!(LocalTau::new(&[], &BTreeMap::new()).is_sound());
    }

    #[test]
    fn steps_are_those_within_clean_stretches() {
        // Steps of 1, a jump of 50 at a gap, and a null between two levels.
        let values = (0..400).map(|t| match t {
            200 => None,
            _ if t < 100 => Some(f64::from(t % 2)),
            _ => Some(50.0 + f64::from(t % 2)),
        });
        let array: ArrayRef = Arc::new(Float64Array::from_iter(values));
        let columns = Columns::new(vec![("x".into(), array)]).unwrap();
        let series = Series::whole(&columns).with_gaps(vec![100]);
        let normaliser = Normaliser::fit(&series, |t| series.is_clean(t));
        let matrix = normaliser.apply(&series, &RunToEnd).unwrap();
        let windows = matrix.gather(&[0, 4], 4);
        let variation = NormalRange::new(&windows, &[0.5; 8], &matrix, &series);
        let step = variation.step[0] * normaliser.std[0];
        assert!((step - 1.0).abs() < 1e-4, "{step}");
        let residual = windows.iter().map(|x| f64::from(x - 0.5).powi(2)).sum::<f64>() / 8.0;
        assert!((variation.residual[0] - residual.sqrt()).abs() < 1e-6);
        assert!(variation.fits(1) && !variation.fits(2));
    }
}
