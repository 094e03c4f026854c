//! The four loss terms (arXiv 2502.08262, section 4.2).

use candle_core::{Result, Tensor};

use super::net::Output;
use crate::config::{FitConfig, Kl, Margin};
use crate::kernels::distances;

/// Weight of the mean h^2, which keeps a local psi near the global one.
const LOCAL: f64 = 0.01;

/// The terms for one batch, each a scalar, and their weighted sum.
pub struct Losses {
    /// L_recon: mean d(X, X^).
    pub reconstruction: Tensor,
    /// L_perturb: mean of the two hinges.
    pub perturbation: Tensor,
    /// L_zero: mean of 1/(1 + d(X_d, X~_d)) over all-zero features of a window.
    pub zero: Option<Tensor>,
    /// L_KL.
    pub kl: Tensor,
    /// alpha L_recon + beta L_perturb + gamma L_zero + zeta L_KL, plus 0.01 mean h^2 for a local
    /// psi.
    pub total: Tensor,
}

impl Losses {
    /// Losses of windows `x` [B, W, D]. `zero` [B, D] holds the weight of each all-zero feature (1
    /// / number of such features in the whole batch), 0 elsewhere. `batch` is the size of the whole
    /// batch, of which `x` may be a share: sums over shares are means over the batch.
    pub fn new(
        x: &Tensor,
        output: &Output,
        zero: Option<&Tensor>,
        batch: usize,
        config: &FitConfig,
    ) -> Result<Self> {
        Self::of_distances(distances(x, &output.both)?, x, output, zero, batch, config)
    }

    /// As [`Losses::new`], counting only the values of `x` where `observed` [B, W, D] is 1; it is 0
    /// for interpolated values. The distance of X~ from X^ does not depend on `observed`.
    pub(crate) fn of_observed(
        x: &Tensor,
        output: &Output,
        observed: &Tensor,
        zero: Option<&Tensor>,
        batch: usize,
        config: &FitConfig,
    ) -> Result<Self> {
        let distances = observed_distances(x, &output.both, observed)?;
        Self::of_distances(distances, x, output, zero, batch, config)
    }

    /// From d(X, X^), d(X^, X~) and d(X, X~), [3, B].
    fn of_distances(
        distances: Tensor,
        x: &Tensor,
        output: &Output,
        zero: Option<&Tensor>,
        batch: usize,
        config: &FitConfig,
    ) -> Result<Self> {
        let features = x.dim(2)?;
        let share = 1.0 / batch as f64;
        let reconstruction = (distances.get(0)?.sum_all()? * share)?;
        let hinges = hinges(&distances, config)?;
        let perturbation = (hinges.sum_all()? * share)?;
        let kl = kl(output, config)?;
        let kl = (kl.sum_all()? * (share / output.mu.dim(1)? as f64))?;
        let mut total = ((&reconstruction * config.alpha)? + (&perturbation * config.beta)?)?;
        total = (total + (&kl * config.zeta_for(features))?)?;
        let gamma = config.gamma_for(features);
        let zero = match zero {
            Some(weights) if gamma > 0.0 => Some(zero_perturbation(x, output, weights)?),
            _ => None,
        };
        if let Some(zero) = &zero {
            total = (total + (zero * gamma)?)?;
        }
        if let Some(log_factor) = &output.log_factor {
            total = (total + (log_factor.sqr()?.sum_all()? * (LOCAL * share))?)?;
        }
        Ok(Self { reconstruction, perturbation, zero, kl, total })
    }
}

/// [`distances`], where those from X are means over observed values.
fn observed_distances(x: &Tensor, both: &Tensor, observed: &Tensor) -> Result<Tensor> {
    let all = distances(x, both)?;
    let seen = distances(&(x * observed)?, &(both * Tensor::cat(&[observed, observed], 0)?)?)?;
    let counts = observed.flatten_from(1)?.sum(1)?;
    let values = (x.elem_count() / x.dim(0)?.max(1)) as f64;
    let seen = seen.broadcast_mul(&(counts.recip()? * values)?)?;
    Tensor::stack(&[seen.get(0)?, all.get(1)?, seen.get(2)?], 0)
}

/// Sum of the two hinges per window, [B], from d(X, X^), d(X^, X~) and d(X, X~), [3, B].
fn hinges(distances: &Tensor, config: &FitConfig) -> Result<Tensor> {
    let (too_close, far) = match config.margin {
        Margin::Reconstruction => {
            let moved = distances.get(1)?;
            ((config.delta_min - &moved)?, moved)
        }
        Margin::Input => {
            let moved = distances.get(2)?;
            (((distances.get(0)? - &moved)? + config.delta_min)?, moved)
        }
    };
    too_close.relu()? + (far - config.delta_max)?.relu()?
}

/// KL of every latent unit, up to constants of the chosen form, [B, L].
fn kl(output: &Output, config: &FitConfig) -> Result<Tensor> {
    let prior = config.sigma_prior * config.sigma_prior;
    let log_prior = 2.0 * config.sigma_prior.ln();
    let square = output.mu.sqr()?;
    let variance = output.log_variance.exp()?;
    match config.kl {
        Kl::Exact => {
            let scaled = ((square + variance)? / prior)?;
            (scaled - &output.log_variance)?.affine(0.5, 0.5 * (log_prior - 1.0))
        }
        Kl::Printed => {
            let inner = ((&output.log_variance - square)? - (variance / prior)?)?;
            inner.affine(-0.5, -0.5 * (1.0 + log_prior))
        }
    }
}

/// Weighted sum of 1/(1 + d(X_d, X~_d)) over the features that are zero throughout a window.
fn zero_perturbation(x: &Tensor, output: &Output, weights: &Tensor) -> Result<Tensor> {
    let moved = (x - &output.perturbed)?.sqr()?.mean(1)?;
    ((moved + 1.0)?.recip()? * weights)?.sum_all()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    const SHAPE: (usize, usize, usize) = (2, 8, 3);

    fn normals(key: u64, scale: f32) -> Vec<f32> {
        let normals = Rng::new(key, Purpose::Place, [0, 0]).normals(2 * 8 * 3);
        normals.into_iter().map(|x| scale * x).collect()
    }

    /// Losses of `x`, and their gradients with respect to the reconstructions.
    fn losses(x: &[f32], observed: Option<&[f32]>, margin: Margin) -> (Vec<f32>, Vec<f32>) {
        let tensor = |values: &[f32]| Tensor::from_slice(values, SHAPE, &Device::Cpu).unwrap();
        let both = [normals(1, 1.0), normals(2, 1.0)].concat();
        let both = Var::from_vec(both, (4, 8, 3), &Device::Cpu).unwrap();
        let perturbed = both.as_tensor().narrow(0, 2, 2).unwrap();
        let latent = Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
        let output = Output {
            mu: latent.clone(),
            log_variance: latent,
            reconstruction: both.as_tensor().narrow(0, 0, 2).unwrap(),
            both: both.as_tensor().clone(),
            perturbed,
            log_factor: None,
        };
        let config = FitConfig { margin, ..FitConfig::default() };
        let x = tensor(x);
        let losses = match observed {
            None => Losses::new(&x, &output, None, 2, &config),
            Some(seen) => Losses::of_observed(&x, &output, &tensor(seen), None, 2, &config),
        };
        let losses = losses.unwrap();
        let gradients = losses.total.backward().unwrap();
        let gradient = gradients.get(&both).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let parts = [losses.reconstruction, losses.perturbation, losses.total];
        (parts.map(|part| part.to_scalar::<f32>().unwrap()).to_vec(), gradient)
    }

    #[test]
    fn filled_values_have_no_loss_and_no_gradient() {
        let mut seen = vec![1.0; 48];
        [0, 7, 20, 47].into_iter().for_each(|i| seen[i] = 0.0);
        for margin in [Margin::Reconstruction, Margin::Input] {
            let mut x = normals(3, 1.0);
            let all = losses(&x, None, margin);
            assert_eq!(losses(&x, Some(&[1.0; 48]), margin), all);
            let some = losses(&x, Some(&seen), margin);
            [0, 7, 20, 47].into_iter().for_each(|i| x[i] = 50.0);
            assert_eq!(losses(&x, Some(&seen), margin), some);
            assert_ne!(some, all);
            let error = |i: usize| (x[i] - normals(1, 1.0)[i]).powi(2);
            let mean = |range: std::ops::Range<usize>| {
                let kept: Vec<usize> = range.filter(|i| seen[*i] > 0.0).collect();
                kept.iter().map(|i| error(*i)).sum::<f32>() / kept.len() as f32
            };
            let expected = 0.5 * (mean(0..24) + mean(24..48));
            assert!((some.0[0] - expected).abs() < 1e-5, "{} {expected}", some.0[0]);
        }
    }
}
