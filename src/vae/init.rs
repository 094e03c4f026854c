//! Initial parameters: uniform by fan-in, and PCA of the training windows for the linear path.

use crate::nn::Variables;

use candle_core::{Device, Var};

use super::architecture::Architecture;
use crate::error::Result;
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::pca::Pca;

/// Scale of the layers that stand beside the linear path, so that training starts from PCA.
const BESIDE_LINEAR: f64 = 0.1;
/// Smallest standard deviation of a component that its latent unit is scaled by.
const MIN_DEVIATION: f64 = 1e-3;

/// Parameters of an untrained model.
///
/// With a linear path, `pca` sets it so that mu has the prior's standard deviation and
/// dec(mu) is the PCA reconstruction. `psi` is where psi starts.
///
/// # Errors
/// When a tensor cannot be made.
pub fn initialise(
    architecture: &Architecture,
    pca: Option<&Pca>,
    (sigma_prior, psi): (f64, f64),
    seed: u64,
) -> Result<Variables> {
    let mut parameters = Variables::new();
    for (i, (name, shape)) in architecture.shapes().into_iter().enumerate() {
        let values = match (name.as_str(), pca) {
            ("psi", _) => vec![psi as f32],
            // psi is global at first.
            ("local.weight" | "local.bias", _) => vec![0.0; shape.iter().product()],
            ("encoder.linear.weight", Some(pca)) => encoder_weight(pca, architecture, sigma_prior),
            ("encoder.linear.bias", Some(pca)) => encoder_bias(pca, architecture, sigma_prior),
            ("decoder.linear.weight", Some(pca)) => decoder_weight(pca, architecture, sigma_prior),
            ("decoder.linear.bias", Some(pca)) => pca.mean.iter().map(|&x| x as f32).collect(),
            ("encoder.head.bias", Some(_)) => {
                // A posterior half as wide as the prior.
                let mut bias = vec![0.0; architecture.latent];
                bias.resize(2 * architecture.latent, (2.0 * (0.5 * sigma_prior).ln()) as f32);
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
