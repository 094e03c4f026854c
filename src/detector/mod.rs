//! Step 8, detectors: a score per row, higher = more anomalous.
//!
//! A [`Detector`] gives every row of a window a score; [`Model::score_with`] puts the windows that
//! cover a row together. [`Model::fit_detector`] trains one on the normal windows of a series
//! against windows with generated anomalies (`negatives`), and calibrates its thresholds on held-out
//! windows (`threshold`). No label is looked at.

mod amplitude;
mod carla;
mod classifier;
mod cover;
mod ensemble;
pub(crate) mod evidence;
mod negatives;
mod network;
mod reconstruction;
mod threshold;
mod training;

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

pub use reconstruction::Reconstruction;
pub(crate) use reconstruction::decode_mean;
pub use threshold::Calibration;
pub(crate) use training::calibrate_untrained;

use crate::columns::Series;
use crate::config::{DetectConfig, DetectorKind, ScoreConfig, Threshold};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::normalise::Normaliser;
use crate::vae::Vae;
use carla::Carla;
use classifier::Classifier;
use ensemble::{Ensemble, Weights};
use network::{Parameters, Shapes};

/// What scores the rows of windows.
pub trait Detector: Sync + Send {
    /// Scores of the rows of windows [B, W, D] (every feature in its own scale, see
    /// [`Normaliser::apply_all`]): [B * W] finite values, higher = more anomalous.
    ///
    /// # Errors
    /// When the shape does not fit the detector.
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>>;
}

/// The mean of several.
impl<N: Detector> Detector for Vec<N> {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let mut sums = vec![0f32; windows.dim(0)? * windows.dim(1)?];
        for detector in self {
            let scores = detector.rows(windows)?;
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        let scale = 1.0 / self.len().max(1) as f32;
        sums.iter_mut().for_each(|sum| *sum *= scale);
        Ok(sums)
    }
}

/// A trained detector as it is kept in a model.
#[derive(Clone, Debug)]
pub struct Trained {
    /// How it was trained.
    pub config: DetectConfig,
    pub(crate) learned: Learned,
    pub(crate) parameters: BTreeMap<String, Tensor>,
    pub(crate) built: evidence::Built,
}

/// What training found beside parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    /// Weights of an ensemble.
    pub weights: Option<Weights>,
    /// The normal class of every net of CARLA.
    pub normal_classes: Vec<usize>,
    /// Scales and references of the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<evidence::Kept>,
}

impl Learned {
    /// Whether training of a detector of this kind can have found this.
    pub(crate) fn fits(&self, kind: DetectorKind, config: &DetectConfig) -> bool {
        let weighted = self.weights.as_ref().is_some_and(Weights::is_sound);
        let classes = self.normal_classes.iter().filter(|class| **class < config.classes).count();
        let nets = if kind == DetectorKind::Carla { config.nets } else { 0 };
        config.detector == kind
            && self.evidence.is_some() == (kind == DetectorKind::Evidence)
            && weighted == (kind == DetectorKind::Ensemble)
            && self.normal_classes.len() == nets
            && classes == nets
    }
}

impl Trained {
    /// Name and shape of the parameters of a detector of `features` features.
    pub(crate) fn shapes(
        kind: DetectorKind,
        features: usize,
        config: &DetectConfig,
        learned: &Learned,
    ) -> Shapes {
        if let Some(kept) = &learned.evidence {
            return kept.shapes();
        }
        let nets = match kind {
            DetectorKind::Reconstruction | DetectorKind::Amplitude | DetectorKind::Evidence => 0,
            DetectorKind::Classifier | DetectorKind::Carla => config.nets,
            DetectorKind::Ensemble => ensemble::SOURCES.len(),
        };
        let net = || match kind {
            DetectorKind::Carla => Carla::shapes(features, config),
            _ => Classifier::shapes(features, config.detector_channels),
        };
        let named = |i: usize| net().into_iter().map(move |(name, s)| (format!("{i}.{name}"), s));
        (0..nets).flat_map(named).collect()
    }

    /// The parameters of net `i`.
    fn net(&self, i: usize) -> Parameters {
        let prefix = format!("{i}.");
        let of_net = self.parameters.iter().filter_map(|(name, tensor)| {
            name.strip_prefix(&prefix).map(|name| (name.to_string(), tensor.clone()))
        });
        of_net.collect()
    }
}

/// The parts of a model that detectors without parameters of their own read.
#[derive(Clone, Copy)]
pub(crate) struct Base<'a> {
    pub vae: Option<&'a Vae>,
    pub normaliser: &'a Normaliser,
}

impl Model {
    /// The detectors that can score: those that were trained, and those that need no training.
    pub fn detectors(&self) -> Vec<DetectorKind> {
        let untrained = match self.require_vae() {
            Ok(()) => vec![DetectorKind::Reconstruction, DetectorKind::Amplitude],
            Err(_) => vec![DetectorKind::Amplitude],
        };
        untrained.into_iter().chain(self.trained.keys().copied()).collect()
    }

    /// What scores by default: the detector that was trained last, else the VAE's error.
    pub fn detector(&self) -> DetectorKind {
        self.report.detector.unwrap_or(DetectorKind::Reconstruction)
    }

    /// Thresholds of a detector, of the default one where `kind` is `None`.
    pub fn calibration(&self, kind: Option<DetectorKind>) -> Option<&Calibration> {
        self.report.calibrations.get(&kind.unwrap_or_else(|| self.detector()))
    }

    pub(crate) fn base(&self) -> Base<'_> {
        Base { vae: self.vae.as_ref(), normaliser: &self.normaliser }
    }

    /// The detector `kind` of this model.
    pub(crate) fn build(&self, kind: DetectorKind) -> Result<Box<dyn Detector + '_>> {
        let missing = || {
            let known: Vec<&str> = self.detectors().into_iter().map(DetectorKind::name).collect();
            let allowed = format!(
                "one that the model holds ({}); fit(model, detector=...) adds one",
                known.join(", ")
            );
            Error::parameter("detector", kind.name(), allowed)
        };
        match kind {
            DetectorKind::Reconstruction => {
                self.require_vae()?;
                Ok(Box::new(reconstruction::Errors::new(self.base())))
            }
            DetectorKind::Amplitude => Ok(Box::new(amplitude::Amplitude)),
            DetectorKind::Evidence => Err(missing()),
            _ => {
                let features = self.normaliser.features.len();
                build_trained(kind, self.trained.get(&kind).ok_or_else(missing)?, features)
            }
        }
    }

    /// Score of every row by the default detector: [`Model::score_with`].
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn score(&self, series: &Series<'_>, control: &dyn Control) -> Result<Vec<Option<f32>>> {
        self.score_with(series, &ScoreConfig::default(), control)
    }

    /// Whether the score of every row by the default detector is above `threshold`:
    /// [`Model::label_with`].
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn label(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        control: &dyn Control,
    ) -> Result<Vec<Option<bool>>> {
        self.label_with(series, threshold, &ScoreConfig::default(), control)
    }

    /// Whether the score of each row is above `threshold`. `None` where there is no score.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn label_with(
        &self,
        series: &Series<'_>,
        threshold: Threshold,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<bool>>> {
        let threshold = match (threshold, self.calibration(config.detector)) {
            (Threshold::Number(number), _) => number,
            (threshold, Some(calibration)) => calibration.threshold(threshold),
            (_, None) => f64::INFINITY,
        };
        let scores = self.score_with(series, config, control)?;
        Ok(scores.into_iter().map(|score| score.map(|s| f64::from(s) > threshold)).collect())
    }
}

fn build_trained(
    kind: DetectorKind,
    trained: &Trained,
    features: usize,
) -> Result<Box<dyn Detector>> {
    let nets =
        |n: usize| (0..n).map(|i| Classifier::new(&trained.net(i))).collect::<Result<Vec<_>>>();
    match kind {
        DetectorKind::Ensemble => {
            let weights = trained.learned.weights.clone().unwrap_or_default();
            Ok(Box::new(Ensemble::new(nets(ensemble::SOURCES.len())?, weights)))
        }
        DetectorKind::Carla => {
            let classes = trained.learned.normal_classes.iter().enumerate();
            let net = |(i, class): (usize, &usize)| {
                Carla::new(&trained.net(i), features, &trained.config, *class)
            };
            Ok(Box::new(classes.map(net).collect::<Result<Vec<_>>>()?))
        }
        _ => Ok(Box::new(nets(trained.config.nets)?)),
    }
}
