//! Fused x W + b (+ ReLU).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Before, View, column_sums, finish, gradients, matmul, slice, with_slices};

struct Linear {
    relu: bool,
}

/// y = x W + b, ReLU of it if `relu`: x [N, I], W [I, O], b [O] -> [N, O].
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Result<Tensor> {
    x.contiguous()?.apply_op3(weight, bias, Linear { relu })
}

impl CustomOp3 for Linear {
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
        finish(&mut out, outputs, slice(bias, bias_layout)?, self.relu)?;
        Ok((CpuStorage::F32(out), (rows, outputs).into()))
    }

    /// dx = g W^T, dW = x^T g, db = sum of g over rows; g = dy where y > 0 behind a ReLU.
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
                let g_view = View::new(&g, rows, outputs);
                let dx =
                    x.track_op().then(|| matmul(g_view, View::new(w_data, inputs, outputs).t()));
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
