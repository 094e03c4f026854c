//! The net: encoder, decoder, and psi.

use std::ops::Range;

use candle_core::{D, Device, Tensor};

use super::architecture::Architecture;
use super::decoder::Decoder;
use super::dropout::Dropout;
use super::encoder::Encoder;
use super::init::Beginning;
use super::local::{Local, scaled};
use crate::config::Perturbation;
use crate::error::Result;
use crate::nn::parameters::{Declared, ParameterGroup, Scope, Start, Store};
use crate::nn::{Parameters, Shapes};
use crate::runtime::rng::{Purpose, Rng};

/// The VAE.
#[derive(Clone, Debug)]
pub struct Vae {
    architecture: Architecture,
    encoder: Encoder,
    decoder: Decoder,
    psi: Tensor,
    local: Option<Local>,
    parameters: Parameters,
}

/// Result of one forward pass.
pub struct Output {
    /// Latent mean [B, L].
    pub mu: Tensor,
    /// log sigma^2 [B, L].
    pub log_variance: Tensor,
    /// X^ = dec(mu + sigma eps), [B, W, D].
    pub reconstruction: Tensor,
    /// X~, decoded from the perturbed latent, [B, W, D].
    pub perturbed: Tensor,
    /// X^ of all windows, then X~ of all windows, [2 B, W, D], as decoded.
    pub both: Tensor,
    /// h of the head that scales psi, [B, 1]; `None` if psi is global.
    pub log_factor: Option<Tensor>,
}

impl Vae {
    /// Takes the parameters named by [`Vae::shapes`].
    ///
    /// # Errors
    /// If one is missing or has another shape.
    pub fn new(architecture: &Architecture, parameters: Parameters) -> Result<Self> {
        let build = |scope: &mut Scope<'_, '_>| Self::build(architecture, &Beginning::NONE, scope);
        let vae = Store::load(&parameters, build)?;
        Ok(Self { parameters, ..vae })
    }

    /// An untrained VAE, and its parameters.
    pub(crate) fn start(
        architecture: &Architecture,
        beginning: &Beginning<'_>,
        seed: u64,
    ) -> Result<(Self, Vec<Declared>)> {
        let stream = |i: u64| Rng::new(seed, Purpose::Init, [i, 0]);
        let build = |scope: &mut Scope<'_, '_>| Self::build(architecture, beginning, scope);
        Store::start(&stream, &Parameters::new(), build)
    }

    /// A copy for further training, and its parameters.
    pub(crate) fn resume(&self) -> Result<(Self, Vec<Declared>)> {
        let architecture = &self.architecture;
        let build = |scope: &mut Scope<'_, '_>| Self::build(architecture, &Beginning::NONE, scope);
        Store::resume(&self.parameters, build)
    }

    /// Name and shape of every parameter.
    ///
    /// # Errors
    /// None known.
    pub fn shapes(architecture: &Architecture) -> Result<Shapes> {
        Store::shapes(|scope| Self::build(architecture, &Beginning::NONE, scope))
    }

    /// Declares every parameter. In training, `parameters` stays empty.
    fn build(
        architecture: &Architecture,
        beginning: &Beginning<'_>,
        scope: &mut Scope<'_, '_>,
    ) -> Result<Self> {
        let encoder = Encoder::new(architecture, beginning, scope.part("encoder"))?;
        let decoder = Decoder::new(architecture, beginning, scope.part("decoder"))?;
        let linear = architecture
            .linear_path
            .then(|| beginning.linear_paths(architecture, scope))
            .transpose()?;
        let (to_latent, from_latent) = linear.map(|[a, b]| (a, b)).unzip();
        let psi = || vec![beginning.psi as f32];
        let psi = scope.parameter("psi", &[1], Start::Values(&psi), ParameterGroup::Psi)?;
        let local = architecture
            .local
            .then(|| Local::new(architecture.latent, scope.part("local")))
            .transpose()?;
        Ok(Self {
            architecture: architecture.clone(),
            encoder: encoder.with_linear(to_latent),
            decoder: decoder.with_linear(from_latent),
            psi,
            local,
            parameters: Parameters::new(),
        })
    }

    /// The same net with another psi.
    pub(crate) fn with_psi(&self, psi: f64) -> Result<Self> {
        let mut parameters = self.parameters.clone();
        parameters.insert("psi".into(), Tensor::from_vec(vec![psi as f32], 1, &Device::Cpu)?);
        Self::new(&self.architecture, parameters)
    }

    /// Every parameter by name.
    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Sizes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// mu and log sigma^2, [B, L] each, of windows [B, W, D].
    ///
    /// # Errors
    /// If the shape does not fit the model.
    pub fn encode(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(self.encoder.forward(x, None)?)
    }

    /// dec(mu) of windows [B, W, D], flat.
    ///
    /// # Errors
    /// If the shape does not fit the model.
    pub fn decode_mean(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(self.reconstruct(x)?.flatten_all()?.to_vec1()?)
    }

    /// dec(mu) of windows [B, W, D], [B, W, D].
    ///
    /// # Errors
    /// If the shape does not fit the model.
    pub fn reconstruct(&self, x: &Tensor) -> Result<Tensor> {
        self.decode(&self.encoder.mean(x)?)
    }

    /// Windows [B, W, D] of latent vectors [B, L].
    ///
    /// # Errors
    /// If the shape does not fit the model.
    pub fn decode(&self, z: &Tensor) -> Result<Tensor> {
        Ok(self.decoder.forward(z)?)
    }

    /// The rows `rows[i]` of the window of latent vector i of [B, L]: D values a row, one window after
    /// another.
    ///
    /// # Errors
    /// If the shape does not fit the model, or a row is outside of the window.
    pub fn decode_rows(&self, z: &Tensor, rows: &[Range<usize>]) -> Result<Vec<f32>> {
        Ok(self.decoder.rows(z, rows)?)
    }

    /// X^ and X~ with the same eps [B, L]; `dropout` masks the encoder's hidden units.
    ///
    /// # Errors
    /// If a shape does not fit the model.
    pub fn forward(
        &self,
        x: &Tensor,
        eps: &Tensor,
        perturbation: Perturbation,
        dropout: Option<&mut Dropout>,
    ) -> Result<Output> {
        let (mu, log_variance) = self.encoder.forward(x, dropout)?;
        let noise = (sigma(&log_variance)? * eps)?;
        let log_factor = self.local.as_ref().map(|local| local.log_factor(&mu)).transpose()?;
        let psi = match &log_factor {
            None => self.psi.clone(),
            Some(log_factor) => scaled(&self.psi, log_factor)?,
        };
        let both = self.decode_both(&mu, &noise, &psi, perturbation)?;
        let (reconstruction, perturbed) = halves(&both)?;
        Ok(Output { mu, log_variance, reconstruction, perturbed, both, log_factor })
    }

    /// dec(mu + noise), followed by the perturbed twins, [2 B, W, D]; `psi` is [1] or [B, 1].
    ///
    /// # Errors
    /// If a shape does not fit the model.
    pub fn decode_both(
        &self,
        mu: &Tensor,
        noise: &Tensor,
        psi: &Tensor,
        perturbation: Perturbation,
    ) -> Result<Tensor> {
        let plain = (mu + noise)?;
        let perturbed = perturb(mu, noise, psi, perturbation)?;
        Ok(self.decoder.forward(&Tensor::cat(&[plain, perturbed], 0)?)?)
    }

    /// psi of windows with latent means [B, L], given the global `psi`: [1], or [B, 1] if psi is
    /// local.
    ///
    /// # Errors
    /// If the shape does not fit the model.
    pub fn psi_at(&self, mu: &Tensor, psi: f64) -> Result<Tensor> {
        let psi = Tensor::from_vec(vec![psi as f32], 1, &Device::Cpu)?;
        match &self.local {
            None => Ok(psi),
            Some(local) => Ok(scaled(&psi, &local.log_factor(mu)?)?),
        }
    }

    /// The learned psi, >= 1.
    ///
    /// # Errors
    /// If the parameter cannot be read.
    pub fn psi(&self) -> Result<f64> {
        Ok(f64::from(self.psi.to_vec1::<f32>()?.first().copied().unwrap_or(1.0)))
    }
}

/// sigma from log sigma^2.
pub(crate) fn sigma(log_variance: &Tensor) -> candle_core::Result<Tensor> {
    log_variance.affine(0.5, 0.0)?.exp()
}

/// z~ from mu and sigma eps, [B, L] each; psi is [1] or [B, 1].
pub(crate) fn perturb(
    mu: &Tensor,
    noise: &Tensor,
    psi: &Tensor,
    perturbation: Perturbation,
) -> candle_core::Result<Tensor> {
    match perturbation {
        Perturbation::Variance => mu + noise.broadcast_mul(psi)?,
        Perturbation::Mean => mu.broadcast_mul(psi)? + noise,
    }
}

/// First and second half of a batch.
pub(crate) fn halves(both: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
    let half = both.dim(0)? / 2;
    Ok((both.narrow(0, 0, half)?, both.narrow(0, half, half)?))
}

/// d(A, B): mean squared error per window, [B], of windows [B, W, D].
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    (a - b)?.sqr()?.flatten_from(1)?.mean(D::Minus1)
}
