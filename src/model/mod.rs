//! A fitted model: a generator, its detectors, and the report of the fit.

pub mod artifact;
pub mod fit;
mod header;
pub(crate) mod trainer;

use candle_core::Tensor;

use crate::alarm::Reference;
use crate::anomaly::{Anomaly, Pair};
use crate::config::{
    AlarmConfig, DetectConfig, DetectorKind, GenerateConfig, ScoreConfig, Threshold,
};
use crate::data::series::Series;
use crate::detector::training::fit_detector;
use crate::detector::{Asked, Calibration, Detectors, Found};
use crate::error::Result;
use crate::generator::{Generator, Reconstruction, generate, reconstruct};
pub use crate::generator::{Health, Report};
use crate::runtime::control::Control;

/// A fitted GenIAS model of one series.
#[derive(Clone, Debug)]
pub struct Model {
    /// What makes anomalies.
    pub generator: Generator,
    /// What scores rows.
    pub detectors: Detectors,
    /// Diagnostics of the fit.
    pub report: Report,
    /// Wall time of the fit; not part of the model's bytes, so that these are reproducible.
    pub seconds: Option<f64>,
}

impl Model {
    /// Number of parameters, those of detectors included.
    pub fn parameter_count(&self) -> usize {
        let own = self.generator.vae.iter().flat_map(|vae| vae.parameters().values());
        own.chain(self.detectors.tensors()).map(Tensor::elem_count).sum()
    }

    /// The model as bytes, the same for the same fit.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        artifact::write(&self.generator, &self.detectors, &self.report)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`crate::Error::Model`], which says whether the bytes are no model, of another version, cut
    /// short, changed, or inconsistent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (generator, detectors, report) = artifact::read(bytes)?;
        Ok(Self { generator, detectors, report, seconds: None })
    }

    /// Places non-overlapping anomalies on the rows of a series, in time order: not on known
    /// anomalies, nor where windows hold more nulls than the model allows. Nulls inside an anomaly
    /// stay.
    ///
    /// The positions and shapes depend on the seed and the content of the series only.
    ///
    /// # Errors
    /// [`crate::Error::TooShort`] or [`crate::Error::NoWindow`] for a series with no clean window,
    /// [`crate::Error::DoesNotFit`], [`crate::Error::ModelFeatures`], [`crate::Error::Parameter`];
    /// with `patch` "correlation" [`crate::Error::NoCorrelation`].
    pub fn generate(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        generate::generate(&self.generator, series, config, control)
    }

    /// A pair of windows at every `window_stride` rows: as it is, and with an anomaly of `length` rows at
    /// a random place in it.
    ///
    /// # Errors
    /// As [`Model::generate`], but for [`crate::Error::DoesNotFit`].
    pub fn pairs(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Pair>> {
        generate::pairs(&self.generator, series, config, control)
    }

    /// X^ in input units, mean over the windows that cover a row; a feature that was constant in
    /// training comes back as that constant.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn reconstruct(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<Reconstruction> {
        reconstruct::reconstruct(&self.generator, series, control)
    }

    /// The latent mean of the windows every `stride` rows: start row and mu [L] of each.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn embed(
        &self,
        series: &Series<'_>,
        stride: Option<usize>,
        control: &dyn Control,
    ) -> Result<Vec<(usize, Vec<f32>)>> {
        reconstruct::embed(&self.generator, series, stride, control)
    }

    /// This model with one more detector (or with that of the same kind trained anew), which
    /// scores by default from then on, and with its thresholds. Trains on the clean windows of
    /// `series`, as the VAE did.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`], [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`],
    /// [`crate::Error::NoWindow`], [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
    pub fn fit_detector(
        &self,
        series: &Series<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Self> {
        let started = std::time::Instant::now();
        let detectors = fit_detector(&self.detectors, &self.generator, series, config, control)?;
        let seconds = self.seconds.map(|seconds| seconds + started.elapsed().as_secs_f64());
        Ok(Self { detectors, seconds, ..self.clone() })
    }

    /// Score of every row by the default detector: [`Model::score_with`].
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn score(&self, series: &Series<'_>, control: &dyn Control) -> Result<Vec<Option<f32>>> {
        self.score_with(series, &ScoreConfig::default(), control)
    }

    /// Score of every row by one detector: the windows at every `stride` rows of each stretch that
    /// holds no gap and few enough nulls ([`Series::positions`] says which), its first and its last
    /// one, are scored row by row; the windows that cover a row are combined by `aggregate`. `None` where
    /// a row lacks a value, or no window covers it.
    ///
    /// # Errors
    /// [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`], [`crate::Error::NoWindow`], and
    /// [`crate::Error::Parameter`] for a detector that the model does not hold.
    pub fn score_with(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f32>>> {
        self.detectors.score(&self.generator, series, config, control)
    }

    /// What every feature adds to the score of every row, to locate an anomaly: per
    /// feature, one value per row. `Reconstruction`: its squared error in z-scores. `Amplitude`: its
    /// absolute z-score. A constant feature counts with its distance from the constant.
    ///
    /// # Errors
    /// As [`Model::score_with`], and [`crate::Error::Parameter`] for another detector: a net has no
    /// score per feature.
    pub fn score_features(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Vec<Option<f32>>>> {
        self.detectors.score_features(&self.generator, series, config, control)
    }

    /// Whether every row lies in an alarm of the default detector: [`Model::label_with`].
    ///
    /// # Errors
    /// As [`Model::label_with`].
    pub fn label(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        control: &dyn Control,
    ) -> Result<Vec<Option<bool>>> {
        self.label_with(series, threshold, &ScoreConfig::default(), control)
    }

    /// Whether each row lies in an alarm ([`Model::alarms`], with the default options). `None` where
    /// there is no score.
    ///
    /// # Errors
    /// As [`Model::alarms`].
    pub fn label_with(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<bool>>> {
        Ok(self.alarms(series, threshold, &AlarmConfig::default(), config, control)?.labels)
    }

    /// The alarms of a series, in time order, the label and the p-value of every row.
    ///
    /// With [`Threshold::Auto`] an alarm starts where the score of a row is less probable in normal rows
    /// than `alarm` allows, and goes on while it is improbable; the scores that rows are compared with
    /// follow them as `alarm.adapt` says, from [`Found::reference`] on if that is put into the model
    /// ([`Model::with_reference`]). Of the evidence, an alarm has the rows that differ from what was
    /// expected where those are few, else all rows with an improbable score. With another threshold, rows
    /// that score above it are an alarm.
    ///
    /// # Errors
    /// As [`Model::score_with`], and [`crate::Error::Parameter`] for a detector that has no thresholds of
    /// its own, and for `alarms_per_day` of a series that does not say how many rows a day has.
    pub fn alarms(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Found> {
        let asked = Asked { threshold, alarm, score: config };
        self.detectors.alarms(&self.generator, series, asked, control)
    }

    /// Probability that a normal row scores as high as each row, by the scores of normal rows that the
    /// model holds, in the order of the rows and following them: [`Found::p`].
    ///
    /// # Errors
    /// As [`Model::alarms`], and [`crate::Error::Parameter`] for a detector without scores of normal rows.
    pub fn p_values(
        &self,
        series: &Series<'_>,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f64>>> {
        self.detectors.p_values(&self.generator, series, alarm, config, control)
    }

    /// This model with other scores of normal rows for a detector, of the default one where `kind` is
    /// `None`: those after following a series.
    pub fn with_reference(&self, kind: Option<DetectorKind>, reference: Reference) -> Self {
        let mut model = self.clone();
        let kind = kind.unwrap_or_else(|| self.detector());
        if let Some(calibration) = model.detectors.calibrations.get_mut(&kind) {
            calibration.reference = Some(reference);
        }
        model
    }

    /// What scores by default: the detector that was asked for last, else the VAE's error.
    pub fn detector(&self) -> DetectorKind {
        self.detectors.default_kind()
    }

    /// Thresholds of a detector, of the default one where `kind` is `None`.
    pub fn calibration(&self, kind: Option<DetectorKind>) -> Option<&Calibration> {
        self.detectors.calibration(kind)
    }

    /// psi, 1 where there is no VAE.
    pub fn psi(&self) -> f64 {
        self.generator.psi().ok().flatten().unwrap_or(1.0)
    }
}
