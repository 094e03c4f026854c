//! The decoder p(X | z): transposed convolutions and a parallel linear path. The output is linear,
//! because windows are z-scores.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::architecture::{Architecture, DOUBLINGS, OUTPUT_TAPS};
use super::init::Beginning;
use crate::kernels::{Affine, Conv, Decoding, Layer, decode, decode_rows};
use crate::nn::parameters::{Linear, Scope, Start};

/// out(up(up(up(expand(z))))) + z B.
#[derive(Clone, Debug)]
pub struct Decoder {
    expand: Linear,
    after: Decoding,
    /// Rows and channels of the expanded latent.
    start: [usize; 2],
}

impl Decoder {
    /// Declares its parameters, except those of the linear path.
    pub(super) fn new(
        architecture: &Architecture,
        beginning: &Beginning<'_>,
        mut scope: Scope<'_, '_>,
    ) -> crate::Result<Self> {
        let Architecture { channels, features, window, .. } = *architecture;
        let start = [architecture.decoded_rows(), channels];
        let expand = scope.linear("expand", architecture.latent, start[0] * channels)?;
        // In a transposed convolution of stride 2, two taps reach each output.
        let uniform = Start::Uniform { fan_in: 2 * channels, scale: 1.0 };
        let mut up = |i: usize| {
            let shape = [channels, 4, channels];
            let (weight, bias) = scope.pair(&format!("up.{i}"), &shape, [uniform, uniform])?;
            Ok(Affine { weight, bias })
        };
        let ups = (0..DOUBLINGS).map(&mut up).collect::<crate::Result<_>>()?;
        let bias = || vec![0.0; features];
        let starts = beginning.beside_linear(OUTPUT_TAPS * channels, &bias);
        let (weight, bias) = scope.pair("out", &[OUTPUT_TAPS, channels, features], starts)?;
        let out = Layer { weight, bias, geometry: Conv::same(OUTPUT_TAPS) };
        Ok(Self { expand, after: Decoding { ups, out, linear: None, rows: window }, start })
    }

    /// Adds a parallel linear path.
    pub(super) fn with_linear(self, linear: Option<Linear>) -> Self {
        let linear = linear.map(Linear::into_affine);
        Self { after: Decoding { linear, ..self.after }, ..self }
    }

    /// [B, L] -> [B, W, D].
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        decode(&self.expanded(z)?, z, &self.after)
    }

    /// The rows `rows[i]` of window i, flat, one window after another.
    pub(super) fn rows(&self, z: &Tensor, rows: &[Range<usize>]) -> Result<Vec<f32>> {
        decode_rows(&self.expanded(z)?, z, &self.after, rows)
    }

    /// [B, L] -> [B, T, C].
    fn expanded(&self, z: &Tensor) -> Result<Tensor> {
        let [rows, channels] = self.start;
        self.expand.forward_relu(z)?.reshape((z.dim(0)?, rows, channels))
    }
}
