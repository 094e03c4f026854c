//! Input and outcome of a training.

use crate::nn::Parameters;
use serde::{Deserialize, Serialize};

use crate::config::FitConfig;
use crate::data::normalise::Matrix;
use crate::stats::pca::Pca;
use crate::vae::Architecture;

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All steps were taken.
    Steps,
    /// The validation loss did not fall by more than `min_gain` within `patience` steps.
    Plateau,
    /// No feature varies in training.
    NoLiveFeature,
    /// Nothing is generated, so nothing was trained.
    NotTrained,
}

impl StopReason {
    /// Its name in `describe()`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Plateau => "plateau",
            Self::NoLiveFeature => "no_live_feature",
            Self::NotTrained => "not_trained",
        }
    }
}

/// One line of the training history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps taken.
    pub step: usize,
    /// Mean training loss since the last line.
    pub train_loss: f64,
    /// Loss of the held-out windows.
    pub validation_loss: f64,
    /// psi.
    pub psi: f64,
}

/// The outcome of a training.
pub(crate) struct TrainedVae {
    pub parameters: Parameters,
    pub history: Vec<Progress>,
    pub loss: f64,
    pub steps: usize,
    pub stop_reason: StopReason,
}

/// The input of a training.
pub(crate) struct Task<'a> {
    pub matrix: &'a Matrix,
    pub train: &'a [usize],
    pub validation: &'a [usize],
    pub architecture: &'a Architecture,
    pub config: &'a FitConfig,
    pub pca: Option<&'a Pca>,
}
