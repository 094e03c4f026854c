//! Fused dilated, strided 1-D convolution + bias (+ ReLU), channel-last.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::scratch::Scratch;
use super::{Before, View, column_sums, finish, matmul, matmul_scratch, slice, with_slices};

/// Geometry of a convolution over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Taps K.
    pub kernel: usize,
    /// Rows between outputs.
    pub stride: usize,
    /// Rows between taps.
    pub dilation: usize,
    /// Zero rows in front.
    pub left: usize,
    /// Zero rows behind.
    pub right: usize,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl Conv {
    /// Sees the present and the past only: K - 1 dilated taps of zeros in front.
    pub fn causal(kernel: usize, stride: usize, dilation: usize, relu: bool) -> Self {
        Self { kernel, stride, dilation, left: (kernel - 1) * dilation, right: 0, relu }
    }

    /// Output row t sees rows t - K/2 ..= t + K/2, for odd K.
    pub fn same(kernel: usize) -> Self {
        let side = kernel / 2;
        Self { kernel, stride: 1, dilation: 1, left: side, right: side, relu: false }
    }

    /// Output rows for `rows` input rows.
    pub fn output_rows(&self, rows: usize) -> usize {
        let padded = rows + self.left + self.right;
        let reach = (self.kernel - 1) * self.dilation;
        if padded <= reach { 0 } else { (padded - reach - 1) / self.stride + 1 }
    }

    /// Input row that tap `k` of output row `t` reads, if it is not padding.
    fn source(&self, t: usize, k: usize, rows: usize) -> Option<usize> {
        (t * self.stride + k * self.dilation).checked_sub(self.left).filter(|row| *row < rows)
    }

    /// x [B, T, C] laid out as one row per output, [B * T', K * C]; padding is 0.
    fn unfold(&self, x: &[f32], [batch, rows, channels]: [usize; 3]) -> Scratch {
        let out_rows = self.output_rows(rows);
        let mut unfolded = Scratch::new(batch * out_rows * self.kernel * channels);
        let mut slots = unfolded.chunks_exact_mut(channels);
        for sample in x.chunks_exact(rows * channels) {
            for t in 0..out_rows {
                for (k, slot) in slots.by_ref().take(self.kernel).enumerate() {
                    match self.source(t, k, rows) {
                        Some(row) => {
                            slot.copy_from_slice(&sample[row * channels..(row + 1) * channels]);
                        }
                        None => slot.fill(0.0),
                    }
                }
            }
        }
        unfolded
    }

    /// Adjoint of [`Conv::unfold`]: adds every tap back to the row that it read.
    fn fold(&self, unfolded: &[f32], [batch, rows, channels]: [usize; 3]) -> Vec<f32> {
        let out_rows = self.output_rows(rows);
        let mut x = vec![0f32; batch * rows * channels];
        let mut slots = unfolded.chunks_exact(channels);
        for sample in x.chunks_exact_mut(rows * channels) {
            for t in 0..out_rows {
                for (k, slot) in slots.by_ref().take(self.kernel).enumerate() {
                    if let Some(row) = self.source(t, k, rows) {
                        let target = &mut sample[row * channels..(row + 1) * channels];
                        target.iter_mut().zip(slot).for_each(|(sum, value)| *sum += value);
                    }
                }
            }
        }
        x
    }

    /// Whether the unfolded input is the input itself.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.left + self.right == 0
    }
}

/// out[t] = b + sum_k w[k]^T x[t * stride + k * dilation - left], ReLU of it if asked:
/// x [B, T, C], w [K, C, O], b [O] -> [B, T', O].
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn conv(x: &Tensor, weight: &Tensor, bias: &Tensor, geometry: Conv) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, geometry)
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "genias-conv"
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
        let (kernel, expected, outputs) = weight_layout.shape().dims3()?;
        if (kernel, expected) != (self.kernel, channels) {
            candle_core::bail!(
                "conv: weight {kernel}x{expected}, needs {}x{channels}",
                self.kernel
            );
        }
        let x = slice(x, x_layout)?;
        let shape = [batch, rows, channels];
        let unfolded = (!self.is_pointwise()).then(|| self.unfold(x, shape));
        let columns = unfolded.as_deref().unwrap_or(x);
        let out_rows = self.output_rows(rows);
        let inner = kernel * channels;
        let mut out = matmul(
            View::new(columns, batch * out_rows, inner),
            View::new(slice(weight, weight_layout)?, inner, outputs),
        )?;
        finish(&mut out, slice(bias, bias_layout)?, self.relu);
        Ok((CpuStorage::F32(out), (batch, out_rows, outputs).into()))
    }

    /// dW = unfold(x)^T g, dx = fold(g W^T), db = sum of g over rows.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, rows, channels) = x.dims3()?;
        let shape = [batch, rows, channels];
        let outputs = bias.elem_count();
        let (total, inner) = (batch * self.output_rows(rows), self.kernel * channels);
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = Before::new(dy, y, self.relu);
                let g_view = View::new(&g, total, outputs);
                let unfolded = self.unfold(x_data, shape);
                let dw = matmul(View::new(&unfolded, total, inner).t(), g_view)?;
                let dx = if x.track_op() {
                    let columns = matmul_scratch(g_view, View::new(w_data, inner, outputs).t())?;
                    Some(self.fold(&columns, shape))
                } else {
                    None
                };
                Ok((dx, dw, column_sums(&g, outputs)))
            })?;
        let device = x.device();
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, (batch, rows, channels), device)).transpose()?,
            Some(Tensor::from_vec(dw, (self.kernel, channels, outputs), device)?),
            Some(Tensor::from_vec(db, outputs, device)?),
        ))
    }
}
