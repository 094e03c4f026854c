//! CPU operations with their own backward, as candle custom ops.
//!
//! candle convolves over the last axis, has no backward for a transposed convolution and runs
//! element-wise work one pass at a time. Here tensors are channel-last [B, T, C], a convolution is
//! one matrix product per share of a batch, and bias and ReLU are applied to its result in place.
//! Each op has a twin in [`composed`], made of plain candle operations: the oracle of the tests.
//!
//! Every product runs on one thread: callers split a batch into shares of fixed size instead, so
//! that results do not depend on the number of threads.

pub mod composed;
mod conv;
mod linear;
mod scratch;
mod upsample;

pub use conv::{Conv, conv};
pub use linear::linear;
pub use upsample::upsample;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};
use gemm::Parallelism;
use scratch::Scratch;

/// A matrix in memory: data with the distance between rows and between columns.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
    col_step: usize,
}

impl<'a> View<'a> {
    /// Row-major [rows, cols].
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_step: cols, col_step: 1 }
    }

    /// The transpose, without a copy.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_step: self.col_step,
            col_step: self.row_step,
            ..self
        }
    }
}

/// `a` * `b`, row-major [a.rows, b.cols], on one thread.
pub(crate) fn matmul(a: View<'_>, b: View<'_>) -> Result<Vec<f32>> {
    let size = a.rows * b.cols;
    let mut out = Vec::with_capacity(size);
    check(a, b)?;
    // SAFETY: `out` has room for `size` values, all of which `product` writes.
    unsafe {
        product(a, b, out.as_mut_ptr());
        out.set_len(size);
    }
    Ok(out)
}

/// `a` * `b` into a buffer of the current thread.
fn matmul_scratch(a: View<'_>, b: View<'_>) -> Result<Scratch> {
    let mut out = Scratch::new(a.rows * b.cols);
    check(a, b)?;
    // SAFETY: `out` holds a.rows * b.cols values.
    unsafe { product(a, b, out.as_mut_ptr()) };
    Ok(out)
}

fn check(a: View<'_>, b: View<'_>) -> Result<()> {
    if a.cols != b.rows || a.data.len() < a.rows * a.cols || b.data.len() < b.rows * b.cols {
        bail!("matmul: {}x{} by {}x{}", a.rows, a.cols, b.rows, b.cols);
    }
    Ok(())
}

/// Writes all of `a` * `b`, also where the inner size is 0.
///
/// # Safety
/// `out` points to room for a.rows * b.cols values that nothing else uses, and `check` holds: the
/// values of a view lie within its data, since a transpose only swaps the steps.
unsafe fn product(a: View<'_>, b: View<'_>, out: *mut f32) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    // SAFETY: as demanded of the caller.
    unsafe {
        if k == 0 {
            std::ptr::write_bytes(out, 0, m * n);
            return;
        }
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            false,
            a.data.as_ptr(),
            a.col_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.col_step as isize,
            b.row_step as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Adds `bias` to every row and applies ReLU where asked, in place.
fn finish(out: &mut [f32], bias: &[f32], relu: bool) {
    for row in out.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value += bias;
        }
        if relu {
            row.iter_mut().for_each(|value| *value = value.max(0.0));
        }
    }
}

/// Gradient in front of the ReLU: passes where the output is positive.
fn through_relu(gradient: &[f32], output: &[f32]) -> Scratch {
    let mut masked = Scratch::new(gradient.len());
    for ((masked, gradient), output) in masked.iter_mut().zip(gradient).zip(output) {
        *masked = if *output > 0.0 { *gradient } else { 0.0 };
    }
    masked
}

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

/// Sum over rows of a row-major [_, cols] matrix: the gradient of a bias.
fn column_sums(rows: &[f32], cols: usize) -> Vec<f32> {
    let mut sums = vec![0f32; cols];
    for row in rows.chunks_exact(cols) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sums
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
