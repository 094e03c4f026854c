//! Fused mean squared distances between a window, its reconstruction and its perturbation.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::elementwise::{distance_gradients, squared_differences};
use super::storage::{slice, with_slices};

struct Distances;

/// d(X, X^), d(X^, X~) and d(X, X~) of every window, [3, B]: `x` [B, ...] and `both` [2 B, ...],
/// the reconstructions of all windows followed by their perturbations.
///
/// # Errors
/// If shapes do not agree or a tensor is not f32 on the CPU.
pub fn distances(x: &Tensor, both: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&both.contiguous()?, Distances)
}

/// Sum of squared differences over the features of every row, flat: `a` and `b` [B, W, D] ->
/// [B * W].
///
/// # Errors
/// If shapes differ or a tensor is not f32 on the CPU.
pub fn row_squares(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let features = a.dims().last().copied().unwrap_or(1).max(1);
    if a.shape() != b.shape() {
        candle_core::bail!("row_squares: {:?} and {:?}", a.shape(), b.shape());
    }
    with_slices([a, b], |[a, b]| {
        let mut sums = vec![0.0; a.len() / features];
        squared_differences(&mut sums, a, b);
        Ok(sums.into_iter().map(|sum| sum as f32).collect())
    })
}

impl CustomOp2 for Distances {
    fn name(&self) -> &'static str {
        "genias-distances"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        both: &CpuStorage,
        both_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let windows = x_layout.dims().first().copied().unwrap_or(0);
        let (x, both) = (slice(x, x_layout)?, slice(both, both_layout)?);
        if both.len() != 2 * x.len() || windows == 0 {
            candle_core::bail!("distances: {:?} and {:?}", x_layout.shape(), both_layout.shape());
        }
        let values = x.len() / windows;
        let (plain, perturbed) = both.split_at(x.len());
        let mean = |a: &[f32], b: &[f32]| -> Vec<f32> {
            let mut sums = vec![0.0; windows];
            squared_differences(&mut sums, a, b);
            sums.into_iter().map(|sum| (sum / values as f64) as f32).collect()
        };
        let all = [mean(x, plain), mean(plain, perturbed), mean(x, perturbed)].concat();
        Ok((CpuStorage::F32(all), (3, windows).into()))
    }

    /// With g of the three distances, over the W D values of a window: dX^ = 2 (g0 (X^ - X) + g1
    /// (X^ - X~)), dX~ = 2 (g1 (X~ - X^) + g2 (X~ - X)). The windows themselves have no gradient.
    fn bwd(
        &self,
        x: &Tensor,
        both: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let d_both = with_slices([x, both, gradient], |[x, both, gradient]| {
            let windows = gradient.len() / 3;
            let values = x.len() / windows.max(1);
            let mut d_both = vec![0f32; both.len()];
            let (plain, perturbed) = both.split_at(x.len());
            let (d_plain, d_perturbed) = d_both.split_at_mut(x.len());
            for window in 0..windows {
                let scale = 2.0 / values as f32;
                let weights = [0, 1, 2].map(|i| scale * gradient[i * windows + window]);
                let range = window * values..(window + 1) * values;
                let seen = [x, plain, perturbed].map(|windows| &windows[range.clone()]);
                let d_plain = &mut d_plain[range.clone()];
                distance_gradients(d_plain, &mut d_perturbed[range], seen, weights);
            }
            Ok(d_both)
        })?;
        Ok((None, Some(Tensor::from_vec(d_both, both.shape(), both.device())?)))
    }
}
