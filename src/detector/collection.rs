//! The detectors of a model.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;

use super::kinds::{spec, untrained};
use super::row_scores::RowScores;
use super::score_rows::Detector;
use super::spec::{Loaded, Stored};
use super::threshold::Calibration;
use super::trained::Trained;
use crate::config::{DetectorKind, ScoreConfig, Threshold, per_feature_error};
use crate::data::batches::{covering, covering_windows};
use crate::data::overlap::Overlap;
use crate::data::series::Series;
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::runtime::control::Control;

/// The detectors of a model: their trained parts, and their thresholds.
#[derive(Clone, Debug, Default)]
pub struct Detectors {
    /// The trained detectors.
    pub(crate) trained: BTreeMap<DetectorKind, Trained>,
    /// Thresholds of the calibrated detectors.
    pub calibrations: BTreeMap<DetectorKind, Calibration>,
    /// The detector that was fitted last; it scores by default.
    pub default: Option<DetectorKind>,
}

impl Detectors {
    /// Detectors that can score: the trained ones, and those without training.
    pub fn kinds(&self) -> Vec<DetectorKind> {
        untrained().chain(self.trained.keys().copied()).collect()
    }

    /// The default detector: the one that was fitted last, else the VAE's error.
    pub fn default_kind(&self) -> DetectorKind {
        self.default.unwrap_or(DetectorKind::Reconstruction)
    }

    /// Thresholds of a detector; of the default one if `kind` is `None`.
    pub fn calibration(&self, kind: Option<DetectorKind>) -> Option<&Calibration> {
        self.calibrations.get(&kind.unwrap_or_else(|| self.default_kind()))
    }

    /// Tensors of the trained detectors.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.trained.values().flat_map(|trained| trained.parameters.values())
    }

    /// The detector `kind` on top of `generator`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a detector that the model does not hold.
    pub(super) fn load<'a>(
        &'a self,
        kind: DetectorKind,
        generator: &'a Generator,
    ) -> Result<Loaded<'a>> {
        let (spec, trained) = (spec(kind), self.trained.get(&kind));
        if spec.is_trained() && trained.is_none() {
            return Err(self.missing(kind));
        }
        spec.load(Stored { generator, trained })
    }

    pub(super) fn missing(&self, kind: DetectorKind) -> Error {
        let known: Vec<&str> = self.kinds().into_iter().map(DetectorKind::name).collect();
        let known = known.join(", ");
        let allowed =
            format!("one that the model holds ({known}); fit(model, detector=...) adds one");
        Error::parameter("detector", kind.name(), allowed)
    }

    /// Score of every row. In each stretch without gaps and with few enough nulls, the windows at
    /// every `stride` rows ([`Series::positions`]), and its first and last window, are scored row
    /// by row; the windows that cover a row are combined by `aggregate`. `None` for a row with a
    /// missing value, or without a window.
    ///
    /// # Errors
    /// [`Error::ModelFeatures`], [`Error::TooShort`], [`Error::NoWindow`], and [`Error::Parameter`]
    /// for a detector that the model does not hold.
    pub(crate) fn score(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<RowScores> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        match self.load(kind, generator)? {
            Loaded::Series(evidence) => {
                generator.normaliser.check(series)?;
                evidence.score(series, config, control)
            }
            Loaded::Windows(detector) => {
                window_scores(&*detector, generator, series, config, control).map(RowScores::same)
            }
        }
    }

    /// Contribution of every feature to the score of every row, to locate an anomaly: per feature,
    /// one value per row. `Reconstruction`: its squared error in z-scores. `Amplitude`: its
    /// absolute z-score. A constant feature counts with its distance from the constant.
    ///
    /// # Errors
    /// As [`Detectors::score`], and [`Error::Parameter`] for other detectors: a net has no score
    /// per feature.
    pub(crate) fn score_features(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Vec<Option<f32>>>> {
        let kind = config.detector.unwrap_or(DetectorKind::Reconstruction);
        generator.require_vae()?;
        let Loaded::Windows(detector) = self.load(kind, generator)? else {
            return Err(per_feature_error(kind));
        };
        let width = series.columns().width();
        let work = |x: &Tensor| detector.features(x)?.ok_or_else(|| per_feature_error(kind));
        let rows = overlap(generator, series, config, width, &[], control, work)?;
        let feature = |d: usize| (0..series.len()).map(|t| rows.score(series, t, d)).collect();
        Ok((0..width).map(feature).collect())
    }

    /// The score above which a row is anomalous.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a detector without thresholds.
    pub(crate) fn threshold(
        &self,
        threshold: Threshold,
        kind: Option<DetectorKind>,
    ) -> Result<f64> {
        match (threshold, self.calibration(kind)) {
            (Threshold::Number(number), _) => Ok(number),
            (threshold, Some(calibration)) => Ok(calibration.threshold(threshold)),
            (_, None) => Err(self.without_thresholds(kind.unwrap_or_else(|| self.default_kind()))),
        }
    }

    pub(super) fn without_thresholds(&self, kind: DetectorKind) -> Error {
        let allowed = "one with thresholds; fit(model, detector=...) sets them, or give \
                       `threshold` a number";
        Error::parameter("detector", kind.name(), allowed)
    }
}

/// Scores of rows by a detector that scores windows.
pub(super) fn window_scores(
    detector: &dyn Detector,
    generator: &Generator,
    series: &Series<'_>,
    config: &ScoreConfig,
    control: &dyn Control,
) -> Result<Vec<Option<f32>>> {
    let work = |x: &Tensor| detector.rows(x);
    let rows = overlap(generator, series, config, 1, &[], control, work)?;
    Ok((0..series.len()).map(|t| rows.score(series, t, 0)).collect())
}

/// Results of `work` for the rows of covering windows, `width` values each, combined; only of windows that
/// overlap one of `parts`, if there are any.
pub(super) fn overlap(
    generator: &Generator,
    series: &Series<'_>,
    config: &ScoreConfig,
    width: usize,
    parts: &[Range<usize>],
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<Vec<f32>> + Sync + Send,
) -> Result<Overlap> {
    let mut rows = Overlap::new(series.len(), width, config.aggregate);
    let matrix = generator.normaliser.apply_all(series, control)?;
    let stretches = generator.stretches(series, |_| true)?;
    let size = generator.config.window;
    let mut starts = covering(series, &stretches, size, config.score_stride);
    let shares = |start: usize, part: &Range<usize>| start < part.end && part.start < start + size;
    starts.retain(|start| parts.is_empty() || parts.iter().any(|part| shares(*start, part)));
    covering_windows(series, &matrix, &starts, size, control, work, |at, scores| {
        rows.add(at, scores)
    })?;
    Ok(rows)
}
