//! Initial parameters: uniform by fan-in, and PCA of the training windows for the linear path.

use std::collections::HashMap;

use candle_core::{Device, Var};

use super::Architecture;
use super::pca::Pca;
use crate::config::{FitConfig, Margin, Perturbation};
use crate::error::Result;
use crate::rng::{Purpose, Rng};

/// Scale of the layers that stand beside the linear path, so that training starts from PCA.
const BESIDE_LINEAR: f64 = 0.1;
/// Smallest standard deviation of a component that its latent unit is scaled by.
const MIN_DEVIATION: f64 = 1e-3;

/// Smallest and largest posterior variance to start from, as shares of the prior's.
const POSTERIOR: (f64, f64) = (1e-4, 1.0);
/// Largest psi to start from.
const MAX_PSI: f64 = 64.0;

/// Where sigma and psi start.
#[derive(Clone, Debug)]
pub struct Start {
    /// Standard deviation of the prior.
    pub sigma_prior: f64,
    /// psi.
    pub psi: f64,
    /// sigma^2 of every latent unit, as a share of the prior's; nothing without a linear path.
    pub posterior: Vec<f64>,
}

impl Start {
    /// Of a model that starts as PCA: the optimum of L_recon and L_KL over sigma, and the psi that
    /// puts the mean distance in the middle of the band.
    ///
    /// Decoded, unit j adds s_j v_j / F to the mean squared error, for a posterior variance of s_j
    /// times the prior's and a component of variance v_j in windows of F values. With the KL term
    /// over L units the sum is least at s_j = 1 / (1 + 2 alpha L v_j / (zeta F)): the posterior of a
    /// linear VAE (Lucas et al., NeurIPS 2019).
    pub fn of(architecture: &Architecture, pca: Option<&Pca>, config: &FitConfig) -> Self {
        let (latent, values) = (architecture.latent as f64, architecture.values() as f64);
        let Some(pca) = pca else {
            return Self {
                sigma_prior: config.sigma_prior,
                psi: plain_psi(config),
                posterior: Vec::new(),
            };
        };
        let weight =
            2.0 * config.alpha * latent / (config.zeta_for(architecture.features) * values);
        let variances: Vec<f64> = (0..architecture.latent).map(|j| variance(pca, j)).collect();
        let share = |v: &f64| (1.0 / (1.0 + weight * v)).clamp(POSTERIOR.0, POSTERIOR.1);
        let posterior: Vec<f64> = variances.iter().map(share).collect();
        let moved: f64 = match config.perturbation {
            Perturbation::Variance => posterior.iter().zip(&variances).map(|(s, v)| s * v).sum(),
            Perturbation::Mean => variances.iter().sum(),
        };
        let target = 0.5 * (config.delta_min + config.delta_max);
        let psi = match config.margin {
            Margin::Reconstruction => 1.0 + (target * values / moved.max(f64::MIN_POSITIVE)).sqrt(),
            Margin::Input => plain_psi(config),
        };
        Self { sigma_prior: config.sigma_prior, psi: psi.min(MAX_PSI), posterior }
    }

    /// log sigma^2 of unit `j`.
    fn log_variance(&self, j: usize) -> f32 {
        (2.0 * self.sigma_prior.ln() + self.posterior[j].ln()) as f32
    }
}

/// Where psi starts without PCA: at 1, X~ is X^, and the gradient of d(X^, X~) with respect to psi is
/// 0.
fn plain_psi(config: &FitConfig) -> f64 {
    match config.margin {
        Margin::Reconstruction => 2.0,
        Margin::Input => 1.0,
    }
}

/// Variance along component `j`; 0 beyond the last.
fn variance(pca: &Pca, j: usize) -> f64 {
    pca.variances.get(j).map_or(0.0, |variance| variance.max(0.0))
}

/// Parameters of an untrained model.
///
/// With a linear path, `pca` sets it so that mu has the prior's standard deviation and
/// dec(mu) is the PCA reconstruction.
///
/// # Errors
/// When a tensor cannot be made.
pub fn initialise(
    architecture: &Architecture,
    pca: Option<&Pca>,
    start: &Start,
    seed: u64,
) -> Result<HashMap<String, Var>> {
    let sigma_prior = start.sigma_prior;
    let mut parameters = HashMap::new();
    for (i, (name, shape)) in architecture.shapes().into_iter().enumerate() {
        let values = match (name.as_str(), pca) {
            ("psi", _) => vec![start.psi as f32],
            // psi is global at first.
            ("local.weight" | "local.bias", _) => vec![0.0; shape.iter().product()],
            ("encoder.linear.weight", Some(pca)) => encoder_weight(pca, architecture, sigma_prior),
            ("encoder.linear.bias", Some(pca)) => encoder_bias(pca, architecture, sigma_prior),
            ("decoder.linear.weight", Some(pca)) => decoder_weight(pca, architecture, sigma_prior),
            ("decoder.linear.bias", Some(pca)) => pca.mean.iter().map(|&x| x as f32).collect(),
            ("encoder.head.bias", Some(_)) => {
                let mut bias = vec![0.0; architecture.latent];
                bias.extend((0..architecture.latent).map(|j| start.log_variance(j)));
                bias
            }
            ("decoder.out.bias", Some(_)) => vec![0.0; architecture.features],
            (name, pca) => {
                let beside = matches!(name, "encoder.head.weight" | "decoder.out.weight");
                let scale = if beside && pca.is_some() { BESIDE_LINEAR } else { 1.0 };
                let mut rng = Rng::new(seed, Purpose::Init, [i as u64, 0]);
                rng.symmetric(shape.iter().product(), scale * bound(name, architecture))
            }
        };
        parameters.insert(name, Var::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(parameters)
}

/// 1 / sqrt(fan-in) of the layer that parameter `name` belongs to.
fn bound(name: &str, architecture: &Architecture) -> f64 {
    let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
    let weight = format!("{layer}.weight");
    let shapes = architecture.shapes();
    let shape = shapes.iter().find(|(name, _)| *name == weight).map(|(_, shape)| &shape[..]);
    let fan_in: usize = match shape {
        // A transposed convolution [C, 4, O] of stride 2: two taps reach each output.
        Some([inputs, 4, _]) if layer.starts_with("decoder.up") => 2 * inputs,
        Some([taps, inputs, _]) => taps * inputs,
        Some([inputs, _]) => *inputs,
        _ => 1,
    };
    1.0 / (fan_in.max(1) as f64).sqrt()
}

/// Standard deviation of component `j`, kept away from 0.
fn deviation(pca: &Pca, j: usize) -> f64 {
    pca.variances[j].max(0.0).sqrt().max(MIN_DEVIATION)
}

/// A [W * D, L]: component j scaled to the prior's deviation.
fn encoder_weight(pca: &Pca, architecture: &Architecture, sigma_prior: f64) -> Vec<f32> {
    let latent = architecture.latent;
    let mut weight = vec![0.0; architecture.values() * latent];
    for (j, component) in pca.components.iter().enumerate().take(latent) {
        let scale = sigma_prior / deviation(pca, j);
        for (i, value) in component.iter().enumerate() {
            weight[i * latent + j] = (value * scale) as f32;
        }
    }
    weight
}

/// -mean A, [L].
fn encoder_bias(pca: &Pca, architecture: &Architecture, sigma_prior: f64) -> Vec<f32> {
    let mut bias = vec![0.0; architecture.latent];
    for (j, component) in pca.components.iter().enumerate().take(architecture.latent) {
        let dot: f64 = component.iter().zip(&pca.mean).map(|(c, m)| c * m).sum();
        bias[j] = (-dot * sigma_prior / deviation(pca, j)) as f32;
    }
    bias
}

/// B [L, W * D]: the inverse scaling.
fn decoder_weight(pca: &Pca, architecture: &Architecture, sigma_prior: f64) -> Vec<f32> {
    let mut weight = Vec::with_capacity(architecture.latent * architecture.values());
    for (j, component) in pca.components.iter().enumerate().take(architecture.latent) {
        let scale = deviation(pca, j) / sigma_prior;
        weight.extend(component.iter().map(|value| (value * scale) as f32));
    }
    weight.resize(architecture.latent * architecture.values(), 0.0);
    weight
}
