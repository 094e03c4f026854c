//! Fused transposed convolution that doubles the resolution, + bias + ReLU, channel-last.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::scratch::Scratch;
use super::{View, column_sums, finish, matmul, matmul_scratch, slice, through_relu, with_slices};

/// Taps of the transposed convolution; stride is 2 and padding 1.
pub const TAPS: usize = 4;

struct Upsample;

/// out[2 t + j - 1] += x[t] w[:, j, :], + b, ReLU: x [B, T, C], w [C, 4, O], b [O] -> [B, 2 T, O].
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn upsample(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, Upsample)
}

/// Output row of tap `j` of input row `t`, if it is inside.
fn target(t: usize, j: usize, rows: usize) -> Option<usize> {
    (2 * t + j).checked_sub(1).filter(|row| *row < 2 * rows)
}

/// Adds the taps [B * T, 4, O] to the rows that they belong to, [B, 2 T, O].
fn scatter(taps: &[f32], rows: usize, outputs: usize) -> Vec<f32> {
    let mut out = vec![0f32; taps.len() / 2];
    let samples = out.chunks_exact_mut(2 * rows * outputs);
    for (sample, taps) in samples.zip(taps.chunks_exact(rows * TAPS * outputs)) {
        for (i, tap) in taps.chunks_exact(outputs).enumerate() {
            if let Some(row) = target(i / TAPS, i % TAPS, rows) {
                let slot = &mut sample[row * outputs..(row + 1) * outputs];
                slot.iter_mut().zip(tap).for_each(|(sum, value)| *sum += value);
            }
        }
    }
    out
}

/// Adjoint of [`scatter`]: reads the output row of every tap; 0 for those that fall outside.
fn gather(out: &[f32], rows: usize, outputs: usize) -> Scratch {
    let mut taps = Scratch::new(out.len() * 2);
    let samples = out.chunks_exact(2 * rows * outputs);
    for (sample, taps) in samples.zip(taps.chunks_exact_mut(rows * TAPS * outputs)) {
        for (i, tap) in taps.chunks_exact_mut(outputs).enumerate() {
            match target(i / TAPS, i % TAPS, rows) {
                Some(row) => tap.copy_from_slice(&sample[row * outputs..(row + 1) * outputs]),
                None => tap.fill(0.0),
            }
        }
    }
    taps
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
        let x = View::new(slice(x, x_layout)?, batch * rows, channels);
        let weight = View::new(slice(weight, weight_layout)?, channels, TAPS * outputs);
        let mut out = scatter(&matmul_scratch(x, weight)?, rows, outputs);
        finish(&mut out, slice(bias, bias_layout)?, true);
        Ok((CpuStorage::F32(out), (batch, 2 * rows, outputs).into()))
    }

    /// With G = gather(g): dx = G W^T, dW = x^T G, db = sum of g over rows.
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
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = through_relu(dy, y);
                let taps = gather(&g, rows, outputs);
                let taps_view = View::new(&taps, batch * rows, TAPS * outputs);
                let weight = View::new(w_data, channels, TAPS * outputs);
                let dx = matmul(taps_view, weight.t())?;
                let dw = matmul(View::new(x_data, batch * rows, channels).t(), taps_view)?;
                Ok((dx, dw, column_sums(&g, outputs)))
            })?;
        let device = x.device();
        Ok((
            Some(Tensor::from_vec(dx, (batch, rows, channels), device)?),
            Some(Tensor::from_vec(dw, (channels, TAPS, outputs), device)?),
            Some(Tensor::from_vec(db, outputs, device)?),
        ))
    }
}
