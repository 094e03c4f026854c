//! One residual block of dilated causal convolutions over time (Bai et al., 2018), without
//! normalisation layers: these would remove the amplitude, which the VAE needs.

use candle_core::{Result, Tensor};

use super::architecture::Architecture;
use super::dropout::Dropout;
use crate::kernels::{Block, Conv, Layer, add_relu, conv};
use crate::nn::parameters::Scope;

/// [B, T, C] -> [B, T', O].
pub(super) fn convolve(layer: &Layer, x: &Tensor) -> Result<Tensor> {
    conv(x, &layer.weight, &layer.bias, layer.geometry)
}

/// Block `i` of the encoder: relu(conv2(relu(conv1(x))) + skip(x)).
pub(super) fn block(
    architecture: &Architecture,
    i: usize,
    mut scope: Scope<'_, '_>,
) -> crate::Result<Block> {
    let (stride, dilation) = architecture.block(i);
    let (kernel, channels) = (architecture.kernel_size, architecture.channels);
    let inputs = if i == 0 { architecture.features } else { channels };
    let geometry = Conv { relu: true, ..Conv::causal(kernel, stride, dilation) };
    let first = scope.conv("conv1", inputs, channels, geometry)?;
    let geometry = Conv::causal(kernel, 1, dilation);
    let second = scope.conv("conv2", channels, channels, geometry)?;
    let skip = (inputs != channels || stride != 1)
        .then(|| scope.conv("skip", inputs, channels, Conv::causal(1, stride, 1)))
        .transpose()?;
    Ok(Block { first, second, skip })
}

/// [B, T, C] -> [B, ceil(T / stride), channels], with hidden units dropped.
pub(super) fn with_dropout(block: &Block, x: &Tensor, dropout: &mut Dropout) -> Result<Tensor> {
    let hidden = dropout.apply(&convolve(&block.first, x)?)?;
    let hidden = convolve(&block.second, &hidden)?;
    match &block.skip {
        Some(skip) => add_relu(&hidden, &convolve(skip, x)?),
        None => add_relu(&hidden, x),
    }
}
