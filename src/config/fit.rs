//! Options of `fit`: windows, architecture, losses and training.

use super::declare::{options, words};
use super::preset::Preset;
use super::stored::is_default;
use super::table::{FITS, above, any, at_least, between};
use crate::error::{Error, Result};

/// Smallest window: the decoder cannot upsample less.
pub const MIN_WINDOW: usize = 8;
/// Largest window.
pub const MAX_WINDOW: usize = 65_536;
/// Maximum number of latent units.
const MOST_LATENT: usize = 4096;
/// Number of training windows that an automatic `stride` aims at.
pub const WINDOW_BUDGET: usize = 4096;

words! {
    /// Form of the KL term against the compact prior N(0, sigma_prior^2).
    pub enum Kl {
        /// 1/2 mean((mu^2 + sigma^2)/sigma_prior^2 - 1 - log sigma^2 + 2 log sigma_prior).
        Exact = "exact",
        /// -1/2 mean(1 + log sigma^2 - mu^2 - sigma^2/sigma_prior^2 + 2 log sigma_prior).
        Printed = "printed",
    }
}

words! {
    /// What psi scales.
    pub enum Perturbation {
        /// z~ = mu + psi * sigma * eps.
        Variance = "variance",
        /// z~ = psi * mu + sigma * eps (the paper's ablation).
        Mean = "mean",
    }
}

words! {
    /// Distance that the two hinges of the perturbation loss bound.
    pub enum Margin {
        /// d(X^, X~): how far the perturbed reconstruction is from the plain one.
        Reconstruction = "reconstruction",
        /// d(X, X~), next to d(X, X^), as printed.
        Input = "input",
    }
}

words! {
    /// Learning rate over the steps.
    pub enum Schedule {
        /// 20 warm-up steps, then a cosine decay to 2 % of the rate.
        Cosine = "cosine",
        /// The same rate at every step.
        Constant = "constant",
    }
}

options! {
    /// How a model is fitted: windows, architecture, losses and training.
    pub struct FitConfig of "model and training", for FITS;

    /// Rows of a window.
    window: usize = 200 => between(MIN_WINDOW as f64, MAX_WINDOW as f64).symbol("W");
    /// Rows between training windows.
    stride: Option<usize> = None => at_least(1.0)
        .verbs(&["fit", "generate", "events", "score", "label", "alarms", "reconstruct"])
        .auto("about 4,096 windows");
    /// Largest share of missing values in a window; they are interpolated for the nets and ignored
    /// in losses and scores.
    #[serde(default, skip_serializing_if = "is_default")]
    max_null: f64 = 0.1 => between(0.0, 1.0).below_high();
    /// Latent units.
    latent: Option<usize> = None => between(1.0, MOST_LATENT as f64)
        .auto("100; 50 for one feature; twice as many if shared, and twice that for unlike groups")
        .symbol("L");
    /// Channels of the convolutions.
    channels: usize = 32 => between(1.0, 1024.0);
    /// Residual blocks of the encoder.
    levels: Option<usize> = None => between(1.0, 16.0).auto("until the receptive field covers a window");
    /// Taps of a convolution.
    kernel_size: usize = 3 => between(2.0, 15.0);
    /// Share of the hidden units of a block that is dropped in training.
    dropout: f64 = 0.0 => between(0.0, 1.0).below_high();
    /// Number of the first levels that halve the resolution.
    decimation: usize = 3 => between(0.0, 3.0);
    /// Whether linear maps, initialised by PCA, run in parallel to the encoder and decoder.
    linear_path: bool = true => any();
    /// Standard deviation of the latent prior.
    sigma_prior: f64 = 0.5 => above(0.0).symbol("sigma_prior");
    /// Form of the KL term.
    kl: Kl = Kl::Exact => any().symbol("L_KL");
    /// Lower bound of the perturbation distance.
    delta_min: f64 = 0.1 => at_least(0.0).symbol("delta_min");
    /// Upper bound of the perturbation distance.
    delta_max: f64 = 0.2 => at_least(0.0).symbol("delta_max");
    /// Weight of the reconstruction loss.
    alpha: f64 = 1.0 => at_least(0.0).symbol("alpha");
    /// Weight of the perturbation loss.
    beta: f64 = 0.1 => at_least(0.0).symbol("beta");
    /// Weight of the zero-perturbation loss.
    gamma: Option<f64> = None => at_least(0.0).auto("0.01; 0 for one feature").symbol("gamma");
    /// Weight of the KL loss.
    zeta: Option<f64> = None => at_least(0.0).auto("0.01 / live features").symbol("zeta");
    /// What psi scales: the latent noise, or the latent mean.
    perturbation: Perturbation = Perturbation::Variance => any().symbol("psi");
    /// Reference of the perturbation distance: the reconstruction, or the input.
    margin: Margin = Margin::Reconstruction => any();
    /// Whether psi is calibrated after training, so that the median perturbation distance on
    /// held-out windows is the middle of its bounds (with `margin` "reconstruction" only).
    calibrate: bool = true => any();
    /// Whether the decoder's linear map is refitted after training, if that lowers the error on
    /// held-out windows.
    refit: bool = true => any();
    /// Whether psi and tau depend on the window: psi through a head on its latent mean, tau through
    /// its variation.
    local: bool = false => any();
    /// Maximum number of clusters of the generated anomalies.
    kinds: usize = 6 => between(1.0, 64.0);
    /// Maximum number of optimiser steps.
    steps: usize = 200 => at_least(1.0).symbol("1000 epochs");
    /// Windows per step.
    batch_size: usize = 24 => between(1.0, 65_536.0);
    /// Adam's learning rate.
    learning_rate: f64 = 5e-3 => above(0.0);
    /// Adam's learning rate for psi.
    psi_learning_rate: f64 = 0.05 => above(0.0);
    /// Schedule of the learning rate.
    schedule: Schedule = Schedule::Cosine => any();
    /// Maximum norm of the gradient.
    clip: Option<f64> = Some(5.0) => above(0.0);
    /// Training stops if the validation loss does not fall by more than `min_gain` within this many
    /// steps.
    patience: Option<usize> = Some(75) => at_least(1.0);
    /// Minimum fall of the validation loss within `patience` steps, in squared training standard
    /// deviations: approximately a gain in R2.
    #[serde(default)]
    min_gain: f64 = 0.002 => at_least(0.0);
    /// Share of the windows that is held out, taken from the end.
    validation: f64 = 0.1 => between(0.0, 0.5).above_low();
    /// Random seed.
    seed: u64 = 0 => at_least(0.0);
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

    /// Trains while the validation loss falls.
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
        self.check_ranges()?;
        if self.delta_min > self.delta_max {
            let allowed = format!("<= `delta_max` = {}", self.delta_max);
            return Err(Error::parameter("delta_min", self.delta_min, allowed));
        }
        Ok(())
    }

    /// Maximum number of missing values in a window of `features` features.
    pub fn most_missing(&self, features: usize) -> usize {
        // Rounding must not lower the product, as in 0.29 * 100.
        (self.max_null * (self.window * features) as f64 + 1e-9) as usize
    }

    /// Latent units for `features` live features.
    pub fn latent_for(&self, features: usize) -> usize {
        self.latent.unwrap_or(if features > 1 { 100 } else { 50 })
    }

    /// The same for a VAE that series of `features` features share: with twice as many latent units
    /// if these are not given.
    pub fn for_fleet(&self, features: usize) -> Self {
        Self { latent: Some(self.latent.unwrap_or(2 * self.latent_for(features))), ..self.clone() }
    }

    /// The same with twice as many latent units, up to half of the values of a window.
    pub fn wider(&self, features: usize) -> Self {
        let latent = self.latent_for(features);
        let most = (self.window * features / 2).min(MOST_LATENT);
        Self { latent: Some(latent.max(most.min(2 * latent))), ..self.clone() }
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
