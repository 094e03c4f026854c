//! Options of the detectors: which one, and how it is trained.

use serde::{Deserialize, Serialize};

use super::check::{count, number, optional_count};
use super::preset::Preset;
use crate::error::Result;

/// What scores rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DetectorKind {
    /// Squared error of the VAE.
    Reconstruction,
    /// Largest absolute z-score.
    Amplitude,
    /// A net that tells windows with a generated anomaly from normal ones.
    Classifier,
    /// CARLA: contrastive representations, then self-supervised classes.
    Carla,
    /// Three classifiers, weighted by what they find of held-out generated anomalies.
    #[serde(alias = "default")]
    Ensemble,
    /// How far the windows that cover a row are from the nearest normal ones: several sizes of windows,
    /// seen in several ways. Nothing is trained.
    #[serde(alias = "fast")]
    Evidence,
}

/// Where the anomalies come from that a detector is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Negatives {
    /// Residuals of the VAE, perturbed in variance and mean, as segments of many strengths.
    Genias,
    /// As `Genias`, and beside the residuals deformations of what the VAE decodes: another tempo,
    /// phase, level, texture or amplitude, other windows, walks through many of them.
    Deformed,
    /// Injection by hand: CARLA's five kinds.
    Classical,
    /// Half of each.
    Mixed,
    /// A third each of `Genias`, `Classical` and `Noise`.
    All,
    /// As `Genias`, but noise, random walks and shifts in place of the VAE's residuals: the
    /// control that shows what the VAE is good for.
    Noise,
}

/// How a detector is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// Which one.
    pub detector: DetectorKind,
    /// Where the anomalies come from that the classifier or CARLA is trained on; the nets of an
    /// ensemble have sources of their own.
    pub negatives: Negatives,
    /// Optimiser steps; `None`: 200, and 300 for both stages of CARLA together.
    pub detector_steps: Option<usize>,
    /// Normal windows per step, and as many anomalous ones.
    pub detector_batch_size: usize,
    /// Channels of the net.
    pub detector_channels: usize,
    /// Adam's learning rate.
    pub detector_learning_rate: f64,
    /// Nets whose mean is taken.
    pub nets: usize,
    /// Weight of the loss per row beside that per window.
    pub row_weight: f64,
    /// Classes of CARLA (>= 2).
    pub classes: usize,
    /// Nearest and furthest neighbours of each window that CARLA compares classes with (>= 1).
    pub neighbours: usize,
    /// Divisor of CARLA's class logits in front of their softmax (> 0).
    pub temperature: f64,
    /// Margin of CARLA's triplet loss, in squared distances of representations (> 0).
    pub triplet_margin: f64,
    /// Weight of CARLA's loss that tells a window from its furthest neighbours (>= 0).
    pub inconsistency_weight: f64,
    /// Weight of the entropy of CARLA's mean class distribution (>= 0).
    pub entropy_weight: f64,
    /// Seed.
    pub seed: u64,
}

impl DetectorKind {
    /// Its name as an option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconstruction => "reconstruction",
            Self::Amplitude => "amplitude",
            Self::Classifier => "classifier",
            Self::Carla => "carla",
            Self::Ensemble => "ensemble",
            Self::Evidence => "evidence",
        }
    }

    /// Whether a model has to hold something of it before it can score.
    pub fn is_trained(self) -> bool {
        !matches!(self, Self::Reconstruction | Self::Amplitude)
    }
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            detector: DetectorKind::Ensemble,
            negatives: Negatives::All,
            detector_steps: None,
            detector_batch_size: 32,
            detector_channels: 24,
            detector_learning_rate: 2e-3,
            nets: 1,
            row_weight: 1.0,
            classes: 10,
            neighbours: 5,
            temperature: 1.0,
            triplet_margin: 1.0,
            inconsistency_weight: 1.0,
            entropy_weight: 5.0,
            seed: 0,
        }
    }
}

impl DetectConfig {
    /// The values of a preset: the paper feeds CARLA with its own anomalies.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Default | Preset::Thorough => Self::default(),
            Preset::Paper => Self {
                detector: DetectorKind::Carla,
                negatives: Negatives::Genias,
                ..Self::default()
            },
        }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        optional_count("detector_steps", self.detector_steps, 1, usize::MAX)?;
        count("detector_batch_size", self.detector_batch_size, 1, 1 << 12)?;
        count("detector_channels", self.detector_channels, 1, 1024)?;
        number("detector_learning_rate", self.detector_learning_rate, |x| x > 0.0, "> 0")?;
        count("nets", self.nets, 1, 64)?;
        number("row_weight", self.row_weight, |x| x >= 0.0, ">= 0")?;
        count("classes", self.classes, 2, 1000)?;
        count("neighbours", self.neighbours, 1, 1000)?;
        number("temperature", self.temperature, |x| x > 0.0, "> 0")?;
        number("triplet_margin", self.triplet_margin, |x| x >= 0.0, ">= 0")?;
        number("inconsistency_weight", self.inconsistency_weight, |x| x >= 0.0, ">= 0")?;
        number("entropy_weight", self.entropy_weight, |x| x >= 0.0, ">= 0")
    }
}
