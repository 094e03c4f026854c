//! One residual block of dilated causal convolutions over time (Bai et al., 2018), without
//! normalisation layers: they would erase the amplitude that the VAE has to keep.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::{Architecture, Dropout};
use crate::kernels::{Conv, add_relu, conv};

/// relu(conv2(relu(conv1(x))) + skip(x)).
#[derive(Clone, Debug)]
pub struct Block {
    conv1: Layer,
    conv2: Layer,
    skip: Option<Layer>,
}

/// Weight [K, C, O], bias [O] and geometry of one convolution.
#[derive(Clone, Debug)]
pub struct Layer {
    weight: Tensor,
    bias: Tensor,
    geometry: Conv,
}

impl Layer {
    /// A convolution from `inputs` to `outputs` channels.
    pub fn new(inputs: usize, outputs: usize, geometry: Conv, vb: VarBuilder<'_>) -> Result<Self> {
        let weight = vb.get((geometry.kernel, inputs, outputs), "weight")?;
        Ok(Self { weight, bias: vb.get(outputs, "bias")?, geometry })
    }

    /// [B, T, C] -> [B, T', O].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        conv(x, &self.weight, &self.bias, self.geometry)
    }
}

impl Block {
    /// Block `i` of the encoder.
    pub fn new(architecture: &Architecture, i: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let (stride, dilation) = architecture.block(i);
        let (kernel, channels) = (architecture.kernel_size, architecture.channels);
        let inputs = if i == 0 { architecture.features } else { channels };
        let first = Conv::causal(kernel, stride, dilation, true);
        let second = Conv::causal(kernel, 1, dilation, false);
        let pointwise = Conv::causal(1, stride, 1, false);
        let skip = (inputs != channels || stride != 1)
            .then(|| Layer::new(inputs, channels, pointwise, vb.pp("skip")))
            .transpose()?;
        Ok(Self {
            conv1: Layer::new(inputs, channels, first, vb.pp("conv1"))?,
            conv2: Layer::new(channels, channels, second, vb.pp("conv2"))?,
            skip,
        })
    }

    /// [B, T, C] -> [B, ceil(T / stride), channels].
    pub fn forward(&self, x: &Tensor, dropout: Option<&mut Dropout>) -> Result<Tensor> {
        let mut hidden = self.conv1.forward(x)?;
        if let Some(dropout) = dropout {
            hidden = dropout.apply(&hidden)?;
        }
        let hidden = self.conv2.forward(&hidden)?;
        match &self.skip {
            Some(skip) => add_relu(&hidden, &skip.forward(x)?),
            None => add_relu(&hidden, x),
        }
    }
}
