//! What the rest of the crate needs to know about a detector.

use super::evidence::Evidence;
use super::normal::TrainingData;
use super::score_rows::Detector;
use super::threshold::Calibration;
use super::trained::{Learned, Trained};
use crate::config::{DetectConfig, Negatives};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::nn::Shapes;
use crate::runtime::control::Control;

/// Optimiser steps of most detectors where none are given.
pub(crate) const STEPS: usize = 200;

/// How a detector is trained, kept in a model and loaded from it. A detector that is not trained has to
/// say only how it is loaded.
pub(crate) trait DetectorSpec: Sync {
    /// Whether a model has to hold something of it before it can score.
    fn is_trained(&self) -> bool {
        false
    }

    /// Whether it scores with the VAE, or is trained or calibrated on what the VAE generates.
    fn needs_vae(&self) -> bool {
        true
    }

    /// Optimiser steps of its nets where none are given.
    fn steps(&self) -> usize {
        STEPS
    }

    /// The generated anomalies that its thresholds are chosen on, where training chooses none.
    fn calibrated_on(&self, _config: &DetectConfig) -> Negatives {
        Negatives::All
    }

    /// Trains it on the normal rows of a series; `None` where there is nothing to train.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Diverged`], [`Error::Interrupted`].
    fn train(
        &self,
        _data: &TrainingData<'_>,
        _config: &DetectConfig,
        _control: &dyn Control,
    ) -> Result<Option<Fit>> {
        Ok(None)
    }

    /// Whether training with these options on `features` features can have found `learned`.
    fn is_sound(&self, learned: &Learned, _config: &DetectConfig, _features: usize) -> bool {
        *learned == Learned::default()
    }

    /// Names and shapes of the tensors that training with these options makes.
    ///
    /// # Errors
    /// Where a net cannot be declared.
    fn shapes(
        &self,
        _learned: &Learned,
        _config: &DetectConfig,
        _features: usize,
    ) -> Result<Shapes> {
        Ok(Shapes::new())
    }

    /// The detector, ready to score.
    ///
    /// # Errors
    /// [`Error::Model`] where a tensor is missing; [`Error::Parameter`] where there is no VAE to score
    /// with.
    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>>;
}

/// What training made.
pub(crate) struct Fit {
    pub trained: Trained,
    /// Thresholds, where training chooses them.
    pub calibration: Option<Calibration>,
}

/// The parts of a model that a detector is loaded from.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub generator: &'a Generator,
    /// What training made; `None` for a detector that is not trained.
    pub trained: Option<&'a Trained>,
}

impl<'a> Stored<'a> {
    /// What training made.
    ///
    /// # Errors
    /// [`Error::Model`] where there is nothing.
    pub(crate) fn trained(&self) -> Result<&'a Trained> {
        self.trained.ok_or_else(|| Error::Model("the detector was not trained".into()))
    }

    /// Number of features D.
    pub(crate) fn features(&self) -> usize {
        self.generator.normaliser.features.len()
    }
}

/// A detector that is ready to score.
pub(crate) enum Loaded<'a> {
    /// Window by window.
    Windows(Box<dyn Detector + 'a>),
    /// A series at once, in windows of its own.
    Series(&'a Evidence),
}
