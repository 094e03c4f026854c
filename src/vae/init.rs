//! Initial parameters: uniform by fan-in, and PCA of the training windows for the linear path.

use super::architecture::Architecture;
use crate::error::Result;
use crate::nn::parameters::{Linear, Scope, Start};
use crate::stats::pca::Pca;

/// Scale of the layers that stand beside the linear path, so that training starts from PCA.
const BESIDE_LINEAR: f64 = 0.1;
/// Smallest standard deviation of a component that its latent unit is scaled by.
const MIN_DEVIATION: f64 = 1e-3;

/// What an untrained net starts from.
///
/// With a linear path, `pca` sets it so that mu has the prior's standard deviation and
/// dec(mu) is the PCA reconstruction.
#[derive(Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub pca: Option<&'a Pca>,
    pub sigma_prior: f64,
    pub psi: f64,
}

impl<'a> Beginning<'a> {
    /// For a net that is loaded: nothing is started.
    pub(super) const NONE: Self = Self { pca: None, sigma_prior: 1.0, psi: 1.0 };

    /// Starts of a layer beside the linear path; `bias` where that is set by PCA.
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

    /// Of the encoder's head: a posterior half as wide as the prior.
    pub(super) fn head_bias(&self, latent: usize) -> Vec<f32> {
        let mut bias = vec![0.0; latent];
        bias.resize(2 * latent, (2.0 * (0.5 * self.sigma_prior).ln()) as f32);
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
