//! The same operations, composed of plain candle operations.
//!
//! They run on any candle device, and the fused ones are tested against them.

use candle_core::{Result, Tensor};

use super::{Block, Conv, Decoding, Layer};

/// Twin of [`super::linear`].
///
/// # Errors
/// If shapes do not agree.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.matmul(weight)?.broadcast_add(bias)
}

/// Twin of [`super::linear_relu`].
///
/// # Errors
/// If shapes do not agree.
pub fn linear_relu(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    linear(x, weight, bias)?.relu()
}

/// Twin of [`super::conv`]: a sum of one product per tap over the zero-padded input.
///
/// # Errors
/// If shapes do not agree.
pub fn conv(x: &Tensor, weight: &Tensor, bias: &Tensor, geometry: Conv) -> Result<Tensor> {
    let (batch, rows, channels) = x.dims3()?;
    let outputs = bias.elem_count();
    let out_rows = geometry.output_rows(rows);
    let padded = x.pad_with_zeros(1, geometry.left, geometry.right)?;
    let mut sum = Tensor::zeros((batch * out_rows, outputs), x.dtype(), x.device())?;
    for k in 0..geometry.kernel {
        let source = (0..out_rows).map(|t| (t * geometry.stride + k * geometry.dilation) as u32);
        let index = Tensor::from_iter(source, x.device())?;
        let tap = padded.index_select(&index, 1)?.reshape((batch * out_rows, channels))?;
        sum = (sum + tap.matmul(&weight.get(k)?)?)?;
    }
    let y = sum.broadcast_add(bias)?.reshape((batch, out_rows, outputs))?;
    if geometry.relu { y.relu() } else { Ok(y) }
}

/// Twin of [`super::upsample`]: even and odd output rows apart, then interleaved.
///
/// # Errors
/// If shapes do not agree.
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, rows, channels) = x.dims3()?;
    let outputs = bias.elem_count();
    let padded = x.pad_with_zeros(1, 1, 1)?;
    let tap = |offset: usize, j: usize| -> Result<Tensor> {
        let x = padded.narrow(1, offset, rows)?.contiguous()?.reshape((batch * rows, channels))?;
        x.matmul(&weight.narrow(1, j, 1)?.squeeze(1)?.contiguous()?)
    };
    let even = (tap(1, 1)? + tap(0, 3)?)?.reshape((batch, rows, 1, outputs))?;
    let odd = (tap(1, 2)? + tap(2, 0)?)?.reshape((batch, rows, 1, outputs))?;
    let both = Tensor::cat(&[even, odd], 2)?.reshape((batch, 2 * rows, outputs))?;
    both.broadcast_add(bias)?.relu()
}

/// Twin of [`super::blocks`].
///
/// # Errors
/// If shapes do not agree.
pub fn blocks(x: &Tensor, blocks: &[Block]) -> Result<Tensor> {
    let convolve = |x: &Tensor, layer: &Layer| {
        conv(x, &layer.weight, &layer.bias, Conv { relu: false, ..layer.geometry })
    };
    let mut hidden = x.clone();
    for block in blocks {
        let inner = convolve(&convolve(&hidden, &block.first)?.relu()?, &block.second)?;
        let skipped = match &block.skip {
            Some(skip) => convolve(&hidden, skip)?,
            None => hidden,
        };
        hidden = (inner + skipped)?.relu()?;
    }
    Ok(hidden)
}

/// Twin of [`super::decode()`].
///
/// # Errors
/// If shapes do not agree.
pub fn decode(hidden: &Tensor, z: &Tensor, decoding: &Decoding) -> Result<Tensor> {
    let Decoding { ups, out, linear: path, rows } = decoding;
    let mut hidden = hidden.clone();
    for up in ups {
        hidden = upsample(&hidden, &up.weight, &up.bias)?;
    }
    let hidden = hidden.narrow(1, 0, *rows)?;
    let geometry = Conv { relu: false, ..out.geometry };
    let decoded = conv(&hidden, &out.weight, &out.bias, geometry)?;
    match path {
        Some(path) => &decoded + linear(z, &path.weight, &path.bias)?.reshape(decoded.shape())?,
        None => Ok(decoded),
    }
}
