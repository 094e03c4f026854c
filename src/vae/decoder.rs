//! The decoder p(X | z): transposed convolutions and a parallel linear path. The output is linear,
//! because windows are z-scores.

use candle_core::{Result, Tensor};

use super::architecture::{Architecture, DOUBLINGS, OUTPUT_TAPS};
use super::init::Beginning;
use super::tcn::convolve;
use crate::kernels::{Conv, Layer, conv_add, upsample};
use crate::nn::parameters::{Linear, Scope, Start};

/// out(up(up(up(expand(z))))) + z B.
#[derive(Clone, Debug)]
pub struct Decoder {
    expand: Linear,
    up: Vec<(Tensor, Tensor)>,
    out: Layer,
    linear: Option<Linear>,
    sizes: Architecture,
}

impl Decoder {
    /// Declares its parameters, except those of the linear path.
    pub(super) fn new(
        architecture: &Architecture,
        beginning: &Beginning<'_>,
        mut scope: Scope<'_, '_>,
    ) -> crate::Result<Self> {
        let (channels, features) = (architecture.channels, architecture.features);
        let start = architecture.decoded_rows() * channels;
        let expand = scope.linear("expand", architecture.latent, start)?;
        // In a transposed convolution of stride 2, two taps reach each output.
        let uniform = Start::Uniform { fan_in: 2 * channels, scale: 1.0 };
        let up = (0..DOUBLINGS)
            .map(|i| scope.pair(&format!("up.{i}"), &[channels, 4, channels], [uniform, uniform]))
            .collect::<crate::Result<_>>()?;
        let bias = || vec![0.0; features];
        let starts = beginning.beside_linear(OUTPUT_TAPS * channels, &bias);
        let (weight, bias) = scope.pair("out", &[OUTPUT_TAPS, channels, features], starts)?;
        let out = Layer { weight, bias, geometry: Conv::same(OUTPUT_TAPS) };
        Ok(Self { expand, up, out, linear: None, sizes: architecture.clone() })
    }

    /// Adds a parallel linear path.
    pub(super) fn with_linear(self, linear: Option<Linear>) -> Self {
        Self { linear, ..self }
    }

    /// [B, L] -> [B, W, D].
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let batch = z.dim(0)?;
        let Architecture { window, features, channels, .. } = self.sizes;
        let mut hidden =
            self.expand.forward_relu(z)?.reshape((batch, self.sizes.decoded_rows(), channels))?;
        for (weight, bias) in &self.up {
            hidden = upsample(&hidden, weight, bias)?;
        }
        let hidden = hidden.narrow(1, 0, window)?;
        match &self.linear {
            Some(linear) => {
                let linear = linear.forward(z)?.reshape((batch, window, features))?;
                let Layer { weight, bias, geometry } = &self.out;
                conv_add(&hidden, weight, bias, *geometry, &linear)
            }
            None => convolve(&self.out, &hidden),
        }
    }
}
