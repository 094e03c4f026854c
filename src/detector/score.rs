//! Scores of the rows of a series, by the windows that cover them.

use crate::data::overlap::Rows;
use std::ops::Range;

use candle_core::Tensor;

use crate::config::{DetectorKind, ScoreConfig, per_feature_error};
use crate::data::batches::pass;
use crate::data::columns::Series;
use crate::data::normalise::Matrix;
use crate::data::windows;
use crate::error::Result;
use crate::model::Model;
use crate::runtime::control::Control;

/// Windows that cover a row, away from the ends of a run, where no stride is given.
const OVERLAP: usize = 4;

impl Model {
    /// Score of every row by one detector: the windows at every `stride` rows of each run of rows
    /// without nulls or gaps, and the last one, are scored row by row; what covers a row is put
    /// together as `aggregate` says. `None` where no window covers a row.
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
        let detector = self.build(config.detector.unwrap_or_else(|| self.detector()))?;
        let mut rows = Rows::new(series.len(), 1, config.aggregate);
        let work = |x: &Tensor| detector.rows(x);
        self.cover(series, true, config.score_stride, control, work, |start, scores| {
            rows.add(start, scores);
        })?;
        Ok((0..series.len()).map(|t| rows.get(t, 0).map(finite)).collect())
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
        let feature = |d: usize| (0..series.len()).map(|t| rows.get(t, d).map(finite)).collect();
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
        let runs = self.runs(series, |t| series.is_usable(t))?;
        let starts = windows::covering_starts(&runs, size, stride.unwrap_or(size / OVERLAP));
        pass(&matrix, &starts, size, control, work, |starts, results| {
            let per_window = results.len() / starts.len().max(1);
            // Also where windows have no values: they cover their rows.
            for (i, &start) in starts.iter().enumerate() {
                take(start..start + size, &results[i * per_window..(i + 1) * per_window]);
            }
        })
    }
}

/// Scores fit 32 bits.
fn finite(score: f32) -> f32 {
    if score.is_nan() { f32::MAX } else { score.clamp(f32::MIN, f32::MAX) }
}
