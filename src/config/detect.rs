//! Options of the detectors: the choice of one, and its training.

use super::declare::{options, words};
use super::preset::Preset;
use super::table::{DETECTS, above, any, at_least, between};
use crate::error::Result;

words! {
    /// A detector.
    pub enum DetectorKind {
        /// Squared reconstruction error of the VAE.
        Reconstruction = "reconstruction",
        /// Largest absolute z-score.
        Amplitude = "amplitude",
        /// A net that separates windows with a generated anomaly from normal windows.
        Classifier = "classifier",
        /// CARLA: contrastive representations, then self-supervised classes.
        Carla = "carla",
        /// Three classifiers, weighted by their performance on held-out generated anomalies.
        Ensemble = "ensemble",
        /// Distance of the windows that cover a row from the nearest normal windows, for several
        /// window sizes and representations; no training.
        Evidence = "evidence" | "default" | "fast",
    }
}

words! {
    /// Source of the anomalies that a detector is trained on.
    pub enum Negatives {
        /// Residuals of the VAE, perturbed in variance and mean, as segments of many strengths.
        Genias = "genias",
        /// As `genias`, plus deformations of decoded windows: another tempo, phase, level, texture
        /// or amplitude, other windows, and walks through several windows.
        Deformed = "deformed",
        /// Classical anomalies: CARLA's five kinds.
        Classical = "classical",
        /// Half `genias`, half `classical`.
        Mixed = "mixed",
        /// A third each of `genias`, `classical` and `noise`.
        All = "all",
        /// As `genias`, but with noise, random walks and shifts instead of residuals of the VAE: a
        /// control for the contribution of the VAE.
        Noise = "noise",
    }
}

/// Detectors with trained nets.
const NETS: &[&str] = &["ensemble", "classifier", "carla"];
/// Detectors that consist of classifiers.
const CLASSIFIERS: &[&str] = &["ensemble", "classifier"];
/// Detectors with a choice of negatives and of the number of nets.
const SINGLE: &[&str] = &["classifier", "carla"];
const CARLA: &[&str] = &["carla"];

options! {
    /// How a detector is trained.
    pub struct DetectConfig of "detector", for DETECTS;

    /// Detector of scores and labels; with a model, the default is the model's own detector.
    detector: DetectorKind = DetectorKind::Evidence => any();
    /// Source of the anomalies that a detector is trained on.
    negatives: Negatives = Negatives::All => any().when("detector", SINGLE);
    /// Optimiser steps of a detector's net.
    detector_steps: Option<usize> = None => at_least(1.0)
        .auto("200; 300 for CARLA")
        .when("detector", NETS);
    /// Normal windows per step of a detector's net; as many anomalous windows are added.
    detector_batch_size: usize = 32 => between(1.0, 4096.0).when("detector", NETS);
    /// Channels of a classifier.
    detector_channels: usize = 24 => between(1.0, 1024.0).when("detector", CLASSIFIERS);
    /// Adam's learning rate for a detector's net.
    detector_learning_rate: f64 = 2e-3 => above(0.0).when("detector", NETS);
    /// Number of nets whose scores are averaged.
    nets: usize = 1 => between(1.0, 64.0).when("detector", SINGLE);
    /// Weight of a classifier's loss per row, relative to that per window.
    row_weight: f64 = 1.0 => at_least(0.0).when("detector", CLASSIFIERS);
    /// Number of CARLA's classes.
    classes: usize = 10 => between(2.0, 1000.0).when("detector", CARLA);
    /// Number of nearest and of furthest neighbours in CARLA.
    neighbours: usize = 5 => between(1.0, 1000.0).when("detector", CARLA);
    /// Divisor of CARLA's class logits before their softmax.
    temperature: f64 = 1.0 => above(0.0).when("detector", CARLA);
    /// Margin of CARLA's triplet loss, in squared distances of representations.
    triplet_margin: f64 = 1.0 => at_least(0.0).when("detector", CARLA);
    /// Weight of CARLA's loss that separates a window from its furthest neighbours.
    inconsistency_weight: f64 = 1.0 => at_least(0.0).when("detector", CARLA);
    /// Weight of the entropy of CARLA's mean class distribution.
    entropy_weight: f64 = 5.0 => at_least(0.0).when("detector", CARLA);
    /// Random seed.
    seed: u64 = 0 => at_least(0.0);
}

impl DetectConfig {
    /// The values of a preset. With the paper's preset, CARLA is trained on generated anomalies.
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
        self.check_ranges()
    }
}
