//! From windows to rows: the windows that cover a row, and what their scores come to.

use std::ops::Range;

use candle_core::Tensor;

use crate::columns::Series;
use crate::config::{Aggregate, DetectorKind, ScoreConfig, per_feature_error};
use crate::control::Control;
use crate::error::Result;
use crate::model::{Model, pass};
use crate::normalise::Matrix;
use crate::positions::Positions;

/// Windows that cover a row, away from the ends of a run, where no stride is given.
const OVERLAP: usize = 4;

impl Model {
    /// Score of every row by one detector: the windows at every `stride` rows of each stretch that holds
    /// no gap and few enough nulls ([`Series::positions`] says which), its first and its last one, are
    /// scored row by row; what covers a row is put together as `aggregate` says. `None` where a row
    /// lacks a value, or no window covers it.
    ///
    /// # Errors
    /// [`Error::ModelFeatures`], [`Error::TooShort`], [`Error::NoWindow`], and
    /// [`Error::Parameter`] for a detector that the model does not hold.
    pub fn score_with(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f32>>> {
        let kind = config.detector.unwrap_or_else(|| self.detector());
        if kind == DetectorKind::Evidence {
            if let Some(scores) = self.score_evidence(series, config, control)? {
                return Ok(scores);
            }
        }
        let detector = self.build(kind)?;
        let mut rows = Rows::new(series.len(), 1, config.aggregate);
        let work = |x: &Tensor| detector.rows(x);
        self.cover(series, true, config.score_stride, control, work, |start, scores| {
            rows.add(start, scores);
        })?;
        Ok((0..series.len()).map(|t| rows.score(series, t, 0)).collect())
    }

    /// What every feature adds to the score of every row, for reading where an anomaly is: per
    /// feature, one value per row. `Reconstruction`: its squared error in z-scores. `Amplitude`: its
    /// absolute z-score. A constant feature counts with its distance from the constant.
    ///
    /// # Errors
    /// As [`Model::score_with`], and [`Error::Parameter`] for another detector: a net has no
    /// score per feature.
    pub fn score_features(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Vec<Option<f32>>>> {
        self.require_vae()?;
        let kind = config.detector.unwrap_or(DetectorKind::Reconstruction);
        let errors = super::reconstruction::Errors::new(self.base());
        let width = series.columns().width();
        let mut rows = Rows::new(series.len(), width, config.aggregate);
        let work = |x: &Tensor| match kind {
            DetectorKind::Reconstruction => errors.features(x),
            DetectorKind::Amplitude => Ok(x.abs()?.flatten_all()?.to_vec1()?),
            kind => Err(per_feature_error(kind)),
        };
        self.cover(series, true, config.score_stride, control, work, |start, scores| {
            rows.add(start, scores);
        })?;
        let feature = |d: usize| (0..series.len()).map(|t| rows.score(series, t, d)).collect();
        Ok((0..width).map(feature).collect())
    }

    /// Hands the rows and the result of every covering window to `take`, in order; `work` gives the
    /// results of a batch of windows [B, W, D], one behind the other. Windows hold `all` features,
    /// or the live ones.
    pub(super) fn cover(
        &self,
        series: &Series<'_>,
        all: bool,
        stride: Option<usize>,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<f32>> + Sync + Send,
        mut take: impl FnMut(Range<usize>, &[f32]),
    ) -> Result<()> {
        let size = self.config.window;
        let matrix: Matrix = match all {
            true => self.normaliser.apply_all(series, control)?,
            false => self.normaliser.apply(series, control)?,
        };
        let stretches = self.runs(series, |_| true)?;
        let stride = stride.unwrap_or(size / OVERLAP);
        let starts = series.positions().starts(series, &stretches, size, stride);
        let alike = match series.positions() {
            // Flat stretches have a window at every row.
            Positions::Content => alike(&matrix, &starts, size),
            _ => vec![1; starts.len()],
        };
        let mut copies = alike.iter().copied().filter(|n| *n > 0);
        let first: Vec<usize> =
            starts.iter().zip(&alike).filter(|(_, n)| **n > 0).map(|(start, _)| *start).collect();
        let mut all = starts.iter();
        pass(&matrix, &first, size, control, work, |starts, results| {
            let per_window = results.len() / starts.len().max(1);
            // Also where windows have no values: they cover their rows.
            for (i, n) in (0..starts.len()).zip(&mut copies) {
                for start in all.by_ref().take(n) {
                    take(*start..start + size, &results[i * per_window..(i + 1) * per_window]);
                }
            }
        })
    }
}

/// How many windows in a row are the same, at the first of them; 0 at the others.
fn alike(matrix: &Matrix, starts: &[usize], size: usize) -> Vec<usize> {
    let mut alike: Vec<usize> = vec![0; starts.len()];
    let mut first = 0;
    for (i, &start) in starts.iter().enumerate() {
        if matrix.window(starts[first], size) != matrix.window(start, size) {
            first = i;
        }
        alike[first] += 1;
    }
    alike
}

/// Scores fit 32 bits.
fn finite(score: f32) -> f32 {
    if score.is_nan() { f32::MAX } else { score.clamp(f32::MIN, f32::MAX) }
}

/// Values per row, of overlapping windows.
pub(super) struct Rows {
    values: Vec<f32>,
    counts: Vec<u32>,
    width: usize,
    aggregate: Aggregate,
}

impl Rows {
    pub(super) fn new(rows: usize, width: usize, aggregate: Aggregate) -> Self {
        Self { values: vec![0.0; rows * width], counts: vec![0; rows], width, aggregate }
    }

    /// Adds the values of a window over `rows`, [rows, width]; windows come in order.
    pub(super) fn add(&mut self, rows: Range<usize>, values: &[f32]) {
        let width = self.width.max(1);
        let slots = &mut self.values[rows.start * self.width..rows.end * self.width];
        let counts = &mut self.counts[rows];
        let rows = slots.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((slots, values), count) in rows.zip(&mut *counts) {
            for (slot, value) in slots.iter_mut().zip(values) {
                *slot = match self.aggregate {
                    _ if *count == 0 => *value,
                    Aggregate::Mean => *slot + value,
                    Aggregate::Max => slot.max(*value),
                    // The first window that holds a row is the one in which it comes last.
                    Aggregate::Last => *slot,
                };
            }
        }
        counts.iter_mut().for_each(|count| *count += 1);
    }

    /// Value `i` of a row.
    pub(super) fn get(&self, row: usize, i: usize) -> Option<f32> {
        let count = self.counts[row];
        let value = || self.values[row * self.width + i];
        (count > 0).then(|| match self.aggregate {
            Aggregate::Mean => value() / count as f32,
            _ => value(),
        })
    }

    /// Value `i` of a row as a score; none where the row lacks a value.
    fn score(&self, series: &Series<'_>, row: usize, i: usize) -> Option<f32> {
        self.get(row, i).filter(|_| series.is_usable(row)).map(finite)
    }

    /// Whether a window covers each row.
    pub(super) fn covered(&self) -> Vec<bool> {
        self.counts.iter().map(|count| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_windows_are_put_together() {
        let rows = |aggregate| {
            let mut rows = Rows::new(5, 1, aggregate);
            rows.add(0..3, &[1.0, 2.0, 3.0]);
            rows.add(1..4, &[4.0, -5.0, 6.0]);
            (0..5).map(|t| rows.get(t, 0)).collect::<Vec<_>>()
        };
        assert_eq!(rows(Aggregate::Mean), [Some(1.0), Some(3.0), Some(-1.0), Some(6.0), None]);
        assert_eq!(rows(Aggregate::Max), [Some(1.0), Some(4.0), Some(3.0), Some(6.0), None]);
        assert_eq!(rows(Aggregate::Last), [Some(1.0), Some(2.0), Some(3.0), Some(6.0), None]);
    }
}
