//! Z-scores from the training rows of a series, as a matrix that windows view.

use std::borrow::Cow;

use pulp::{Arch, Simd, with_simd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::series::Series;
use crate::error::{Error, Result};
use crate::runtime::control::Control;

/// Limit of z-scores, so that their squares are finite in 32 bits.
pub(crate) const Z_LIMIT: f64 = 1e8;
/// Rows that are normalised at once, feature by feature.
const BLOCK: usize = 128;
/// A feature whose range is below this share of its magnitude counts as constant.
pub(crate) const CONSTANT_RANGE: f64 = 1e-9;

/// Statistics of the training rows, per feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Feature names, in order.
    pub features: Vec<String>,
    /// Mean; the constant itself for a constant feature.
    pub mean: Vec<f64>,
    /// Standard deviation (divided by n); 1 for a constant feature.
    pub std: Vec<f64>,
    /// Whether the feature varies in training. Constant features are not part of the VAE.
    pub live: Vec<bool>,
}

impl Normaliser {
    /// Statistics of the values in rows where `train` holds, in 64 bits.
    pub fn fit(series: &Series<'_>, train: impl Fn(usize) -> bool) -> Self {
        let columns = series.columns();
        let mut normaliser = Self {
            features: columns.names().to_vec(),
            mean: Vec::new(),
            std: Vec::new(),
            live: Vec::new(),
        };
        for d in 0..columns.width() {
            let values =
                || (0..series.len()).filter(|&t| train(t)).filter_map(|t| series.value(d, t));
            let (mut low, mut high, mut n) = (f64::INFINITY, f64::NEG_INFINITY, 0usize);
            for value in values() {
                (low, high, n) = (low.min(value), high.max(value), n + 1);
            }
            if n == 0 || high - low <= CONSTANT_RANGE * low.abs().max(high.abs()) {
                normaliser.push(if n == 0 { 0.0 } else { low }, 1.0, false);
                continue;
            }
            // Scaling by half the range keeps sums and squares finite for all finite input.
            let (half, scale) = (low / 2.0 + high / 2.0, high / 2.0 - low / 2.0);
            let unit = |value: f64| (value - half) / scale;
            let mean = values().map(unit).sum::<f64>() / n as f64;
            let variance = values().map(|v| (unit(v) - mean).powi(2)).sum::<f64>() / n as f64;
            normaliser.push(half + mean * scale, variance.sqrt() * scale, true);
        }
        normaliser
    }

    fn push(&mut self, mean: f64, std: f64, live: bool) {
        self.mean.push(mean);
        self.std.push(std);
        self.live.push(live);
    }

    /// Positions of the live features.
    pub fn live_features(&self) -> Vec<usize> {
        (0..self.live.len()).filter(|&d| self.live[d]).collect()
    }

    /// Names of the features that vary in training.
    pub(crate) fn live_names(&self) -> Vec<String> {
        self.live_features().into_iter().map(|d| self.features[d].clone()).collect()
    }

    /// Positions of the features that are constant in training.
    pub fn constant_features(&self) -> Vec<usize> {
        (0..self.live.len()).filter(|&d| !self.live[d]).collect()
    }

    /// z-score of a raw value of feature `d`.
    pub fn z(&self, d: usize, value: f64) -> f32 {
        z_score(value, self.mean[d] / self.std[d], self.std[d])
    }

    /// Distance of a raw value from the constant of constant feature `d`; 0 for values that count
    /// as that constant.
    pub fn from_constant(&self, d: usize, value: f64) -> f32 {
        let most = value.abs().max(self.mean[d].abs());
        if (value - self.mean[d]).abs() <= CONSTANT_RANGE * most { 0.0 } else { self.z(d, value) }
    }

    /// Raw value of a z-score of feature `d`.
    pub fn raw(&self, d: usize, z: f64) -> f64 {
        self.mean[d] + z * self.std[d]
    }

    /// Rejects a series of other features.
    pub(crate) fn check(&self, series: &Series<'_>) -> Result<()> {
        if self.features == series.columns().names() {
            return Ok(());
        }
        let found = series.columns().names().to_vec();
        Err(Error::ModelFeatures { expected: self.features.clone(), found })
    }

    /// The live features of a series as z-scores, [T, D_live].
    ///
    /// # Errors
    /// [`Error::ModelFeatures`] if the series has other features than the fit.
    pub fn apply(&self, series: &Series<'_>, control: &dyn Control) -> Result<Matrix> {
        self.scores(series, self.live_features(), control)
    }

    /// Every feature of a series in its own scale, [T, D]: z-scores, or the distance from the
    /// constant (in input units) for a constant feature.
    ///
    /// # Errors
    /// As [`Normaliser::apply`].
    pub fn apply_all(&self, series: &Series<'_>, control: &dyn Control) -> Result<Matrix> {
        self.scores(series, (0..self.live.len()).collect(), control)
    }

    /// The features `chosen` in their own scale, [T, chosen].
    fn scores(
        &self,
        series: &Series<'_>,
        chosen: Vec<usize>,
        control: &dyn Control,
    ) -> Result<Matrix> {
        self.check(series)?;
        let mut values = vec![0.0; series.len() * chosen.len()];
        let fill = |(block, rows): (usize, &mut [f32])| {
            self.fill(series, &chosen, block * BLOCK, rows);
        };
        let size = BLOCK * chosen.len().max(1);
        if control.alone() {
            values.par_chunks_mut(size).enumerate().for_each(fill);
        } else {
            values.chunks_mut(size).enumerate().for_each(fill);
        }
        let missing = match series.is_complete() {
            true => Vec::new(),
            false => values.iter().map(|value| value.is_nan()).collect(),
        };
        values
            .iter_mut()
            .zip(&missing)
            .filter(|(_, missing)| **missing)
            .for_each(|(z, _)| *z = 0.0);
        let zero = chosen.iter().map(|&d| self.z(d, 0.0)).collect();
        Ok(Matrix { values, missing, features: chosen.len(), zeros: vec![(usize::MAX, zero)] })
    }

    /// The features `chosen` in their own scale, from row `start`, [rows, chosen]; NaN for missing
    /// values.
    fn fill(&self, series: &Series<'_>, chosen: &[usize], start: usize, rows: &mut [f32]) {
        let width = chosen.len().max(1);
        let mut column = vec![0.0; rows.len() / width];
        let mut scores = vec![0.0; column.len()];
        for (i, &d) in chosen.iter().enumerate() {
            series.read(d, start, &mut column);
            if self.live[d] {
                z_scores(&mut scores, &column, self.mean[d] / self.std[d], self.std[d]);
            } else {
                let distances = column.iter().map(|value| self.from_constant(d, *value));
                scores.iter_mut().zip(distances).for_each(|(slot, z)| *slot = z);
            }
            rows[i..].iter_mut().step_by(width).zip(&scores).for_each(|(slot, z)| *slot = *z);
        }
    }
}

/// z-score of a value; `ratio` is the mean divided by the standard deviation.
#[inline(always)]
fn z_score(value: f64, ratio: f64, std: f64) -> f32 {
    (value / std - ratio).clamp(-Z_LIMIT, Z_LIMIT) as f32
}

/// z-scores of a feature, compiled for the vector instructions of the machine.
#[with_simd(z_scores = Arch::new())]
#[inline(always)]
fn z_scores_loop<'a, S: Simd>(
    _: S,
    scores: &'a mut [f32],
    values: &'a [f64],
    ratio: f64,
    std: f64,
) {
    for (score, value) in scores.iter_mut().zip(values) {
        *score = z_score(*value, ratio, std);
    }
}

/// Features of one series in their own scale, row-major [T, D]: the live ones, or all.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// 0 for missing values.
    pub(crate) values: Vec<f32>,
    /// Missing values; empty if there are none.
    pub(crate) missing: Vec<bool>,
    pub(crate) features: usize,
    /// z-score of 0 per feature, and the row before which it holds: one entry per series.
    pub(crate) zeros: Vec<(usize, Vec<f32>)>,
}

impl Matrix {
    /// The windows of `size` rows at `starts` of one series, one after another.
    pub(crate) fn excerpt(&self, starts: &[usize], size: usize) -> Self {
        let rows = |start: &usize| self.rows(*start, size).iter().copied();
        let missing = |start: &usize| self.missing(*start, size).iter().copied();
        let zero = self.zeros.first().map(|(_, zero)| (starts.len() * size, zero.clone()));
        Self {
            values: starts.iter().flat_map(rows).collect(),
            missing: starts.iter().flat_map(missing).collect(),
            features: self.features,
            zeros: zero.into_iter().collect(),
        }
    }

    /// The rows of several matrices with the same features, one after another.
    pub(crate) fn stack(parts: &[&Self]) -> Self {
        let mut all = Self {
            values: Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum()),
            missing: Vec::new(),
            features: parts.first().map_or(0, |part| part.features),
            zeros: Vec::new(),
        };
        let any_missing = parts.iter().any(|part| !part.missing.is_empty());
        for part in parts {
            let before = all.values.len() / all.features.max(1);
            all.zeros.extend(part.zeros.iter().map(|(end, zero)| (before + end, zero.clone())));
            all.values.extend_from_slice(&part.values);
            if any_missing {
                all.missing.extend_from_slice(&part.missing);
                all.missing.resize(all.values.len(), false);
            }
        }
        all
    }

    /// Number of rows.
    pub(crate) fn height(&self) -> usize {
        self.values.len() / self.features.max(1)
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The `size` rows from row `start`, [size, D_live], without a copy; 0 for missing values.
    pub fn rows(&self, start: usize, size: usize) -> &[f32] {
        &self.values[start * self.features..(start + size) * self.features]
    }

    /// The window of `size` rows from row `start`, [size, D_live], with missing values interpolated
    /// linearly within the window.
    pub fn window(&self, start: usize, size: usize) -> Cow<'_, [f32]> {
        let values = self.rows(start, size);
        let missing = self.missing(start, size);
        if !missing.contains(&true) {
            return Cow::Borrowed(values);
        }
        let mut filled = values.to_vec();
        (0..self.features).for_each(|d| fill(&mut filled, missing, d, self.features));
        Cow::Owned(filled)
    }

    /// Missing values of a window, [size, D_live]; empty if the series has none.
    fn missing(&self, start: usize, size: usize) -> &[bool] {
        let range = start * self.features..(start + size) * self.features;
        self.missing.get(range).unwrap_or_default()
    }

    /// 1 for observed and 0 for interpolated values of the windows at `starts`, [n, size, D_live];
    /// `None` if none is missing.
    pub fn observed(&self, starts: &[usize], size: usize) -> Option<Vec<f32>> {
        let missing = || starts.iter().flat_map(|&start| self.missing(start, size));
        let any_missing = missing().any(|missing| *missing);
        any_missing.then(|| missing().map(|missing| f32::from(u8::from(!missing))).collect())
    }

    /// Rows of a window with a missing value, [size]; empty if the series has none.
    pub fn rows_missing(&self, start: usize, size: usize) -> Vec<bool> {
        let rows = self.missing(start, size).chunks_exact(self.features.max(1));
        rows.map(|row| row.contains(&true)).collect()
    }

    /// Gathers windows into one batch [n, size, D_live].
    pub fn gather(&self, starts: &[usize], size: usize) -> Vec<f32> {
        let mut batch = Vec::with_capacity(starts.len() * size * self.features);
        starts.iter().for_each(|&start| batch.extend_from_slice(&self.window(start, size)));
        batch
    }

    /// Features that are zero in input units throughout a window.
    pub fn all_zero(&self, start: usize, size: usize) -> Vec<bool> {
        let mut zero = vec![true; self.features];
        for row in self.window(start, size).chunks_exact(self.features.max(1)) {
            for ((flag, value), zero) in zero.iter_mut().zip(row).zip(self.zero(start)) {
                *flag &= value == zero;
            }
        }
        zero
    }

    /// z-score of 0 per feature, in the series of a row.
    fn zero(&self, row: usize) -> &[f32] {
        let series = self.zeros.partition_point(|(end, _)| *end <= row);
        self.zeros.get(series).map(|(_, zero)| &zero[..]).unwrap_or_default()
    }
}

/// Interpolates linearly between the known values of feature `d` of a window, and repeats the
/// nearest one outside of them. A feature without values stays 0.
fn fill(window: &mut [f32], missing: &[bool], d: usize, features: usize) {
    let rows = window.len() / features;
    let known: Vec<usize> = (0..rows).filter(|t| !missing[t * features + d]).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return };
    let value = |window: &[f32], t: usize| window[t * features + d];
    for t in (0..first).chain(last + 1..rows) {
        window[t * features + d] = value(window, t.clamp(first, last));
    }
    for pair in known.windows(2) {
        let (from, to) = (value(window, pair[0]), value(window, pair[1]));
        for t in pair[0] + 1..pair[1] {
            let share = (t - pair[0]) as f32 / (pair[1] - pair[0]) as f32;
            window[t * features + d] = from + (to - from) * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;
    use crate::data::columns::Columns;
    use crate::runtime::control::RunToEnd;

    fn columns(fields: &[(&str, Vec<f64>)]) -> Columns {
        let field = |(name, values): &(&str, Vec<f64>)| {
            let array: arrow::array::ArrayRef = Arc::new(Float64Array::from(values.clone()));
            ((*name).to_string(), array)
        };
        Columns::new(fields.iter().map(field).collect()).unwrap()
    }

    #[test]
    fn z_scores_and_back() {
        let columns = columns(&[("x", vec![1.0, 2.0, 3.0, 6.0]), ("c", vec![5.0; 4])]);
        let series = Series::whole(&columns);
        let normaliser = Normaliser::fit(&series, |t| t < 3);
        assert!((normaliser.mean[0] - 2.0).abs() < 1e-12);
        assert!((normaliser.std[0] - (2.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!((normaliser.mean[1], normaliser.std[1], normaliser.live[1]), (5.0, 1.0, false));
        let matrix = normaliser.apply(&series, &RunToEnd).unwrap();
        assert_eq!(matrix.features(), 1);
        let z = f64::from(matrix.window(3, 1)[0]);
        assert!((normaliser.raw(0, z) - 6.0).abs() < 1e-5);
    }

    #[test]
    fn extreme_and_tiny_scales_stay_finite() {
        let columns = columns(&[
            ("huge", vec![-1.7e308, 1.7e308, 0.0]),
            ("tiny", vec![1e-300, 2e-300, 3e-300]),
            ("offset", vec![1e6, 1e6 + 0.5, 1e6 + 1.0]),
        ]);
        let series = Series::whole(&columns);
        let normaliser = Normaliser::fit(&series, |_| true);
        assert_eq!(normaliser.live, [true; 3]);
        let matrix = normaliser.apply(&series, &RunToEnd).unwrap();
        assert!(matrix.window(0, 3).iter().all(|z| z.abs() < 2.0), "{matrix:?}");
    }

    #[test]
    fn zeros_are_found_in_input_units() {
        let columns = columns(&[("n", vec![0.0, 0.0, 4.0]), ("x", vec![1.0, 0.0, 0.0])]);
        let series = Series::whole(&columns);
        let matrix = Normaliser::fit(&series, |_| true).apply(&series, &RunToEnd).unwrap();
        assert_eq!(matrix.all_zero(0, 2), [true, false]);
        assert_eq!(matrix.all_zero(1, 2), [false, true]);
    }

    #[test]
    fn a_stack_has_the_windows_of_its_parts() {
        let part = |values: Vec<f64>, starts: &[usize]| {
            let columns = columns(&[("x", values)]);
            let series = Series::whole(&columns);
            let normaliser = Normaliser::fit(&series, |_| true);
            normaliser.apply(&series, &RunToEnd).unwrap().excerpt(starts, 2)
        };
        let complete = part(vec![0.0, 0.0, 4.0, 5.0], &[0, 2]);
        let gap = part(vec![9.0, 9.0, 1.0, f64::NAN, 0.0, 0.0], &[2, 4]);
        let stack = Matrix::stack(&[&complete, &gap]);
        for (i, (own, start)) in
            [(&complete, 0), (&complete, 2), (&gap, 0), (&gap, 2)].iter().enumerate()
        {
            assert_eq!(stack.window(2 * i, 2), own.window(*start, 2), "{i}");
            assert_eq!(stack.all_zero(2 * i, 2), own.all_zero(*start, 2), "{i}");
        }
        assert_eq!(
            (0..4).map(|i| stack.all_zero(2 * i, 2)[0]).collect::<Vec<_>>(),
            [true, false, false, true]
        );
        let observed = vec![1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        assert_eq!(stack.observed(&[0, 2, 4, 6], 2), Some(observed));
    }
}
