//! The net: encoder, decoder, and psi.

use crate::nn::Parameters;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::architecture::Architecture;
use super::decoder::Decoder;
use super::dropout::Dropout;
use super::encoder::Encoder;
use super::local::{Local, scaled};
use crate::config::Perturbation;
use crate::error::Result;

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

/// What one forward pass gives.
pub struct Output {
    /// Latent mean [B, L].
    pub mu: Tensor,
    /// log sigma^2 [B, L].
    pub log_variance: Tensor,
    /// X^ = dec(mu + sigma eps), [B, W, D].
    pub reconstruction: Tensor,
    /// X~, decoded from the perturbed latent, [B, W, D].
    pub perturbed: Tensor,
    /// X^ of all windows and then X~ of all, [2 B, W, D], as they were decoded.
    pub both: Tensor,
    /// h of the head that scales psi, [B, 1]; `None` where psi is global.
    pub log_factor: Option<Tensor>,
}

impl Vae {
    /// Takes the parameters named by [`Architecture::shapes`].
    ///
    /// # Errors
    /// When one is missing or of another shape.
    pub fn new(architecture: &Architecture, parameters: Parameters) -> Result<Self> {
        let named = parameters.iter().map(|(name, tensor)| (name.clone(), tensor.clone()));
        let vb = VarBuilder::from_tensors(named.collect(), DType::F32, &Device::Cpu);
        Ok(Self {
            architecture: architecture.clone(),
            encoder: Encoder::new(architecture, vb.pp("encoder"))?,
            decoder: Decoder::new(architecture, vb.pp("decoder"))?,
            psi: vb.get(1, "psi")?,
            local: architecture
                .local
                .then(|| Local::new(architecture.latent, vb.pp("local")))
                .transpose()?,
            parameters,
        })
    }

    /// The same net with another psi.
    pub(crate) fn with_psi(&self, psi: f64) -> Result<Self> {
        let mut parameters = self.parameters.clone();
        parameters.insert("psi".into(), Tensor::from_vec(vec![psi as f32], 1, &Device::Cpu)?);
        Self::new(&self.architecture, parameters)
    }

    /// Every parameter by its name.
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
    /// When the shape does not fit the model.
    pub fn encode(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(self.encoder.forward(x, None)?)
    }

    /// dec(mu) of windows [B, W, D], flat.
    ///
    /// # Errors
    /// When the shape does not fit the model.
    pub fn decode_mean(&self, x: &Tensor) -> Result<Vec<f32>> {
        let (mu, _) = self.encode(x)?;
        Ok(self.decode(&mu)?.flatten_all()?.to_vec1()?)
    }

    /// Windows [B, W, D] of latent vectors [B, L].
    ///
    /// # Errors
    /// When the shape does not fit the model.
    pub fn decode(&self, z: &Tensor) -> Result<Tensor> {
        Ok(self.decoder.forward(z)?)
    }

    /// X^ and X~ with the same eps [B, L]; `dropout` masks the encoder's hidden units.
    ///
    /// # Errors
    /// When a shape does not fit the model.
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

    /// dec(mu + noise) and behind it the perturbed twins, [2 B, W, D]; `psi` is [1] or [B, 1].
    ///
    /// # Errors
    /// When a shape does not fit the model.
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

    /// psi of windows with latent means [B, L], where the global one is `psi`: [1], or [B, 1] where
    /// psi is local.
    ///
    /// # Errors
    /// When the shape does not fit the model.
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
    /// When the parameter cannot be read.
    pub fn psi(&self) -> Result<f64> {
        Ok(f64::from(self.psi.to_vec1::<f32>()?.first().copied().unwrap_or(1.0)))
    }
}

/// sigma of log sigma^2.
pub(crate) fn sigma(log_variance: &Tensor) -> candle_core::Result<Tensor> {
    log_variance.affine(0.5, 0.0)?.exp()
}

/// z~ of mu and sigma eps, [B, L] each; psi is [1] or [B, 1].
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
