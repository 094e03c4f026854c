//! Diagnostics of a fit; inference does not read them.

use crate::config::names;
use crate::vae::train::{Progress, StopReason};

/// Diagnostics of a fit. Numbers are `None` if no feature varies in training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// 1 - squared error / squared z-score on held-out windows, decoded from the mean.
    pub r2: Option<f64>,
    /// The same for PCA of the same rank on the same windows.
    pub r2_pca: Option<f64>,
    /// Latent units whose mean varies (variance > 0.01) over training windows.
    pub active_units: usize,
    /// Mean KL divergence per latent unit (exact form), in nats.
    pub kl: Option<f64>,
    /// Share of (held-out window, live feature) pairs that the deviation patch replaces, with other
    /// noise than tau was set on.
    pub patch_rate: Option<f64>,
    /// Share of held-out windows whose perturbation distance is within [delta_min, delta_max].
    pub in_band: Option<f64>,
    /// Lowest validation loss.
    pub loss: Option<f64>,
    /// Windows trained on.
    pub train_windows: usize,
    /// Windows held out.
    pub validation_windows: usize,
    /// Optimiser steps taken.
    pub steps: usize,
    /// Why training ended.
    pub stop_reason: Option<StopReason>,
    /// Warnings.
    pub health: Vec<Health>,
    /// Validations during training.
    pub history: Vec<Progress>,
    /// Where the VAE comes from.
    pub origin: VaeOrigin,
}

names! {
    /// Where the VAE of a model comes from.
    pub enum VaeOrigin {
        /// It was trained on the series.
        Own = "own",
        /// It was trained on several series, and fits this one.
        Shared = "shared",
    }
}

// `names!` cannot mark the default.
#[allow(clippy::derivable_impls)]
impl Default for VaeOrigin {
    fn default() -> Self {
        Self::Own
    }
}

impl VaeOrigin {
    /// Whether it is the default, which is not stored.
    pub(crate) fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

names! {
    /// A warning about a fit.
    pub enum Health {
        /// No latent unit carries information: the KL weight is too high, or the data is noise.
        PosteriorCollapse = "posterior_collapse",
        /// psi stayed at 1: perturbed windows equal their reconstructions.
        PsiAtOne = "psi_at_one",
        /// The deviation patch replaces almost nothing (below 1 %).
        PatchInert = "patch_inert",
        /// The deviation patch replaces almost everything (above 99 %).
        PatchTotal = "patch_total",
        /// The reconstruction is worse than PCA of the same rank by more than 0.05 of R2.
        Underfit = "underfit",
        /// Generated windows barely differ from their input (RMS below 1 % of a standard
        /// deviation).
        CopiesInput = "copies_input",
        /// A few training values are so extreme that they were excluded, or that they make up
        /// nearly all of a feature's variance.
        WildValues = "wild_values",
    }
}
