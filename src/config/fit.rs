//! Options of `fit`: windows, architecture, losses and training.

use serde::{Deserialize, Serialize};

use super::check::{count, number, optional_count};
use super::preset::Preset;
use crate::error::{Error, Result};

/// Smallest window: below it the decoder has nothing to upsample.
pub const MIN_WINDOW: usize = 8;
/// Largest window that is accepted.
pub const MAX_WINDOW: usize = 65_536;
/// Training windows that an automatic `stride` aims at.
pub const WINDOW_BUDGET: usize = 4096;

/// Form of the KL term against the compact prior N(0, sigma_prior^2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kl {
    /// 1/2 mean((mu^2 + sigma^2)/sigma_prior^2 - 1 - log sigma^2 + 2 log sigma_prior).
    Exact,
    /// -1/2 mean(1 + log sigma^2 - mu^2 - sigma^2/sigma_prior^2 + 2 log sigma_prior).
    Printed,
}

/// What psi scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perturbation {
    /// z~ = mu + psi * sigma * eps.
    Variance,
    /// z~ = psi * mu + sigma * eps (the paper's ablation).
    Mean,
}

/// Distance that the two hinges of the perturbation loss bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Margin {
    /// d(X^, X~): how far the perturbed reconstruction is from the plain one.
    Reconstruction,
    /// d(X, X~), beside d(X, X^), as printed.
    Input,
}

/// Learning rate over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// 20 warm-up steps, then a cosine down to 2 % of the rate.
    Cosine,
    /// The same rate at every step.
    Constant,
}

/// How a window is fitted: windows, architecture, losses and training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitConfig {
    /// Window size W in rows (>= 8).
    pub window: usize,
    /// Rows between training windows; `None`: as dense as [`WINDOW_BUDGET`] windows allow.
    pub stride: Option<usize>,
    /// Largest share of the values of a window that may be missing, in [0, 1). They are filled in for
    /// the nets, and no loss and no score counts them. A model whose bytes do not say is one of 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_null: f64,
    /// Latent units L; `None`: 100 for several features, 50 for one.
    pub latent: Option<usize>,
    /// Channels of the TCN and of the decoder.
    pub channels: usize,
    /// Residual blocks of the encoder; `None`: until the receptive field covers the window.
    pub levels: Option<usize>,
    /// Taps of the causal convolutions.
    pub kernel_size: usize,
    /// Share of the hidden units of a block that is dropped in training.
    pub dropout: f64,
    /// How many of the first levels halve the resolution.
    pub decimation: usize,
    /// Whether a linear path, initialised with PCA, stands beside encoder and decoder.
    pub linear_path: bool,
    /// Standard deviation of the prior.
    pub sigma_prior: f64,
    /// Form of the KL term.
    pub kl: Kl,
    /// Lower bound of the perturbation distance.
    pub delta_min: f64,
    /// Upper bound of the perturbation distance.
    pub delta_max: f64,
    /// Weight of the reconstruction loss.
    pub alpha: f64,
    /// Weight of the perturbation loss.
    pub beta: f64,
    /// Weight of the zero-perturbation loss; `None`: 0.01, and 0 for one feature.
    pub gamma: Option<f64>,
    /// Weight of the KL loss; `None`: 0.01 divided by the live features.
    pub zeta: Option<f64>,
    /// What psi scales.
    pub perturbation: Perturbation,
    /// Distance that the hinges bound.
    pub margin: Margin,
    /// Whether psi is calibrated after training so that the median distance on held-out windows is
    /// the middle of the band (with `margin` "reconstruction" only).
    pub calibrate: bool,
    /// Whether the decoder's linear path is fitted once more after training, to the latent means,
    /// where that helps held-out windows.
    pub refit: bool,
    /// Whether psi and tau depend on the window: psi by a head on the latent mean, tau by the window's
    /// own variation.
    pub local: bool,
    /// Most kinds that the anomalies of a model are told apart in.
    pub kinds: usize,
    /// Most optimiser steps.
    pub steps: usize,
    /// Windows per step.
    pub batch_size: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Learning rate of psi, which is a parameter group of its own.
    pub psi_learning_rate: f64,
    /// Learning rate over the steps.
    pub schedule: Schedule,
    /// Largest norm of the gradient; `None`: not clipped.
    pub clip: Option<f64>,
    /// Steps after which training stops unless the validation loss fell by more than `min_gain`;
    /// `None`: never.
    pub patience: Option<usize>,
    /// Fall of the validation loss that pays for `patience` steps, in squared training deviations: of
    /// windows that vary as the training rows do, a gain of R2.
    #[serde(default)]
    pub min_gain: f64,
    /// Share of the windows, the last ones, that is held out.
    pub validation: f64,
    /// Seed.
    pub seed: u64,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            window: 200,
            stride: None,
            max_null: 0.1,
            latent: None,
            channels: 32,
            levels: None,
            kernel_size: 3,
            dropout: 0.0,
            decimation: 3,
            linear_path: true,
            sigma_prior: 0.5,
            kl: Kl::Exact,
            delta_min: 0.1,
            delta_max: 0.2,
            alpha: 1.0,
            beta: 0.1,
            gamma: None,
            zeta: None,
            perturbation: Perturbation::Variance,
            margin: Margin::Reconstruction,
            calibrate: true,
            refit: true,
            local: false,
            kinds: 6,
            steps: 200,
            batch_size: 64,
            learning_rate: 5e-3,
            psi_learning_rate: 0.05,
            schedule: Schedule::Cosine,
            clip: Some(5.0),
            patience: Some(75),
            min_gain: 0.002,
            validation: 0.1,
            seed: 0,
        }
    }
}

impl FitConfig {
    /// The paper's settings. `steps` is 1000 epochs of a budget of training windows.
    pub fn paper() -> Self {
        Self {
            stride: Some(1),
            decimation: 0,
            linear_path: false,
            kl: Kl::Printed,
            zeta: Some(0.1),
            margin: Margin::Input,
            calibrate: false,
            refit: false,
            steps: 1000 * WINDOW_BUDGET.div_ceil(100),
            batch_size: 100,
            learning_rate: 1e-4,
            psi_learning_rate: 1e-4,
            schedule: Schedule::Constant,
            clip: None,
            patience: None,
            min_gain: 0.0,
            ..Self::default()
        }
    }

    /// Trains for as long as the validation loss falls.
    pub fn thorough() -> Self {
        Self { steps: 800, patience: Some(200), min_gain: 0.0, ..Self::default() }
    }

    /// The values of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Default => Self::default(),
            Preset::Thorough => Self::thorough(),
            Preset::Paper => Self::paper(),
        }
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        count("window", self.window, MIN_WINDOW, MAX_WINDOW)?;
        optional_count("stride", self.stride, 1, usize::MAX)?;
        number("max_null", self.max_null, |x| (0.0..1.0).contains(&x), "in [0, 1)")?;
        optional_count("latent", self.latent, 1, 4096)?;
        count("channels", self.channels, 1, 1024)?;
        optional_count("levels", self.levels, 1, 16)?;
        count("kernel_size", self.kernel_size, 2, 15)?;
        number("dropout", self.dropout, |x| (0.0..1.0).contains(&x), "in [0, 1)")?;
        count("decimation", self.decimation, 0, 3)?;
        number("sigma_prior", self.sigma_prior, |x| x > 0.0, "> 0")?;
        number("delta_min", self.delta_min, |x| x >= 0.0, ">= 0")?;
        number("delta_max", self.delta_max, |x| x >= 0.0, ">= 0")?;
        if self.delta_min > self.delta_max {
            let allowed = format!("<= `delta_max` = {}", self.delta_max);
            return Err(Error::parameter("delta_min", self.delta_min, allowed));
        }
        number("alpha", self.alpha, |x| x >= 0.0, ">= 0")?;
        number("beta", self.beta, |x| x >= 0.0, ">= 0")?;
        number("gamma", self.gamma.unwrap_or(0.0), |x| x >= 0.0, ">= 0")?;
        number("zeta", self.zeta.unwrap_or(0.0), |x| x >= 0.0, ">= 0")?;
        count("kinds", self.kinds, 1, 64)?;
        count("steps", self.steps, 1, usize::MAX)?;
        count("batch_size", self.batch_size, 1, 1 << 16)?;
        number("learning_rate", self.learning_rate, |x| x > 0.0, "> 0")?;
        number("psi_learning_rate", self.psi_learning_rate, |x| x > 0.0, "> 0")?;
        number("clip", self.clip.unwrap_or(1.0), |x| x > 0.0, "> 0")?;
        optional_count("patience", self.patience, 1, usize::MAX)?;
        number("min_gain", self.min_gain, |x| x >= 0.0, ">= 0")?;
        number("validation", self.validation, |x| x > 0.0 && x <= 0.5, "in (0, 0.5]")
    }

    /// Most missing values of a window of `features` features.
    pub fn most_missing(&self, features: usize) -> usize {
        // A product such as 0.29 * 100 falls short of what it means by rounding.
        (self.max_null * (self.window * features) as f64 + 1e-9) as usize
    }

    /// Latent units for `features` live features.
    pub fn latent_for(&self, features: usize) -> usize {
        self.latent.unwrap_or(if features > 1 { 100 } else { 50 })
    }

    /// Weight of the zero-perturbation loss for `features` live features.
    pub fn gamma_for(&self, features: usize) -> f64 {
        self.gamma.unwrap_or(if features > 1 { 0.01 } else { 0.0 })
    }

    /// Weight of the KL loss for `features` live features.
    pub fn zeta_for(&self, features: usize) -> f64 {
        self.zeta.unwrap_or(0.01 / features.max(1) as f64)
    }
}

/// Whether an option is left out of a model's bytes: what is not there is 0.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
