//! Fused dilated, strided 1-D convolution + bias (+ ReLU), channel-last.

use std::rc::Rc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::elementwise::column_sums;
use super::gradients;
use super::storage::{Before, slice, with_slices};
use super::tiles::{Finish, Map, Reads, RowBlock, Weight, correlate, correlate_onto, outer};

/// Geometry of a convolution over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Taps K.
    pub kernel: usize,
    /// Rows between outputs.
    pub stride: usize,
    /// Rows between taps.
    pub dilation: usize,
    /// Zero rows before the first row.
    pub left: usize,
    /// Zero rows after the last row.
    pub right: usize,
    /// Whether ReLU follows.
    pub relu: bool,
}

/// Windows, rows of each, and channels of input and output.
#[derive(Clone, Copy)]
pub(super) struct ConvSize {
    pub(super) batch: usize,
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl ConvSize {
    /// A weight [K, C, O] whose taps begin at `taps`.
    fn weight<'a>(&self, values: &'a [f32], taps: &'a [usize]) -> Weight<'a> {
        let Self { inputs, outputs, .. } = *self;
        Weight { values, inputs, outputs, taps, steps: (outputs, 1) }
    }
}

impl Conv {
    /// Reads present and past rows only: (K - 1) * dilation zero rows before the first.
    pub fn causal(kernel: usize, stride: usize, dilation: usize) -> Self {
        Self { kernel, stride, dilation, left: (kernel - 1) * dilation, right: 0, relu: false }
    }

    /// Output row t reads rows t - K/2 ..= t + K/2, for odd K.
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

    /// Sizes of x [B, T, C] and weight [K, C, O].
    fn size(&self, x: &Layout, weight: &Layout) -> Result<ConvSize> {
        let (batch, rows, inputs) = x.shape().dims3()?;
        let (kernel, expected, outputs) = weight.shape().dims3()?;
        if (kernel, expected) != (self.kernel, inputs) {
            candle_core::bail!("conv: weight {kernel}x{expected}, needs {}x{inputs}", self.kernel);
        }
        Ok(ConvSize { batch, rows, inputs, outputs })
    }

    /// Which input row an output row reads.
    pub(super) fn map(&self) -> Map {
        Map {
            scale: self.stride as i32,
            tap: self.dilation as i32,
            offset: -(self.left as i32),
            divisor: 1,
        }
    }

    /// Input rows read by every output row of `batch` windows.
    pub(super) fn reads(&self, batch: usize, rows: usize) -> Rc<Reads> {
        Reads::known(self.map(), self.kernel, batch, rows, self.output_rows(rows))
    }

    /// Output rows whose gradient reaches every input row.
    fn receives(&self, batch: usize, rows: usize) -> Rc<Reads> {
        let map = Map {
            scale: 1,
            tap: -(self.dilation as i32),
            offset: self.left as i32,
            divisor: self.stride as i32,
        };
        Reads::known(map, self.kernel, batch, self.output_rows(rows), rows)
    }

    /// Start of each tap in a weight [K, C, O].
    fn taps(&self, size: ConvSize) -> Vec<usize> {
        (0..self.kernel).map(|k| k * size.inputs * size.outputs).collect()
    }

    /// The convolution of x [B T, C] with `weight` [K, C, O]: [B T', O].
    pub(super) fn forward(
        &self,
        x: &[f32],
        weight: &[f32],
        size: ConvSize,
        finish: Finish<'_>,
    ) -> Result<Vec<f32>> {
        let x = RowBlock { values: x, width: size.inputs };
        let reads = self.reads(size.batch, size.rows);
        correlate(x, size.weight(weight, &self.taps(size)), &reads, finish)
    }

    /// Rows of the convolution, those of `reads`, behind the rows of `out`.
    pub(super) fn rows_onto(
        &self,
        out: &mut Vec<f32>,
        x: &[f32],
        weight: &[f32],
        size: ConvSize,
        reads: &Reads,
        finish: Finish<'_>,
    ) -> Result<()> {
        let x = RowBlock { values: x, width: size.inputs };
        correlate_onto(out, x, size.weight(weight, &self.taps(size)), reads, finish)
    }

    /// dx [B T, C] from the gradient g [B T', O].
    pub(super) fn input_gradient(
        &self,
        g: &[f32],
        weight: &[f32],
        size: ConvSize,
        finish: Finish<'_>,
    ) -> Result<Vec<f32>> {
        let taps = self.taps(size);
        let weight = size.weight(weight, &taps).transposed();
        let receives = self.receives(size.batch, size.rows);
        correlate(RowBlock { values: g, width: size.outputs }, weight, &receives, finish)
    }

    /// dW [K, C, O] from the gradient g [B T', O].
    pub(super) fn weight_gradient(&self, x: &[f32], g: &[f32], size: ConvSize) -> Result<Vec<f32>> {
        let ConvSize { inputs, outputs, .. } = size;
        let mut dw = vec![0f32; self.kernel * inputs * outputs];
        let reads = self.reads(size.batch, size.rows);
        let (x, g) =
            (RowBlock { values: x, width: inputs }, RowBlock { values: g, width: outputs });
        outer(x, g, &reads, &self.taps(size), outputs, &mut dw)?;
        Ok(dw)
    }
}

/// out[t] = b + sum_k w[k]^T x[t * stride + k * dilation - left], with ReLU if requested: x [B, T,
/// C], w [K, C, O], b [O] -> [B, T', O].
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
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
        let size = self.size(x_layout, weight_layout)?;
        let bias = Some(slice(bias, bias_layout)?);
        let finish = Finish { bias, relu: self.relu, ..Finish::default() };
        let out = self.forward(slice(x, x_layout)?, slice(weight, weight_layout)?, size, finish)?;
        let shape = (size.batch, self.output_rows(size.rows), size.outputs);
        Ok((CpuStorage::F32(out), shape.into()))
    }

    /// dx is g correlated with the transposed taps, dW the products of the rows that meet, db = sum of
    /// g over rows.
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
                let g = Before::new(dy, y, self.relu);
                let dw = self.weight_gradient(x_data, &g, size)?;
                let dx =
                    x.track_op().then(|| self.input_gradient(&g, w_data, size, Finish::default()));
                Ok((dx.transpose()?, dw, column_sums(&g, outputs)))
            })?;
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?,
            gradients::dense(weight, dw)?,
            gradients::dense(bias, db)?,
        ))
    }
}
