//! Sizes of a model.

use serde::{Deserialize, Serialize};

use super::local::Local;
use crate::config::FitConfig;

/// How often the decoder doubles the resolution.
pub const DOUBLINGS: usize = 3;
/// Channels that an undecimated encoder is reduced to before its head.
pub(super) const REDUCED_CHANNELS: usize = 8;
/// Taps of the decoder's last convolution.
pub(super) const OUTPUT_TAPS: usize = 5;

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
