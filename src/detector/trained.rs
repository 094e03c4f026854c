//! A trained detector, as stored in a model.

use serde::{Deserialize, Serialize};

use super::evidence::{Built, KeptEvidence};
use super::weights::Weights;
use crate::config::DetectConfig;
use crate::nn::Parameters;

/// A trained detector, as stored in a model.
#[derive(Clone, Debug)]
pub struct Trained {
    /// How it was trained.
    pub config: DetectConfig,
    pub(crate) learned: Learned,
    pub(crate) parameters: Parameters,
    /// The evidence, after its first use.
    pub(super) built: Built,
}

/// Results of training other than parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learned {
    /// Weights of an ensemble.
    pub weights: Option<Weights>,
    /// The normal class of every net of CARLA.
    pub normal_classes: Vec<usize>,
    /// Scales and references of the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<KeptEvidence>,
}

impl Trained {
    pub(crate) fn new(config: DetectConfig, learned: Learned, parameters: Parameters) -> Self {
        Self { config, learned, parameters, built: Built::default() }
    }
}
