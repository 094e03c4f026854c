//! Fused x W + b (+ ReLU).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::elementwise::{column_sums, finish};
use super::gradients;
use super::matrix::{View, matmul};
use super::scratch::Scratch;
use super::storage::{Before, slice, with_slices};

/// Maximum number of rows for a transposed gradient of the input.
const FEW_ROWS: usize = 32;

struct LinearOp {
    relu: bool,
}

/// y = x W + b: x [N, I], W [I, O], b [O] -> [N, O].
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, LinearOp { relu: false })
}

/// relu(x W + b), as [`linear`].
///
/// # Errors
/// As [`linear`].
pub fn linear_relu(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, LinearOp { relu: true })
}

/// The first `columns` outputs of [`linear`], without gradients: [N, columns].
///
/// # Errors
/// As [`linear`].
pub fn linear_columns(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    columns: usize,
) -> Result<Tensor> {
    let ((rows, inputs), (expected, outputs)) = (x.dims2()?, weight.dims2()?);
    if inputs != expected || columns > outputs || bias.elem_count() != outputs {
        candle_core::bail!("linear: {inputs} inputs, {columns} of {:?}", weight.shape());
    }
    let out = with_slices([x, weight, bias], |[x, weight, bias]| {
        let weight = View::new(weight, inputs, outputs).columns(0, columns);
        let mut out = matmul(View::new(x, rows, inputs), weight)?;
        finish(&mut out, &bias[..columns], false);
        Ok(out)
    })?;
    Tensor::from_vec(out, (rows, columns), x.device())
}

/// g W^T, [rows, I]. For few rows it is computed as (W g^T)^T, which reads W in place instead of
/// copying it.
pub(super) fn input_gradient(g: &[f32], rows: usize, weight: View<'_>) -> Result<Vec<f32>> {
    let g = View::new(g, rows, weight.cols());
    if rows > FEW_ROWS {
        return matmul(g, weight.t());
    }
    let columns = Scratch::from(matmul(weight, g.t())?);
    let inputs = weight.rows();
    let mut dx = Vec::with_capacity(rows * inputs);
    for row in 0..rows {
        dx.extend(columns.iter().skip(row).step_by(rows));
    }
    Ok(dx)
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "genias-linear"
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
        let (rows, inputs) = x_layout.shape().dims2()?;
        let (expected, outputs) = weight_layout.shape().dims2()?;
        if inputs != expected {
            candle_core::bail!("linear: {inputs} inputs, weight for {expected}");
        }
        let x = View::new(slice(x, x_layout)?, rows, inputs);
        let weight = View::new(slice(weight, weight_layout)?, inputs, outputs);
        let mut out = matmul(x, weight)?;
        let bias = slice(bias, bias_layout)?;
        if bias.len() != outputs {
            candle_core::bail!("linear: bias of {} values, needs {outputs}", bias.len());
        }
        finish(&mut out, bias, self.relu);
        Ok((CpuStorage::F32(out), (rows, outputs).into()))
    }

    /// dx = g W^T, dW = x^T g, db = sum of g over rows; g = dy where y > 0 after a ReLU.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (rows, inputs) = x.dims2()?;
        let outputs = bias.elem_count();
        let (dx, dw, db) =
            with_slices([x, weight, output, gradient], |[x_data, w_data, y, dy]| {
                let g = Before::new(dy, y, self.relu);
                let w_view = View::new(w_data, inputs, outputs);
                let dx = x.track_op().then(|| input_gradient(&g, rows, w_view));
                let dw = gradients::product(weight, x_data, &g)?;
                Ok((dx.transpose()?, dw, column_sums(&g, outputs)))
            })?;
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, (rows, inputs), x.device())).transpose()?,
            dw,
            gradients::dense(bias, db)?,
        ))
    }
}
