//! The decoder p(X | z): transposed convolutions and a linear path beside them; linear output,
//! because windows are z-scored.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::architecture::{Architecture, DOUBLINGS, OUTPUT_TAPS};
use super::tcn::{convolve, layer};
use crate::kernels::{Conv, Layer, conv_add, linear, upsample};

/// out(up(up(up(expand(z))))) + z B.
#[derive(Clone, Debug)]
pub struct Decoder {
    expand: (Tensor, Tensor),
    up: Vec<(Tensor, Tensor)>,
    out: Layer,
    linear: Option<(Tensor, Tensor)>,
    sizes: Architecture,
}

impl Decoder {
    /// Takes the parameters below `decoder`.
    pub fn new(architecture: &Architecture, vb: VarBuilder<'_>) -> Result<Self> {
        let (latent, channels) = (architecture.latent, architecture.channels);
        let start = architecture.decoded_rows() * channels;
        let pair = |name: &str, weight: (usize, usize), bias: usize| -> Result<(Tensor, Tensor)> {
            Ok((vb.get(weight, &format!("{name}.weight"))?, vb.get(bias, &format!("{name}.bias"))?))
        };
        let up = (0..DOUBLINGS)
            .map(|i| {
                let vb = vb.pp(format!("up.{i}"));
                Ok((vb.get((channels, 4, channels), "weight")?, vb.get(channels, "bias")?))
            })
            .collect::<Result<_>>()?;
        let values = architecture.values();
        Ok(Self {
            expand: pair("expand", (latent, start), start)?,
            up,
            out: layer(channels, architecture.features, Conv::same(OUTPUT_TAPS), vb.pp("out"))?,
            linear: architecture
                .linear_path
                .then(|| pair("linear", (latent, values), values))
                .transpose()?,
            sizes: architecture.clone(),
        })
    }

    /// [B, L] -> [B, W, D].
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let batch = z.dim(0)?;
        let Architecture { window, features, channels, .. } = self.sizes;
        let mut hidden = linear(z, &self.expand.0, &self.expand.1, true)?.reshape((
            batch,
            self.sizes.decoded_rows(),
            channels,
        ))?;
        for (weight, bias) in &self.up {
            hidden = upsample(&hidden, weight, bias)?;
        }
        let hidden = hidden.narrow(1, 0, window)?;
        match &self.linear {
            Some((weight, bias)) => {
                let linear = linear(z, weight, bias, false)?.reshape((batch, window, features))?;
                let Layer { weight, bias, geometry } = &self.out;
                conv_add(&hidden, weight, bias, *geometry, &linear)
            }
            None => convolve(&self.out, &hidden),
        }
    }
}
