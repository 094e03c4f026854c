//! A fitted model: a generator, its detectors, and a report of the fit.

pub mod apart;
pub mod artifact;
mod container;
pub mod excerpts;
pub mod fit;
mod header;
pub(crate) mod trainer;

use std::sync::Arc;

use candle_core::Tensor;

use crate::alarm::Reference;
use crate::anomaly::{Anomaly, GenerationSite, Ground, Pair};
use crate::config::{
    AlarmConfig, DetectConfig, DetectorKind, GenerateConfig, ScoreConfig, Threshold,
};
use crate::data::series::Series;
use crate::detector::training::fit_detector;
use crate::detector::{Bounds, Calibration, Detectors, Explained, Labelled, Reasons, RowScores};
use crate::error::Result;
pub use crate::generator::{Backbone, Backbones, Health, Report, VaeOrigin, backbone_of};
use crate::generator::{Generator, Reconstruction, generate, reconstruct};
use crate::runtime::control::Control;

/// Where the anomalies of some series go, all of them together, and their kinds: per series, in the order
/// in which they are given. Lengths fit the smallest window of their models.
///
/// # Errors
/// As [`Model::generate`].
pub fn share_out(grounds: &[Ground], config: &GenerateConfig) -> Result<Vec<Vec<GenerationSite>>> {
    generate::share_out(grounds, config)
}

/// A fitted GenIAS model of one series.
#[derive(Clone, Debug)]
pub struct Model {
    /// Generates anomalies.
    pub generator: Generator,
    /// Score rows.
    pub detectors: Detectors,
    /// Diagnostics of the fit.
    pub report: Report,
    /// Wall time of the fit; not stored in the model's bytes, which are reproducible.
    pub seconds: Option<f64>,
}

impl Model {
    /// Number of parameters, including those of detectors.
    pub fn parameter_count(&self) -> usize {
        let own = self.generator.vae.iter().flat_map(|vae| vae.parameters().values());
        own.chain(self.detectors.tensors()).map(Tensor::elem_count).sum()
    }

    /// The model as bytes; the same fit gives the same bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        artifact::write(&self.generator, &self.detectors, &self.report, false)
    }

    /// The model as bytes without its backbone ([`apart::write`]), which it then refers to.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn to_own_bytes(&self) -> Result<Vec<u8>> {
        artifact::write(&self.generator, &self.detectors, &self.report, true)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`crate::Error::Model`], which says whether the bytes are not a model, of another version,
    /// truncated, changed, or inconsistent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_parts(bytes, None)
    }

    /// Reads a model whose backbone is stored apart; a model that refers to none ignores it.
    ///
    /// # Errors
    /// As [`Model::from_bytes`]; also for another backbone than the one that the model refers to.
    pub fn from_parts(bytes: &[u8], backbone: Option<&Arc<Backbone>>) -> Result<Self> {
        let (generator, detectors, report) = artifact::read(bytes, backbone)?;
        Ok(Self { generator, detectors, report, seconds: None })
    }

    /// The backbone that it shares with other models.
    pub fn backbone(&self) -> Option<&Arc<Backbone>> {
        self.generator.backbone.as_ref()
    }

    /// Places non-overlapping anomalies on the rows of a series, in time order: not on known
    /// anomalies, nor in windows with more nulls than the model allows. Nulls inside an anomaly
    /// stay null.
    ///
    /// Positions and shapes only depend on the seed and the content of the series.
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

    /// What a series has room for.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn ground(&self, series: &Series<'_>, config: &GenerateConfig) -> Result<Ground> {
        generate::ground(&self.generator, series, config)
    }

    /// Anomalies in these places of a series: those that [`share_out`] gives it.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn generate_at(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        places: &[GenerationSite],
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        generate::generate_at(&self.generator, series, config, places, control)
    }

    /// Pairs of windows, one every `window_stride` rows: the window, and the same with an anomaly
    /// of `length` rows at a random place.
    ///
    /// # Errors
    /// As [`Model::generate`], except [`crate::Error::DoesNotFit`].
    pub fn pairs(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Pair>> {
        generate::pairs(&self.generator, series, config, control)
    }

    /// X^ in input units, averaged over the windows that cover a row; for a feature that is
    /// constant in training, its constant.
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

    /// This model with one more detector (or the same kind retrained), which becomes the default,
    /// and its thresholds. Trains on the clean windows of `series`, as the VAE did.
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

    /// Score of every row by one detector. In each stretch without gaps and with few enough nulls,
    /// the windows at every `stride` rows ([`Series::positions`]), and its first and last window,
    /// are scored row by row; the windows that cover a row are combined by `aggregate`. `None` for
    /// a row with a missing value, or without a window.
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
        Ok(self.detectors.score(&self.generator, series, config, control)?.into_ranking())
    }

    /// As [`Model::score_with`], with the scores that labels follow.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn row_scores(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<RowScores> {
        self.detectors.score(&self.generator, series, config, control)
    }

    /// Contribution of every feature to the score of every row, to locate an anomaly: per feature,
    /// one value per row. `Reconstruction`: its squared error in z-scores. `Amplitude`: its
    /// absolute z-score. A constant feature counts with its distance from the constant.
    ///
    /// # Errors
    /// As [`Model::score_with`], and [`crate::Error::Parameter`] for other detectors: a net has no
    /// score per feature.
    pub fn score_features(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Vec<Option<f32>>>> {
        self.detectors.score_features(&self.generator, series, config, control)
    }

    /// Scores as [`Model::score_with`] gives them, and why they are what they are: what each feature has to
    /// do with it, its strongest evidence, and where the nearest normal rows lie. Of the evidence, a
    /// feature is to blame by how far it is from what it should have been ([`Model::expect`]); of
    /// `Reconstruction` and `Amplitude`, by its own score; of a net, by how much the score falls where it
    /// is at its training mean.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn reasons(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Reasons> {
        self.detectors.reasons(&self.generator, series, config, control)
    }

    /// The alarms that [`Model::alarms`] finds, and why they are there, as [`Model::reasons`] says it.
    ///
    /// # Errors
    /// As [`Model::alarms`].
    pub fn explain(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Explained>> {
        self.detectors.explain(&self.generator, series, threshold, alarm, config, control)
    }

    /// What every feature should have been, from what is around each row while the row itself and those
    /// next to it are hidden; and the bounds between which a share `coverage` of normal rows lies, in
    /// (0, 1). One for each feature; needs the evidence in the model.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a model without it, [`crate::Error::ModelFeatures`],
    /// [`crate::Error::Interrupted`].
    pub fn expect(
        &self,
        series: &Series<'_>,
        coverage: f64,
        control: &dyn Control,
    ) -> Result<Vec<Bounds>> {
        self.detectors.expect(&self.generator, series, coverage, control)
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

    /// Whether each row lies in an alarm ([`Model::alarms`] with the default options). `None`
    /// without a score.
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

    /// The alarms of a series in time order, and the label and p-value of every row.
    ///
    /// With [`Threshold::Auto`], an alarm starts at a row whose score is less probable in normal
    /// rows than `alarm` allows, and continues while scores are improbable. The reference follows
    /// the scores as set by `alarm.adapt`; to continue from [`Found::reference`], put it into the
    /// model ([`Model::with_reference`]). With the detector `evidence`, an alarm has the rows that
    /// deviate from their expected values if these are few, else all rows with an improbable score.
    /// With another threshold, consecutive rows with a score above it are an alarm.
    ///
    /// # Errors
    /// As [`Model::score_with`], and [`crate::Error::Parameter`] for a detector without its own
    /// thresholds, or for `alarms_per_day` if the series does not know its rows per day.
    pub fn alarms(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Labelled> {
        self.detectors.alarms(&self.generator, series, threshold, alarm, config, control)
    }

    /// Probability of a score as high in a normal row, for each row, from the model's reference
    /// scores, which follow the rows in order: [`Found::p`].
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

    /// [`Model::p_values`] of rows whose scores are known.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a detector without scores of normal rows.
    pub fn p_values_of(
        &self,
        series: &Series<'_>,
        scores: &RowScores,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
    ) -> Result<Vec<Option<f64>>> {
        self.detectors.p_values_of(&self.generator, series, scores, alarm, config)
    }

    /// This model with other reference scores for a detector (the default one if `kind` is `None`):
    /// those after following a series.
    pub fn with_reference(&self, kind: Option<DetectorKind>, reference: Reference) -> Self {
        let mut model = self.clone();
        let kind = kind.unwrap_or_else(|| self.detector());
        if let Some(calibration) = model.detectors.calibrations.get_mut(&kind) {
            calibration.reference = Some(reference);
        }
        model
    }

    /// The default detector: the one that was fitted last, else the VAE's error.
    pub fn detector(&self) -> DetectorKind {
        self.detectors.default_kind()
    }

    /// Thresholds of a detector; of the default one if `kind` is `None`.
    pub fn calibration(&self, kind: Option<DetectorKind>) -> Option<&Calibration> {
        self.detectors.calibration(kind)
    }

    /// psi; 1 without a VAE.
    pub fn psi(&self) -> f64 {
        self.generator.psi().ok().flatten().unwrap_or(1.0)
    }
}
