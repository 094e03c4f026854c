//! Options of the detectors: which one, and how it is trained.

use super::declare::{options, words};
use super::preset::Preset;
use super::table::{DETECTS, above, any, at_least, between};
use crate::error::Result;

words! {
    /// A detector.
    pub enum DetectorKind {
        /// Squared error of the VAE.
        Reconstruction = "reconstruction",
        /// Largest absolute z-score.
        Amplitude = "amplitude",
        /// A net that tells windows with a generated anomaly from normal ones.
        Classifier = "classifier",
        /// CARLA: contrastive representations, then self-supervised classes.
        Carla = "carla",
        /// Three classifiers, weighted by what they find of held-out generated anomalies.
        Ensemble = "ensemble",
        /// How far the windows that cover a row are from the nearest normal ones: several sizes of
        /// windows, in several representations. Nothing is trained.
        Evidence = "evidence" | "default" | "fast",
    }
}

words! {
    /// Source of the anomalies that a detector is trained on.
    pub enum Negatives {
        /// Residuals of the VAE, perturbed in variance and mean, as segments of many strengths.
        Genias = "genias",
        /// As `genias`, and deformations of what the VAE decodes: another tempo, phase, level, texture
        /// or amplitude, other windows, walks through many of them.
        Deformed = "deformed",
        /// Classical anomalies: CARLA's five kinds.
        Classical = "classical",
        /// Half of each.
        Mixed = "mixed",
        /// A third each of `genias`, `classical` and `noise`.
        All = "all",
        /// As `genias`, but noise, random walks and shifts in place of the VAE's residuals: the
        /// control that shows what the VAE contributes.
        Noise = "noise",
    }
}

/// Detectors whose nets are trained.
const NETS: &[&str] = &["ensemble", "classifier", "carla"];
/// Detectors that are made of classifiers.
const CLASSIFIERS: &[&str] = &["ensemble", "classifier"];
/// Detectors whose negatives and number of nets are chosen.
const SINGLE: &[&str] = &["classifier", "carla"];
const CARLA: &[&str] = &["carla"];

options! {
    /// How a detector is trained.
    pub struct DetectConfig of "detector", for DETECTS;

    /// Detector that scores and labels come from; with a model, by default the model's own.
    detector: DetectorKind = DetectorKind::Evidence => any();
    /// Source of the anomalies that a detector is trained on.
    negatives: Negatives = Negatives::All => any().when("detector", SINGLE);
    /// Optimiser steps of a detector's net.
    detector_steps: Option<usize> = None => at_least(1.0)
        .auto("200; 300 for CARLA")
        .when("detector", NETS);
    /// Normal windows per step of a detector's net, and as many anomalous ones.
    detector_batch_size: usize = 32 => between(1.0, 4096.0).when("detector", NETS);
    /// Channels of a classifier.
    detector_channels: usize = 24 => between(1.0, 1024.0).when("detector", CLASSIFIERS);
    /// Adam's learning rate for a detector's net.
    detector_learning_rate: f64 = 2e-3 => above(0.0).when("detector", NETS);
    /// Number of nets whose mean is taken.
    nets: usize = 1 => between(1.0, 64.0).when("detector", SINGLE);
    /// Weight of a classifier's loss per row, relative to that per window.
    row_weight: f64 = 1.0 => at_least(0.0).when("detector", CLASSIFIERS);
    /// Number of CARLA's classes.
    classes: usize = 10 => between(2.0, 1000.0).when("detector", CARLA);
    /// Number of nearest and of furthest neighbours that CARLA compares a window with.
    neighbours: usize = 5 => between(1.0, 1000.0).when("detector", CARLA);
    /// Divisor of CARLA's class logits before their softmax.
    temperature: f64 = 1.0 => above(0.0).when("detector", CARLA);
    /// Margin of CARLA's triplet loss, in squared distances of representations.
    triplet_margin: f64 = 1.0 => at_least(0.0).when("detector", CARLA);
    /// Weight of CARLA's loss that separates a window from its furthest neighbours.
    inconsistency_weight: f64 = 1.0 => at_least(0.0).when("detector", CARLA);
    /// Weight of the entropy of CARLA's mean class distribution.
    entropy_weight: f64 = 5.0 => at_least(0.0).when("detector", CARLA);
    /// Seed of everything random.
    seed: u64 = 0 => at_least(0.0);
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
        self.check_ranges()
    }
}
