//! Sizes of a model.

use serde::{Deserialize, Serialize};

use crate::config::FitConfig;

/// Number of times that the decoder doubles the resolution.
pub const DOUBLINGS: usize = 3;
/// Channels to which an undecimated encoder is reduced before its head.
pub(super) const REDUCED_CHANNELS: usize = 8;
/// Taps of the decoder's last convolution.
pub(super) const OUTPUT_TAPS: usize = 5;

/// Sizes of a model, which determine the shapes of its parameters.
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
    /// Number of the first blocks that halve the resolution.
    pub decimation: usize,
    /// Whether a linear path runs in parallel to encoder and decoder.
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

    /// Input rows read by the last output row of the encoder's blocks.
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

    /// Output rows of the encoder's blocks.
    pub fn encoded_rows(&self) -> usize {
        (0..self.levels).fold(self.window, |rows, i| rows.div_ceil(self.block(i).0))
    }

    /// Rows at the start of the decoder.
    pub fn decoded_rows(&self) -> usize {
        self.window.div_ceil(1 << DOUBLINGS)
    }

    /// Values of one window, W * D.
    pub fn values(&self) -> usize {
        self.window * self.features
    }
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
