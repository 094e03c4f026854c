//! Access to the values of tensors without a copy.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

use super::elementwise::through_relu;
use super::scratch::Scratch;

/// The gradient before the activation: masked by ReLU, or unchanged.
pub(super) enum Before<'a> {
    Masked(Scratch),
    Same(&'a [f32]),
}

impl<'a> Before<'a> {
    pub(super) fn new(gradient: &'a [f32], output: &[f32], relu: bool) -> Self {
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

/// The values of a contiguous CPU storage.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
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
