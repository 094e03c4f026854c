//! CPU operations with their own backward, as candle custom ops.
//!
//! candle convolves over the last axis, has no backward for a transposed convolution and runs
//! element-wise work one pass at a time. Here tensors are channel-last [B, T, C]. A convolution of
//! any stride, dilation and direction is a list of the input rows that each output row reads
//! (`tiles`), and what follows it (bias, residual, ReLU, or the gate of a ReLU's gradient) happens
//! in the registers that hold its sums. Linear layers are products of the `gemm` crate (`matrix`).
//! The encoder's residual blocks are one operation ([`blocks()`]), and gradients of weights are
//! gathered outside candle's graph ([`backward`]).
//!
//! Each op has a twin in [`composed`], made of plain candle operations, which runs on any device
//! that candle has and is the oracle of the tests.
//!
//! Every product runs on one thread: callers split a batch into shares of fixed size instead, so
//! that results do not depend on the number of threads. They depend on the machine: the sets of
//! vector instructions add in different orders.

mod blocks;
pub mod composed;
mod conv;
mod distances;
mod elementwise;
mod gradients;
mod linear;
mod matrix;
mod residual;
mod scratch;
mod tiles;
mod upsample;

pub use blocks::{Block, Layer, blocks};
pub use conv::{Conv, conv, conv_add};
pub use distances::{distances, row_squares};
pub(crate) use elementwise::squared_differences;
pub use gradients::{Gradients, Summed, backward};
pub use linear::linear;
pub(crate) use matrix::{View, matmul, matmul_into};
pub use residual::add_relu;
pub use upsample::upsample;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};
use elementwise::through_relu;
use scratch::Scratch;

/// The gradient in front of the activation: masked by ReLU, or as it is.
enum Before<'a> {
    Masked(Scratch),
    Same(&'a [f32]),
}

impl<'a> Before<'a> {
    fn new(gradient: &'a [f32], output: &[f32], relu: bool) -> Self {
        if relu { Self::Masked(through_relu(gradient, output)) } else { Self::Same(gradient) }
    }
}

impl std::ops::Deref for Before<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Masked(masked) => masked,
            Self::Same(gradient) => gradient,
        }
    }
}

/// The values behind a contiguous CPU storage.
fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a fused operation needs contiguous input"),
    }
}

/// Runs `read` on the values of contiguous CPU tensors.
pub(crate) fn with_slices<const N: usize, T>(
    tensors: [&Tensor; N],
    read: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let contiguous: Vec<Tensor> =
        tensors.iter().map(|tensor| tensor.contiguous()).collect::<Result<_>>()?;
    let guards: Vec<_> = contiguous.iter().map(Tensor::storage_and_layout).collect();
    let mut slices = [&[] as &[f32]; N];
    for (out, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *out = match &**storage {
            Storage::Cpu(storage) => slice(storage, layout)?,
            _ => bail!("a fused operation runs on the CPU"),
        };
    }
    read(slices)
}
