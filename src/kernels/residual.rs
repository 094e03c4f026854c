//! Fused sum + ReLU, for residual blocks.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::elementwise::through_relu;
use super::storage::{slice, with_slices};

struct AddRelu;

/// relu(a + b) for tensors of the same shape.
///
/// # Errors
/// If shapes differ or a tensor is not f32 on the CPU.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, AddRelu)
}

impl CustomOp2 for AddRelu {
    fn name(&self) -> &'static str {
        "genias-add-relu"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if a_layout.shape() != b_layout.shape() {
            candle_core::bail!("add_relu: {:?} and {:?}", a_layout.shape(), b_layout.shape());
        }
        let (a, b) = (slice(a, a_layout)?, slice(b, b_layout)?);
        let sum = a.iter().zip(b).map(|(a, b)| (a + b).max(0.0)).collect();
        Ok((CpuStorage::F32(sum), a_layout.shape().clone()))
    }

    /// The gradient where the output is positive, for both.
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        output: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let masked = with_slices([output, gradient], |[y, dy]| Ok(through_relu(dy, y).to_vec()))?;
        let masked = Tensor::from_vec(masked, output.shape(), output.device())?;
        Ok((Some(masked.clone()), Some(masked)))
    }
}
