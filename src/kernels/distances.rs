//! Fused mean squared distances between a window, its reconstruction and its perturbation.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::elementwise::vectorised;
use super::{slice, with_slices};

/// Partial sums of a distance, so that the compiler can add in lanes.
const LANES: usize = 16;

struct Distances;

/// d(X, X^), d(X^, X~) and d(X, X~) of every window, [3, B]: `x` [B, ...] and `both` [2 B, ...], the
/// reconstructions of all windows and then their perturbations.
///
/// # Errors
/// When shapes do not agree or a tensor is not f32 on the CPU.
pub fn distances(x: &Tensor, both: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&both.contiguous()?, Distances)
}

/// Sum of squared differences.
#[inline(always)]
fn squares(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    rest + sums.iter().map(|sum| f64::from(*sum)).sum::<f64>()
}

/// Sum of squared differences over the features of every row, flat: `a` and `b` [B, W, D] ->
/// [B * W].
///
/// # Errors
/// When shapes differ or a tensor is not f32 on the CPU.
pub fn row_squares(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let features = a.dims().last().copied().unwrap_or(1).max(1);
    if a.shape() != b.shape() {
        candle_core::bail!("row_squares: {:?} and {:?}", a.shape(), b.shape());
    }
    with_slices([a, b], |[a, b]| {
        let rows = a.chunks_exact(features).zip(b.chunks_exact(features));
        Ok(vectorised(|| rows.map(|(a, b)| squares(a, b) as f32).collect()))
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
            let windows = a.chunks_exact(values).zip(b.chunks_exact(values));
            vectorised(|| windows.map(|(a, b)| (squares(a, b) / values as f64) as f32).collect())
        };
        let all = [mean(x, plain), mean(plain, perturbed), mean(x, perturbed)].concat();
        Ok((CpuStorage::F32(all), (3, windows).into()))
    }

    /// With g of the three distances, over the W D values of a window: dX^ = 2 (g0 (X^ - X) + g1
    /// (X^ - X~)), dX~ = 2 (g1 (X~ - X^) + g2 (X~ - X)). The windows themselves get none.
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
            vectorised(|| {
                for window in 0..windows {
                    let scale = 2.0 / values as f32;
                    let [g0, g1, g2] = [0, 1, 2].map(|i| scale * gradient[i * windows + window]);
                    let range = window * values..(window + 1) * values;
                    let seen = x[range.clone()].iter().zip(&plain[range.clone()]);
                    let seen = seen.zip(&perturbed[range.clone()]);
                    let out = d_plain[range.clone()].iter_mut().zip(&mut d_perturbed[range]);
                    for ((d_plain, d_perturbed), ((x, plain), perturbed)) in out.zip(seen) {
                        let between = g1 * (plain - perturbed);
                        *d_plain = g0 * (plain - x) + between;
                        *d_perturbed = g2 * (perturbed - x) - between;
                    }
                }
            });
            Ok(d_both)
        })?;
        Ok((None, Some(Tensor::from_vec(d_both, both.shape(), both.device())?)))
    }
}
