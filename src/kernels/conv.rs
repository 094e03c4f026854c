//! Fused dilated, strided 1-D convolution + bias (+ ReLU), channel-last.
//!
//! The windows of a share are laid end to end with zeros between them. In that buffer the rows that
//! the taps of one output read are equally far apart, so the convolution of the whole share is a
//! product of a view of it with the weight: one product without dilation (taps are neighbours, and
//! the view's rows overlap), one per tap with it. Nothing is unfolded. Outputs that straddle two
//! windows are computed too, and left out when bias and ReLU are applied.

use std::ops::Deref;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::matrix::{View, matmul_into, matmul_scratch};
use super::scratch::Scratch;
use super::{Before, column_sums, finish, gradients, slice, with_slices};

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

/// Sizes of one call: windows, rows of each, and values per row.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    rows: usize,
    channels: usize,
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
        if padded <= self.reach() { 0 } else { (padded - self.reach() - 1) / self.stride + 1 }
    }

    /// Rows from the first tap to the last.
    fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation
    }

    /// Output rows per window in the end-to-end layout, those that straddle windows included.
    fn spacing(&self, rows: usize) -> usize {
        (rows + self.left + self.right).div_ceil(self.stride)
    }

    /// Outputs that are computed for `batch` windows: up to the last one of the last window.
    fn computed(&self, batch: usize, rows: usize) -> usize {
        match (batch, self.output_rows(rows)) {
            (0, _) | (_, 0) => 0,
            (batch, last) => (batch - 1) * self.spacing(rows) + last,
        }
    }

    /// x laid end to end with padding; x itself where there is none.
    fn lay_out<'a>(&self, x: &'a [f32], size: Size) -> Laid<'a> {
        let padded = self.spacing(size.rows) * self.stride;
        if padded == size.rows {
            return Laid::Same(x);
        }
        let Size { rows, channels, .. } = size;
        Laid::Padded(pad(x, rows * channels, self.left * channels, padded * channels))
    }

    /// The product of the taps of every output with `weight` [K, C, O]: [computed, O].
    fn correlate(
        &self,
        laid: &[f32],
        weight: &[f32],
        (size, outputs): (Size, usize),
    ) -> Result<Scratch> {
        let (computed, channels) = (self.computed(size.batch, size.rows), size.channels);
        let mut out = Scratch::new(computed * outputs);
        for (taps, view, at) in self.views(laid, computed, channels) {
            let part = &weight[at * channels * outputs..];
            let weight = View::new(part, taps * channels, outputs);
            matmul_into(view, weight, &mut out, outputs, at > 0)?;
        }
        Ok(out)
    }

    /// Views of the input that multiply with consecutive taps of the weight: how many taps, the
    /// view [computed, taps * C], and the first tap.
    fn views<'a>(
        &self,
        laid: &'a [f32],
        computed: usize,
        channels: usize,
    ) -> impl Iterator<Item = (usize, View<'a>, usize)> {
        let taps = if self.dilation == 1 { self.kernel } else { 1 };
        let (step, dilation) = (self.stride * channels, self.dilation);
        (0..self.kernel).step_by(taps).map(move |at| {
            let from = (at * dilation * channels).min(laid.len());
            (taps, View::strided(&laid[from..], computed, taps * channels, step), at)
        })
    }

    /// dW [K, C, O]: the transposed views times the gradient [computed, O].
    fn weight_gradient(
        &self,
        laid: &[f32],
        g: &[f32],
        (size, outputs): (Size, usize),
    ) -> Result<Vec<f32>> {
        let (computed, channels) = (self.computed(size.batch, size.rows), size.channels);
        let mut dw = vec![0f32; self.kernel * channels * outputs];
        let g = View::new(g, computed, outputs);
        for (_, view, at) in self.views(laid, computed, channels) {
            let part = &mut dw[at * channels * outputs..];
            matmul_into(view.t(), g, part, outputs, false)?;
        }
        Ok(dw)
    }

    /// Whether the gradient of the input is itself a convolution of the same number of rows.
    fn keeps_rows(&self) -> bool {
        self.stride == 1 && self.left + self.right == self.reach()
    }

    /// dx of a convolution that keeps rows: the gradient convolved with the flipped weight.
    fn flipped(
        &self,
        g: &[f32],
        weight: &[f32],
        (size, outputs): (Size, usize),
    ) -> Result<Vec<f32>> {
        let back = Self { left: self.right, right: self.left, relu: false, ..*self };
        let of_g = Size { channels: outputs, ..size };
        let laid = back.lay_out(g, of_g);
        let flipped = flip(weight, size.channels, outputs);
        let dx = back.correlate(&laid, &flipped, (of_g, size.channels))?;
        let total = back.spacing(size.rows) * size.channels;
        Ok(compact(&dx, size.batch, size.rows * size.channels, total))
    }

    /// dx of any convolution: every tap added back to the row that it read.
    fn scattered(
        &self,
        g: &[f32],
        weight: &[f32],
        (size, outputs): (Size, usize),
    ) -> Result<Vec<f32>> {
        let Size { batch, rows, channels } = size;
        let out_rows = self.output_rows(rows);
        let g = View::new(g, batch * out_rows, outputs);
        let taps = matmul_scratch(g, View::new(weight, self.kernel * channels, outputs).t())?;
        let mut dx = vec![0f32; batch * rows * channels];
        let mut slots = taps.chunks_exact(channels);
        for sample in dx.chunks_exact_mut(rows * channels) {
            for t in 0..out_rows {
                for (k, slot) in slots.by_ref().take(self.kernel).enumerate() {
                    let row = (t * self.stride + k * self.dilation).checked_sub(self.left);
                    if let Some(row) = row.filter(|row| *row < rows) {
                        let target = &mut sample[row * channels..(row + 1) * channels];
                        target.iter_mut().zip(slot).for_each(|(sum, value)| *sum += value);
                    }
                }
            }
        }
        Ok(dx)
    }
}

/// A share, laid end to end.
enum Laid<'a> {
    Same(&'a [f32]),
    Padded(Scratch),
}

impl Deref for Laid<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Same(values) => values,
            Self::Padded(values) => values,
        }
    }
}

/// Blocks of `block` values, each laid into `total` values behind `lead` zeros; zeros behind it.
pub(super) fn pad(x: &[f32], block: usize, lead: usize, total: usize) -> Scratch {
    if block == 0 {
        return Scratch::new(0);
    }
    let mut padded = Scratch::new(x.len() / block * total);
    for (slot, block) in padded.chunks_exact_mut(total).zip(x.chunks_exact(block)) {
        let (front, rest) = slot.split_at_mut(lead);
        let (middle, back) = rest.split_at_mut(block.len());
        front.fill(0.0);
        middle.copy_from_slice(block);
        back.fill(0.0);
    }
    padded
}

/// Undoes the end-to-end layout: the first `block` of every `total` values, of `batch` windows.
pub(super) fn compact(flat: &[f32], batch: usize, block: usize, total: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(batch * block);
    if block > 0 {
        (0..batch).for_each(|b| out.extend_from_slice(&flat[b * total..b * total + block]));
    }
    out
}

/// [K, C, O] to [K, O, C], last tap first.
fn flip(weight: &[f32], channels: usize, outputs: usize) -> Vec<f32> {
    let mut flipped = Vec::with_capacity(weight.len());
    for tap in weight.chunks_exact(channels * outputs).rev() {
        for o in 0..outputs {
            flipped.extend(tap.iter().skip(o).step_by(outputs));
        }
    }
    flipped
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
        let size = Size { batch, rows, channels };
        let laid = self.lay_out(slice(x, x_layout)?, size);
        let flat = self.correlate(&laid, slice(weight, weight_layout)?, (size, outputs))?;
        let (out_rows, spacing) = (self.output_rows(rows), self.spacing(rows));
        let mut out = compact(&flat, batch, out_rows * outputs, spacing * outputs);
        finish(&mut out, outputs, slice(bias, bias_layout)?, self.relu)?;
        Ok((CpuStorage::F32(out), (batch, out_rows, outputs).into()))
    }

    /// dW = views(x)^T g, dx = g convolved with the flipped W, db = sum of g over rows.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, rows, channels) = x.dims3()?;
        let size = Size { batch, rows, channels };
        let outputs = bias.elem_count();
        let block = self.output_rows(rows) * outputs;
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = Before::new(dy, y, self.relu);
                let laid = self.lay_out(x_data, size);
                let spaced = pad(&g, block, 0, self.spacing(rows) * outputs);
                let dw = self.weight_gradient(&laid, &spaced, (size, outputs))?;
                let dx = match x.track_op() {
                    false => None,
                    true if self.keeps_rows() => Some(self.flipped(&g, w_data, (size, outputs))?),
                    true => Some(self.scattered(&g, w_data, (size, outputs))?),
                };
                Ok((dx, dw, column_sums(&g, outputs)))
            })?;
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?,
            gradients::dense(weight, dw)?,
            gradients::dense(bias, db)?,
        ))
    }
}
