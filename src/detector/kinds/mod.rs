//! The detectors: one file each, and here each by its name.

mod amplitude;
mod carla;
mod classifier;
mod ensemble;
mod reconstruction;

use serde::Serialize;

use super::evidence;
use super::spec::DetectorSpec;
use crate::config::DetectorKind;

/// How the detector `kind` is trained, kept and loaded.
pub(crate) fn spec(kind: DetectorKind) -> &'static dyn DetectorSpec {
    match kind {
        DetectorKind::Reconstruction => &reconstruction::ReconstructionSpec,
        DetectorKind::Amplitude => &amplitude::AmplitudeSpec,
        DetectorKind::Classifier => &classifier::ClassifierSpec,
        DetectorKind::Carla => &carla::CarlaSpec,
        DetectorKind::Ensemble => &ensemble::EnsembleSpec,
        DetectorKind::Evidence => &evidence::spec::EvidenceSpec,
    }
}

/// Detectors that score without training.
pub(super) fn untrained() -> impl Iterator<Item = DetectorKind> {
    DetectorKind::ALL.into_iter().filter(|kind| !is_trained(*kind))
}

/// Whether a model has to hold something of a detector before it can score.
pub fn is_trained(kind: DetectorKind) -> bool {
    spec(kind).is_trained()
}

/// Whether a detector scores with the VAE, or is trained or calibrated on what the VAE generates.
pub fn needs_vae(kind: DetectorKind) -> bool {
    spec(kind).needs_vae()
}

/// A detector, as other languages see it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DetectorRow {
    /// Its name as an option.
    pub name: &'static str,
    /// [`is_trained`].
    pub trained: bool,
    /// [`needs_vae`].
    pub needs_vae: bool,
    /// Optimiser steps of its nets where none are given.
    pub steps: usize,
}

/// The table of detectors.
pub fn detector_table() -> Vec<DetectorRow> {
    let row = |kind: DetectorKind| {
        let (name, steps) = (kind.name(), spec(kind).steps());
        DetectorRow { name, trained: is_trained(kind), needs_vae: needs_vae(kind), steps }
    };
    DetectorKind::ALL.map(row).to_vec()
}
