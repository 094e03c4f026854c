//! The encoder: a residual net over time (Wang et al., 2017, "Time series classification from
//! scratch with deep neural networks"), as narrow as CARLA's.
//!
//! Unlike theirs it has no normalisation layers, neither inside nor behind the pooling: they erase
//! the amplitude, which is what many anomalies are.

use candle_core::Tensor;

use crate::error::Result;
use crate::kernels::{Conv, Layer, add_relu, conv};
use crate::nn::Parameters;
use crate::nn::network::{Shapes, layer};

/// Taps of the three convolutions of a block.
const TAPS: [usize; 3] = [8, 5, 3];
/// Channels of the blocks.
const CHANNELS: [usize; 3] = [4, 8, 8];
/// Values of a representation.
pub(super) const WIDTH: usize = CHANNELS[2];

/// Windows [B, W, D] -> representations [B, 8].
#[derive(Clone, Debug)]
pub(super) struct Encoder(Vec<Block>);

/// relu(conv3(relu(conv5(relu(conv8(x))))) + skip(x)), x itself where channels stay as they are.
#[derive(Clone, Debug)]
struct Block {
    convolutions: [Layer; 3],
    skip: Option<Layer>,
}

/// As many output rows as input rows; an even kernel reads one more row behind than in front.
fn same(kernel: usize, relu: bool) -> Conv {
    let left = (kernel - 1) / 2;
    Conv { kernel, stride: 1, dilation: 1, left, right: kernel - 1 - left, relu }
}

fn convolve(layer: &Layer, x: &Tensor) -> Result<Tensor> {
    Ok(conv(x, &layer.weight, &layer.bias, layer.geometry)?)
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut hidden = x.clone();
        for layer in &self.convolutions {
            hidden = convolve(layer, &hidden)?;
        }
        let skipped = self.skip.as_ref().map(|skip| convolve(skip, x)).transpose()?;
        Ok(add_relu(&hidden, skipped.as_ref().unwrap_or(x))?)
    }
}

impl Encoder {
    /// Name and shape of every parameter.
    pub(super) fn shapes(features: usize) -> Shapes {
        let mut shapes = Shapes::new();
        let mut layer = |name: String, taps: usize, inputs: usize, outputs: usize| {
            shapes.push((format!("{name}.weight"), vec![taps, inputs, outputs]));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        };
        let mut inputs = features;
        for (i, outputs) in CHANNELS.into_iter().enumerate() {
            for (j, taps) in TAPS.into_iter().enumerate() {
                let inputs = if j == 0 { inputs } else { outputs };
                layer(format!("blocks.{i}.conv{}", j + 1), taps, inputs, outputs);
            }
            if inputs != outputs {
                layer(format!("blocks.{i}.skip"), 1, inputs, outputs);
            }
            inputs = outputs;
        }
        shapes
    }

    /// Takes the parameters named by [`Encoder::shapes`].
    pub(super) fn new(parameters: &Parameters, features: usize) -> Result<Self> {
        let mut blocks = Vec::with_capacity(CHANNELS.len());
        let mut inputs = features;
        for (i, outputs) in CHANNELS.into_iter().enumerate() {
            let at = |j: usize| {
                let geometry = same(TAPS[j], j + 1 < TAPS.len());
                layer(parameters, &format!("blocks.{i}.conv{}", j + 1), geometry)
            };
            let skip = (inputs != outputs)
                .then(|| layer(parameters, &format!("blocks.{i}.skip"), same(1, false)))
                .transpose()?;
            blocks.push(Block { convolutions: [at(0)?, at(1)?, at(2)?], skip });
            inputs = outputs;
        }
        Ok(Self(blocks))
    }

    /// Mean over time of what the last block gives.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut hidden = x.clone();
        for block in &self.0 {
            hidden = block.forward(&hidden)?;
        }
        Ok(hidden.mean(1)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::kernels::{backward, composed};
    use crate::nn::network::initialise;
    use crate::runtime::rng::{Purpose, Rng};

    fn windows(rows: usize, features: usize) -> Tensor {
        let mut rng = Rng::new(3, Purpose::Detector, [0, 0]);
        let values = rng.normals(2 * rows * features);
        Tensor::from_vec(values, (2, rows, features), &Device::Cpu).unwrap()
    }

    fn composed_forward(encoder: &Encoder, x: &Tensor) -> Tensor {
        let convolve = |layer: &Layer, x: &Tensor| {
            composed::conv(x, &layer.weight, &layer.bias, layer.geometry).unwrap()
        };
        let mut x = x.clone();
        for block in &encoder.0 {
            let inner = block.convolutions.iter().fold(x.clone(), |x, layer| convolve(layer, &x));
            let skipped = block.skip.as_ref().map_or(x.clone(), |skip| convolve(skip, &x));
            x = (inner + skipped).unwrap().relu().unwrap();
        }
        x.mean(1).unwrap()
    }

    /// Values and gradients of the fused net are those of plain candle operations.
    #[test]
    fn equals_plain_operations() {
        for (rows, features) in [(20, 3), (8, 8), (9, 1)] {
            let vars = initialise(&Encoder::shapes(features), 1, 0).unwrap();
            let parameters: Parameters =
                vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
            let encoder = Encoder::new(&parameters, features).unwrap();
            let x = windows(rows, features);
            let (fused, plain) = (encoder.forward(&x).unwrap(), composed_forward(&encoder, &x));
            assert_eq!(fused.dims(), [2, WIDTH]);
            let difference = |a: &Tensor, b: &Tensor| {
                let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
                d.max(0).unwrap().to_scalar::<f32>().unwrap()
            };
            assert!(difference(&fused, &plain) < 1e-5);
            let plain = plain.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let fused = [backward(&fused.sqr().unwrap().sum_all().unwrap()).unwrap()];
            for (name, var) in &vars {
                let var: &Var = var;
                let sum = crate::kernels::Summed::new(var.as_tensor(), &fused);
                let fused = sum.values(0..sum.len()).unwrap();
                let fused = Tensor::from_vec(fused, var.shape(), &Device::Cpu).unwrap();
                let plain = plain.get(var.as_tensor()).unwrap();
                assert!(difference(&fused, plain) < 1e-4, "{name}");
            }
        }
    }

    /// Not scaled away: a level twice as high has another representation.
    #[test]
    fn keeps_amplitude() {
        let parameters = initialise(&Encoder::shapes(1), 1, 0).unwrap();
        let parameters: Parameters =
            parameters.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        let encoder = Encoder::new(&parameters, 1).unwrap();
        let x = windows(32, 1);
        let of = |x: &Tensor| encoder.forward(x).unwrap().flatten_all().unwrap();
        let distance = (of(&x) - of(&(&x * 3.0).unwrap())).unwrap().sqr().unwrap();
        assert!(distance.sum_all().unwrap().to_scalar::<f32>().unwrap() > 1e-3);
    }
}
