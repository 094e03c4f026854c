//! A trained detector, as a model keeps it.

use serde::{Deserialize, Serialize};

use super::carla::Carla;
use super::classifier::Classifier;
use super::ensemble::{self, Ensemble, Weights};
use super::evidence::{Built, Kept};
use super::score_rows::Detector;
use crate::config::{DetectConfig, DetectorKind};
use crate::error::Result;
use crate::nn::Parameters;
use crate::nn::parameters::Store;

/// A trained detector as it is kept in a model.
#[derive(Clone, Debug)]
pub struct Trained {
    /// How it was trained.
    pub config: DetectConfig,
    pub(crate) learned: Learned,
    pub(crate) parameters: Parameters,
    /// The evidence, where it has been put together.
    pub(super) built: Built,
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
    pub evidence: Option<Kept>,
}

impl Learned {
    /// Whether training of a detector of this kind, of `features` features, can have found this.
    pub(crate) fn fits(&self, kind: DetectorKind, config: &DetectConfig, features: usize) -> bool {
        let weighted = self.weights.as_ref().is_some_and(Weights::is_sound);
        let classes = self.normal_classes.iter().filter(|class| **class < config.classes).count();
        let nets = if kind == DetectorKind::Carla { config.nets } else { 0 };
        config.detector == kind
            && self.evidence.is_some() == (kind == DetectorKind::Evidence)
            && self.evidence.iter().all(|kept| kept.is_sound(features))
            && weighted == (kind == DetectorKind::Ensemble)
            && self.normal_classes.len() == nets
            && classes == nets
    }
}

impl Trained {
    pub(crate) fn new(config: DetectConfig, learned: Learned, parameters: Parameters) -> Self {
        Self { config, learned, parameters, built: Built::default() }
    }

    /// Name and shape of the parameters of a detector of `features` features.
    pub(crate) fn shapes(
        kind: DetectorKind,
        features: usize,
        config: &DetectConfig,
        learned: &Learned,
    ) -> Result<Vec<(String, Vec<usize>)>> {
        if let Some(kept) = &learned.evidence {
            return Ok(kept.shapes());
        }
        let nets = match kind {
            DetectorKind::Reconstruction | DetectorKind::Amplitude | DetectorKind::Evidence => 0,
            DetectorKind::Classifier | DetectorKind::Carla => config.nets,
            DetectorKind::Ensemble => ensemble::SOURCES.len(),
        };
        let net = match kind {
            DetectorKind::Carla => Store::shapes(|scope| Carla::build(features, config, scope))?,
            _ => {
                Store::shapes(|scope| Classifier::build(features, config.detector_channels, scope))?
            }
        };
        let named = |i: usize| net.iter().map(move |(name, s)| (format!("{i}.{name}"), s.clone()));
        Ok((0..nets).flat_map(named).collect())
    }

    /// Net `i`, a classifier of `features` features.
    pub(super) fn classifier(&self, i: usize, features: usize) -> Result<Classifier> {
        let channels = self.config.detector_channels;
        Store::load(&self.net(i), |scope| Classifier::build(features, channels, scope))
    }

    /// The parameters of net `i`.
    pub(super) fn net(&self, i: usize) -> Parameters {
        let prefix = format!("{i}.");
        let of_net = self.parameters.iter().filter_map(|(name, tensor)| {
            name.strip_prefix(&prefix).map(|name| (name.to_string(), tensor.clone()))
        });
        of_net.collect()
    }
}

/// The nets of a trained detector of `features` features.
pub(super) fn build(
    kind: DetectorKind,
    trained: &Trained,
    features: usize,
) -> Result<Box<dyn Detector>> {
    let nets = |n: usize| -> Result<Vec<Classifier>> {
        (0..n).map(|i| trained.classifier(i, features)).collect()
    };
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
