//! Fused transposed convolution that doubles the resolution, + bias + ReLU, channel-last.
//!
//! Output row 2t sees input rows t - 1 and t, row 2t + 1 sees t and t + 1. With the windows laid end
//! to end and a zero row between them, both are products of overlapping pairs of rows, and the
//! results interleave in place.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv::{compact, pad};
use super::matrix::{View, matmul_into};
use super::scratch::Scratch;
use super::{column_sums, finish, gradients, slice, through_relu, with_slices};

/// Taps of the transposed convolution; stride is 2 and padding 1.
pub const TAPS: usize = 4;
/// Taps that reach an even output row, by the input row that they read.
const EVEN: [usize; 2] = [3, 1];
/// Taps that reach an odd one.
const ODD: [usize; 2] = [2, 0];

struct Upsample;

/// out[2 t + j - 1] += x[t] w[:, j, :], + b, ReLU: x [B, T, C], w [C, 4, O], b [O] -> [B, 2 T, O].
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, Upsample)
}

/// Windows, rows and channels of the input, and channels of the output.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    rows: usize,
    channels: usize,
    outputs: usize,
}

impl Size {
    /// Pairs of output rows that are computed: one that straddles two windows after each.
    fn pairs(&self) -> usize {
        (self.batch * (self.rows + 1)).saturating_sub(1)
    }

    /// Input rows [pairs, 2 C] that even (0) or odd (1) output rows see.
    fn seen<'a>(&self, laid: &'a [f32], parity: usize) -> View<'a> {
        let c = self.channels;
        View::strided(&laid[(parity * c).min(laid.len())..], self.pairs(), 2 * c, c)
    }
}

/// The input with a zero row in front of every window, and one behind the last.
fn lay_out(x: &[f32], size: Size) -> Scratch {
    let row = size.channels;
    let mut laid = pad(x, size.rows * row, row, (size.rows + 1) * row);
    laid.extend_zeros(row);
    laid
}

/// The weights of two taps, below each other: [2 C, O].
fn stack(weight: &[f32], size: Size, taps: [usize; 2]) -> Vec<f32> {
    let outputs = size.outputs;
    let mut stacked = Vec::with_capacity(2 * size.channels * outputs);
    for tap in taps {
        for row in weight.chunks_exact(TAPS * outputs) {
            stacked.extend_from_slice(&row[tap * outputs..(tap + 1) * outputs]);
        }
    }
    stacked
}

/// Undoes [`stack`] for a gradient: writes [2 C, O] to the two taps of [C, 4, O].
fn unstack(stacked: &[f32], size: Size, taps: [usize; 2], weight: &mut [f32]) {
    let outputs = size.outputs;
    let halves = stacked.chunks_exact(size.channels * outputs);
    for (tap, half) in taps.into_iter().zip(halves) {
        for (row, part) in weight.chunks_exact_mut(TAPS * outputs).zip(half.chunks_exact(outputs)) {
            row[tap * outputs..(tap + 1) * outputs].copy_from_slice(part);
        }
    }
}

/// Output rows before bias and ReLU.
fn forward(x: &[f32], weight: &[f32], size: Size) -> Result<Vec<f32>> {
    let laid = lay_out(x, size);
    let mut flat = Scratch::new(size.pairs() * 2 * size.outputs);
    for (parity, taps) in [EVEN, ODD].into_iter().enumerate() {
        let stacked = stack(weight, size, taps);
        let stacked = View::new(&stacked, 2 * size.channels, size.outputs);
        let from = (parity * size.outputs).min(flat.len());
        let out = &mut flat[from..];
        matmul_into(size.seen(&laid, parity), stacked, out, 2 * size.outputs, false)?;
    }
    let (block, total) = (2 * size.rows * size.outputs, 2 * (size.rows + 1) * size.outputs);
    Ok(compact(&flat, size.batch, block, total))
}

/// dx and dW of a gradient g [B, 2 T, O].
fn backward(x: &[f32], weight: &[f32], g: &[f32], size: Size) -> Result<(Vec<f32>, Vec<f32>)> {
    let Size { batch, rows, channels, outputs } = size;
    let laid = lay_out(x, size);
    let spaced = pad(g, 2 * rows * outputs, outputs, 2 * (rows + 1) * outputs);
    let mut dw = vec![0f32; weight.len()];
    let mut stacked = Scratch::new(2 * channels * outputs);
    for (parity, taps) in [EVEN, ODD].into_iter().enumerate() {
        let from = ((1 + parity) * outputs).min(spaced.len());
        let of_parity = View::strided(&spaced[from..], size.pairs(), outputs, 2 * outputs);
        matmul_into(size.seen(&laid, parity).t(), of_parity, &mut stacked, outputs, false)?;
        unstack(&stacked, size, taps, &mut dw);
    }
    // Input row t reaches output rows 2 t - 1 to 2 t + 2, which lie beside each other.
    let reached = View::strided(&spaced, size.pairs(), TAPS * outputs, 2 * outputs);
    let taps = View::new(weight, channels, TAPS * outputs).t();
    let mut flat = Scratch::new(size.pairs() * channels);
    matmul_into(reached, taps, &mut flat, channels, false)?;
    let (block, total) = (rows * channels, (rows + 1) * channels);
    Ok((compact(&flat, batch, block, total), dw))
}

impl CustomOp3 for Upsample {
    fn name(&self) -> &'static str {
        "genias-upsample"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, rows, channels) = x_layout.shape().dims3()?;
        let (expected, taps, outputs) = weight_layout.shape().dims3()?;
        if (expected, taps) != (channels, TAPS) {
            candle_core::bail!("upsample: weight {expected}x{taps}, needs {channels}x{TAPS}");
        }
        let size = Size { batch, rows, channels, outputs };
        let mut out = forward(slice(x, x_layout)?, slice(weight, weight_layout)?, size)?;
        finish(&mut out, outputs, slice(bias, bias_layout)?, true)?;
        Ok((CpuStorage::F32(out), (batch, 2 * rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, rows, channels) = x.dims3()?;
        let outputs = bias.elem_count();
        let size = Size { batch, rows, channels, outputs };
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = through_relu(dy, y);
                let (dx, dw) = backward(x_data, w_data, &g, size)?;
                Ok((dx, dw, column_sums(&g, outputs)))
            })?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            gradients::dense(weight, dw)?,
            gradients::dense(bias, db)?,
        ))
    }
}
