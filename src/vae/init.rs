//! Initial parameters: uniform by fan-in, and PCA of the training windows for the linear path.

use super::architecture::Architecture;
use crate::config::{FitConfig, Margin, Perturbation};
use crate::error::Result;
use crate::nn::parameters::{Linear, Scope, Start};
use crate::stats::pca::Pca;

/// Scale of the layers parallel to the linear path, so that training starts from PCA.
const BESIDE_LINEAR: f64 = 0.1;
/// Minimum standard deviation of a component when its latent unit is scaled.
const MIN_DEVIATION: f64 = 1e-3;

/// Minimum initial posterior variance, as a share of the prior's.
const LEAST_POSTERIOR: f64 = 1e-4;
/// Maximum initial psi.
const MAX_PSI: f64 = 64.0;

/// Initial values of an untrained net.
///
/// With a linear path, `pca` sets it so that mu has the prior's standard deviation, dec(mu) is the
/// PCA reconstruction, and sigma minimises L_recon and L_KL. Decoded, unit j adds s_j v_j / F to
/// the mean squared error, for a posterior variance of s_j times the prior's and a component of
/// variance v_j in windows of F values. With the KL term over L units, the sum is minimal at s_j =
/// 1 / (1 + w v_j), w = 2 alpha L / (zeta F): the posterior of a linear VAE (Lucas et al., NeurIPS
/// 2019). w is bounded by the least s.
#[derive(Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub pca: Option<&'a Pca>,
    pub sigma_prior: f64,
    pub psi: f64,
    /// w.
    pub noise_weight: f64,
}

impl<'a> Beginning<'a> {
    /// For a net that is loaded, without initial values.
    pub(super) const NONE: Self = Self { pca: None, sigma_prior: 1.0, psi: 1.0, noise_weight: 0.0 };

    /// For a net that is trained.
    pub(super) fn new(
        architecture: &Architecture,
        pca: Option<&'a Pca>,
        config: &FitConfig,
    ) -> Self {
        let zeta = config.zeta_for(architecture.features) * architecture.values() as f64;
        let optimum = 2.0 * config.alpha * architecture.latent as f64 / zeta;
        let noise_weight = optimum.min(most_weight(pca));
        let mut beginning = Self { pca, sigma_prior: config.sigma_prior, psi: 1.0, noise_weight };
        beginning.psi = beginning.first_psi(architecture, config);
        beginning
    }

    /// With PCA, the psi that puts the mean distance in the middle of its bounds. Without PCA, a
    /// value above 1: at psi = 1, X~ equals X^, and the gradient of d(X^, X~) with respect to psi
    /// is 0.
    fn first_psi(&self, architecture: &Architecture, config: &FitConfig) -> f64 {
        let Some(pca) = self.pca.filter(|_| config.margin == Margin::Reconstruction) else {
            return if config.margin == Margin::Input { 1.0 } else { 2.0 };
        };
        let variances = (0..architecture.latent).map(|j| variance(pca, j));
        let moved: f64 = match config.perturbation {
            Perturbation::Variance => variances.map(|v| self.posterior(v) * v).sum(),
            Perturbation::Mean => variances.sum(),
        };
        let target = 0.5 * (config.delta_min + config.delta_max) * architecture.values() as f64;
        (1.0 + (target / moved.max(f64::MIN_POSITIVE)).sqrt()).min(MAX_PSI)
    }

    /// s of a component of variance `v`.
    fn posterior(&self, v: f64) -> f64 {
        1.0 / (1.0 + self.noise_weight * v)
    }

    /// Initial values of a layer parallel to the linear path; `bias` if PCA sets it.
    pub(super) fn beside_linear<'b>(
        &self,
        fan_in: usize,
        bias: &'b dyn Fn() -> Vec<f32>,
    ) -> [Start<'b>; 2] {
        match self.pca {
            None => [Start::Uniform { fan_in, scale: 1.0 }; 2],
            Some(_) => [Start::Uniform { fan_in, scale: BESIDE_LINEAR }, Start::Values(bias)],
        }
    }

    /// Of the encoder's head: mu only comes from the linear path, log sigma^2 is that of the
    /// posterior.
    pub(super) fn head_bias(&self, latent: usize) -> Vec<f32> {
        let mut bias = vec![0.0; latent];
        let variance = |j| self.pca.map_or(0.0, |pca| variance(pca, j));
        let log = |j| 2.0 * self.sigma_prior.ln() + self.posterior(variance(j)).ln();
        bias.extend((0..latent).map(|j| log(j) as f32));
        bias
    }

    /// The linear paths of encoder and decoder.
    pub(super) fn linear_paths(
        &self,
        architecture: &Architecture,
        scope: &mut Scope<'_, '_>,
    ) -> Result<[Linear; 2]> {
        let (values, latent) = (architecture.values(), architecture.latent);
        let Some(pca) = self.pca else {
            let encoder = scope.linear("encoder.linear", values, latent)?;
            return Ok([encoder, scope.linear("decoder.linear", latent, values)?]);
        };
        let weight = || encoder_weight(pca, architecture, self.sigma_prior);
        let bias = || encoder_bias(pca, architecture, self.sigma_prior);
        let starts = [Start::Values(&weight), Start::Values(&bias)];
        let encoder = scope.pair("encoder.linear", &[values, latent], starts)?;
        let weight = || decoder_weight(pca, architecture, self.sigma_prior);
        let bias = || pca.mean.iter().map(|&x| x as f32).collect();
        let starts = [Start::Values(&weight), Start::Values(&bias)];
        Ok([encoder.into(), scope.pair("decoder.linear", &[latent, values], starts)?.into()])
    }
}

/// The largest w whose least posterior variance is allowed: all units then add the same noise to a
/// decoded window. With bounds for single units instead, the largest components would make most of the
/// noise, and distances of perturbed windows would vary more.
fn most_weight(pca: Option<&Pca>) -> f64 {
    let largest = pca.map_or(0.0, |pca| variance(pca, 0));
    (1.0 / LEAST_POSTERIOR - 1.0) / largest.max(f64::MIN_POSITIVE)
}

/// Variance of component `j`; 0 after the last one.
fn variance(pca: &Pca, j: usize) -> f64 {
    pca.variances.get(j).map_or(0.0, |variance| variance.max(0.0))
}

/// Standard deviation of component `j`, bounded away from 0.
fn deviation(pca: &Pca, j: usize) -> f64 {
    pca.variances[j].max(0.0).sqrt().max(MIN_DEVIATION)
}

/// A [W * D, L]: component j scaled to the prior's standard deviation.
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
