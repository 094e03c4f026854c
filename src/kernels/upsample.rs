//! Fused transposed convolution that doubles the resolution, + bias + ReLU, channel-last.
//!
//! Output row 2t reads input rows t - 1 and t, row 2t + 1 reads t and t + 1.

use std::rc::Rc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::conv::ConvSize;
use super::elementwise::{column_sums, through_relu};
use super::gradients;
use super::storage::{slice, with_slices};
use super::tiles::{Finish, Map, Reads, RowBlock, Weight, correlate, outer};

/// Taps of the transposed convolution; stride is 2 and padding 1.
pub const TAPS: usize = 4;

struct Upsample;

/// out[2 t + j - 1] += x[t] w[:, j, :], + b, ReLU: x [B, T, C], w [C, 4, O], b [O] -> [B, 2 T, O].
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, Upsample)
}

/// Which input row an output row reads: even rows by taps 1 and 3, odd rows by taps 0 and 2.
pub(super) const MAP: Map = Map { scale: 1, tap: -1, offset: 1, divisor: 2 };

/// Input rows read by every output row.
fn reads(size: ConvSize) -> Rc<Reads> {
    Reads::known(MAP, TAPS, size.batch, size.rows, 2 * size.rows)
}

/// Output rows whose gradient reaches every input row.
fn receives(size: ConvSize) -> Rc<Reads> {
    let map = Map { scale: 2, tap: 1, offset: -1, divisor: 1 };
    Reads::known(map, TAPS, size.batch, 2 * size.rows, size.rows)
}

/// Start of each tap in a weight [C, 4, O].
fn taps(size: ConvSize) -> [usize; TAPS] {
    [0, 1, 2, 3].map(|j| j * size.outputs)
}

/// A weight [C, 4, O].
fn weight_of<'a>(values: &'a [f32], size: ConvSize, taps: &'a [usize]) -> Weight<'a> {
    let ConvSize { inputs, outputs, .. } = size;
    Weight { values, inputs, outputs, taps, steps: (TAPS * outputs, 1) }
}

/// relu(up(x)), [B 2T, O].
pub(super) fn forward(x: &[f32], weight: &[f32], bias: &[f32], size: ConvSize) -> Result<Vec<f32>> {
    forward_rows(x, weight, bias, size, &reads(size))
}

/// Rows of relu(up(x)), those of `reads`.
pub(super) fn forward_rows(
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    size: ConvSize,
    reads: &Reads,
) -> Result<Vec<f32>> {
    let taps = taps(size);
    let x = RowBlock { values: x, width: size.inputs };
    let finish = Finish { bias: Some(bias), relu: true, ..Finish::default() };
    correlate(x, weight_of(weight, size, &taps), reads, finish)
}

/// dx [B T, C] from the gradient g [B 2T, O].
pub(super) fn input_gradient(
    g: &[f32],
    weight: &[f32],
    size: ConvSize,
    finish: Finish<'_>,
) -> Result<Vec<f32>> {
    let taps = taps(size);
    let weight = weight_of(weight, size, &taps).transposed();
    correlate(RowBlock { values: g, width: size.outputs }, weight, &receives(size), finish)
}

/// dW [C, 4, O] from the gradient g [B 2T, O].
pub(super) fn weight_gradient(x: &[f32], g: &[f32], size: ConvSize) -> Result<Vec<f32>> {
    let ConvSize { inputs, outputs, .. } = size;
    let (x, g) = (RowBlock { values: x, width: inputs }, RowBlock { values: g, width: outputs });
    let mut dw = vec![0f32; inputs * TAPS * outputs];
    outer(x, g, &reads(size), &taps(size), TAPS * outputs, &mut dw)?;
    Ok(dw)
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
        let (batch, rows, inputs) = x_layout.shape().dims3()?;
        let (expected, found, outputs) = weight_layout.shape().dims3()?;
        if (expected, found) != (inputs, TAPS) {
            candle_core::bail!("upsample: weight {expected}x{found}, needs {inputs}x{TAPS}");
        }
        let size = ConvSize { batch, rows, inputs, outputs };
        let (weight, bias) = (slice(weight, weight_layout)?, slice(bias, bias_layout)?);
        let out = forward(slice(x, x_layout)?, weight, bias, size)?;
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
        let (batch, rows, inputs) = x.dims3()?;
        let outputs = bias.elem_count();
        let size = ConvSize { batch, rows, inputs, outputs };
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = through_relu(dy, y);
                let dx = input_gradient(&g, w_data, size, Finish::default())?;
                Ok((dx, weight_gradient(x_data, &g, size)?, column_sums(&g, outputs)))
            })?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            gradients::dense(weight, dw)?,
            gradients::dense(bias, db)?,
        ))
    }
}
