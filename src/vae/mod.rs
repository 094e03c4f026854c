//! Step 4, the TCN-VAE: windows [B, W, D] to X^ and X~ of the same shape.
//!
//! X is a batch of z-scored windows over the live features. The encoder gives mu and log sigma^2 in
//! R^L; one eps ~ N(0, I) gives z = mu + sigma eps and z~ = mu + psi sigma eps; the decoder gives
//! X^ = dec(z) and X~ = dec(z~) (arXiv 2502.08262, section 4).

mod decoder;
mod encoder;
pub mod init;
mod local;
pub mod loss;
pub mod pca;
pub(crate) mod readout;
mod tcn;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

pub use decoder::Decoder;
pub use encoder::Encoder;

use crate::config::{FitConfig, Perturbation};
use crate::error::Result;
use local::{Local, scaled};

/// How often the decoder doubles the resolution.
pub const DOUBLINGS: usize = 3;
/// Channels that an undecimated encoder is reduced to before its head.
const REDUCED_CHANNELS: usize = 8;
/// Taps of the decoder's last convolution.
const OUTPUT_TAPS: usize = 5;
/// Bounds of log sigma^2.
const LOG_VARIANCE: (f32, f32) = (-12.0, 6.0);

/// Sizes of a model; everything that its parameter shapes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// Window size W.
    pub window: usize,
    /// Live features D.
    pub features: usize,
    /// Latent units L.
    pub latent: usize,
    /// Channels C of the hidden layers.
    pub channels: usize,
    /// Residual blocks of the encoder.
    pub levels: usize,
    /// Taps k of their convolutions.
    pub kernel_size: usize,
    /// How many of the first blocks halve the resolution.
    pub decimation: usize,
    /// Whether a linear path stands beside encoder and decoder.
    pub linear_path: bool,
    /// Whether psi is a head on the latent mean.
    #[serde(default)]
    pub local: bool,
}

impl Architecture {
    /// Sizes for `features` live features.
    pub fn new(config: &FitConfig, features: usize) -> Self {
        let mut architecture = Self {
            window: config.window,
            features,
            latent: config.latent_for(features),
            channels: config.channels,
            levels: config.levels.unwrap_or(1),
            kernel_size: config.kernel_size,
            decimation: config.decimation,
            linear_path: config.linear_path,
            local: config.local,
        };
        if config.levels.is_none() {
            while architecture.receptive_field() < config.window && architecture.levels < 16 {
                architecture.levels += 1;
            }
            architecture.levels = architecture.levels.max(config.decimation);
        }
        architecture
    }

    /// Stride and dilation of block `i`.
    pub fn block(&self, i: usize) -> (usize, usize) {
        if i < self.decimation { (2, 1) } else { (1, 1 << (i - self.decimation)) }
    }

    /// Input rows that the last output row of the encoder's blocks sees.
    pub fn receptive_field(&self) -> usize {
        let mut step = 1;
        let mut field = 1;
        for i in 0..self.levels {
            let (stride, dilation) = self.block(i);
            field += (self.kernel_size - 1) * dilation * step;
            step *= stride;
            field += (self.kernel_size - 1) * dilation * step;
        }
        field
    }

    /// Rows that the encoder's blocks leave.
    pub fn encoded_rows(&self) -> usize {
        (0..self.levels).fold(self.window, |rows, i| rows.div_ceil(self.block(i).0))
    }

    /// Rows that the decoder starts from.
    pub fn decoded_rows(&self) -> usize {
        self.window.div_ceil(1 << DOUBLINGS)
    }

    /// Values of one window, W * D.
    pub fn values(&self) -> usize {
        self.window * self.features
    }

    /// Name and shape of every parameter.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (c, k) = (self.channels, self.kernel_size);
        let mut shapes = Vec::new();
        let mut layer = |name: String, weight: Vec<usize>, bias: usize| {
            shapes.push((format!("{name}.weight"), weight));
            shapes.push((format!("{name}.bias"), vec![bias]));
        };
        for i in 0..self.levels {
            let inputs = if i == 0 { self.features } else { c };
            layer(format!("encoder.blocks.{i}.conv1"), vec![k, inputs, c], c);
            layer(format!("encoder.blocks.{i}.conv2"), vec![k, c, c], c);
            if inputs != c || self.block(i).0 != 1 {
                layer(format!("encoder.blocks.{i}.skip"), vec![1, inputs, c], c);
            }
        }
        if self.decimation == 0 {
            layer("encoder.reduce".into(), vec![1, c, REDUCED_CHANNELS], REDUCED_CHANNELS);
        }
        let hidden = self.encoded_rows() * if self.decimation == 0 { REDUCED_CHANNELS } else { c };
        layer("encoder.head".into(), vec![hidden, 2 * self.latent], 2 * self.latent);
        let start = self.decoded_rows() * c;
        layer("decoder.expand".into(), vec![self.latent, start], start);
        for i in 0..DOUBLINGS {
            layer(format!("decoder.up.{i}"), vec![c, 4, c], c);
        }
        layer("decoder.out".into(), vec![OUTPUT_TAPS, c, self.features], self.features);
        if self.linear_path {
            layer("encoder.linear".into(), vec![self.values(), self.latent], self.latent);
            layer("decoder.linear".into(), vec![self.latent, self.values()], self.values());
        }
        shapes.push(("psi".into(), vec![1]));
        if self.local {
            shapes.extend(Local::shapes(self.latent));
        }
        shapes
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

/// The VAE.
#[derive(Clone, Debug)]
pub struct Vae {
    architecture: Architecture,
    encoder: Encoder,
    decoder: Decoder,
    psi: Tensor,
    local: Option<Local>,
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
    pub fn new(architecture: &Architecture, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            architecture: architecture.clone(),
            encoder: Encoder::new(architecture, vb.pp("encoder"))?,
            decoder: Decoder::new(architecture, vb.pp("decoder"))?,
            psi: vb.get(1, "psi")?,
            local: architecture
                .local
                .then(|| Local::new(architecture.latent, vb.pp("local")))
                .transpose()?,
        })
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
        let noise = (log_variance.affine(0.5, 0.0)?.exp()? * eps)?;
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
        let perturbed = match perturbation {
            Perturbation::Variance => (mu + noise.broadcast_mul(psi)?)?,
            Perturbation::Mean => (mu.broadcast_mul(psi)? + noise)?,
        };
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

/// Seeded dropout of the encoder's hidden units, in training only.
pub struct Dropout {
    /// Share of the units that is dropped, in (0, 1).
    pub rate: f64,
    /// Where the masks come from.
    pub rng: crate::rng::Rng,
}

impl Dropout {
    fn apply(&mut self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let keep = (1.0 / (1.0 - self.rate)) as f32;
        let mask: Vec<f32> = (0..hidden.elem_count())
            .map(|_| if self.rng.uniform() < self.rate { 0.0 } else { keep })
            .collect();
        hidden * Tensor::from_vec(mask, hidden.shape(), hidden.device())?
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

/// A parameter source over named tensors, on the CPU in 32 bits.
pub(crate) fn var_builder(
    tensors: std::collections::HashMap<String, Tensor>,
) -> VarBuilder<'static> {
    VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_levels_cover_the_window() {
        let config = FitConfig::default();
        let default = Architecture::new(&config, 3);
        assert_eq!((default.levels, default.latent), (6, 100));
        assert!(default.receptive_field() >= 200);
        let paper = Architecture::new(&FitConfig::paper(), 1);
        assert_eq!((paper.levels, paper.latent), (6, 50));
        let small = Architecture::new(&FitConfig { window: 8, ..config }, 1);
        assert_eq!((small.levels, small.encoded_rows(), small.decoded_rows()), (3, 1, 1));
    }
}
