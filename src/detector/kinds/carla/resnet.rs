//! The encoder: a residual net over time (Wang et al., 2017, "Time series classification from
//! scratch with deep neural networks"), with the width of CARLA's.
//!
//! Unlike theirs, it has no normalisation layers, before or after the pooling: these would remove
//! the amplitude, which defines many anomalies.

use candle_core::Tensor;

use crate::error::Result;
use crate::kernels::{Conv, Layer, add_relu, conv};
use crate::nn::parameters::Scope;

/// Taps of the three convolutions of a block.
const TAPS: [usize; 3] = [8, 5, 3];
/// Channels of the blocks.
const CHANNELS: [usize; 3] = [4, 8, 8];
/// Length of a representation.
pub(super) const WIDTH: usize = CHANNELS[2];

/// Windows [B, W, D] -> representations [B, 8].
#[derive(Clone, Debug)]
pub(super) struct ResNet(Vec<ResidualBlock>);

/// relu(conv3(relu(conv5(relu(conv8(x))))) + skip(x)); the skip is x itself if the number of
/// channels does not change.
#[derive(Clone, Debug)]
struct ResidualBlock {
    convolutions: [Layer; 3],
    skip: Option<Layer>,
}

/// As many output rows as input rows; an even kernel reads one more row after a row than before it.
fn same(kernel: usize) -> Conv {
    let left = (kernel - 1) / 2;
    Conv { kernel, stride: 1, dilation: 1, left, right: kernel - 1 - left, relu: false }
}

fn convolve(layer: &Layer, x: &Tensor) -> Result<Tensor> {
    Ok(conv(x, &layer.weight, &layer.bias, layer.geometry)?)
}

impl ResidualBlock {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut hidden = x.clone();
        for layer in &self.convolutions {
            hidden = convolve(layer, &hidden)?;
        }
        let skipped = self.skip.as_ref().map(|skip| convolve(skip, x)).transpose()?;
        Ok(add_relu(&hidden, skipped.as_ref().unwrap_or(x))?)
    }
}

impl ResNet {
    /// Declares its parameters, for windows of `features` features.
    pub(super) fn build(features: usize, scope: &mut Scope<'_, '_>) -> Result<Self> {
        let mut blocks = Vec::with_capacity(CHANNELS.len());
        let mut inputs = features;
        for (i, outputs) in CHANNELS.into_iter().enumerate() {
            let mut block = scope.part(format!("blocks.{i}"));
            let mut at = |j: usize, inputs: usize| {
                let geometry = Conv { relu: j + 1 < TAPS.len(), ..same(TAPS[j]) };
                block.conv(&format!("conv{}", j + 1), inputs, outputs, geometry)
            };
            let convolutions = [at(0, inputs)?, at(1, outputs)?, at(2, outputs)?];
            let skip = (inputs != outputs)
                .then(|| block.conv("skip", inputs, outputs, same(1)))
                .transpose()?;
            blocks.push(ResidualBlock { convolutions, skip });
            inputs = outputs;
        }
        Ok(Self(blocks))
    }

    /// Mean over time of the last block's output.
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
    use candle_core::Device;

    use super::*;
    use crate::kernels::{backward, composed};
    use crate::nn::Parameters;
    use crate::nn::parameters::{Declared, Store};
    use crate::runtime::rng::{Purpose, Rng};

    fn windows(rows: usize, features: usize) -> Tensor {
        let mut rng = Rng::new(3, Purpose::Detector, [0, 0]);
        let values = rng.normals(2 * rows * features);
        Tensor::from_vec(values, (2, rows, features), &Device::Cpu).unwrap()
    }

    fn started(features: usize) -> (ResNet, Vec<Declared>) {
        let stream = |i: u64| Rng::new(1, Purpose::DetectorInit, [0, i]);
        let build = |scope: &mut Scope<'_, '_>| ResNet::build(features, scope);
        Store::start(&stream, &Parameters::new(), build).unwrap()
    }

    fn composed_forward(encoder: &ResNet, x: &Tensor) -> Tensor {
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

    /// The fused net has the values and gradients of plain candle operations.
    #[test]
    fn equals_plain_operations() {
        for (rows, features) in [(20, 3), (8, 8), (9, 1)] {
            let (encoder, declared) = started(features);
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
            for Declared { name, var, .. } in &declared {
                let var = var.as_ref().unwrap();
                let sum = crate::kernels::Summed::new(var.as_tensor(), &fused);
                let fused = sum.values(0..sum.len()).unwrap();
                let fused = Tensor::from_vec(fused, var.shape(), &Device::Cpu).unwrap();
                let plain = plain.get(var.as_tensor()).unwrap();
                assert!(difference(&fused, plain) < 1e-4, "{name}");
            }
        }
    }

    /// Amplitude matters: a level twice as high has another representation.
    #[test]
    fn keeps_amplitude() {
        let (encoder, _) = started(1);
        let x = windows(32, 1);
        let encode = |x: &Tensor| encoder.forward(x).unwrap().flatten_all().unwrap();
        let distance = (encode(&x) - encode(&(&x * 3.0).unwrap())).unwrap().sqr().unwrap();
        assert!(distance.sum_all().unwrap().to_scalar::<f32>().unwrap() > 1e-3);
    }
}
