//! The four loss terms (arXiv 2502.08262, section 4.2).

use candle_core::{Result, Tensor};

use super::net::Output;
use crate::config::{FitConfig, Kl, Margin};
use crate::kernels::distances;

/// Weight of the mean h^2 that keeps a local psi near the global one.
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
    /// alpha L_recon + beta L_perturb + gamma L_zero + zeta L_KL, and 0.01 mean h^2 where psi is local.
    pub total: Tensor,
}

impl Losses {
    /// Losses of windows `x` [B, W, D]. `zero` [B, D] holds the weight of each all-zero feature
    /// (1 / number of such features in the whole batch), 0 elsewhere. `batch` is the size of the
    /// whole batch, of which `x` may be a share: sums over shares are means over the batch.
    pub fn new(
        x: &Tensor,
        output: &Output,
        zero: Option<&Tensor>,
        batch: usize,
        config: &FitConfig,
    ) -> Result<Self> {
        let features = x.dim(2)?;
        let share = 1.0 / batch as f64;
        let distances = distances(x, &output.both)?;
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

/// Sum of the two hinges per window, [B], of d(X, X^), d(X^, X~) and d(X, X~), [3, B].
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

/// KL of every latent unit, up to the constants of the chosen form, [B, L].
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

/// Weighted sum of 1/(1 + d(X_d, X~_d)) over the features that are zero all through a window.
fn zero_perturbation(x: &Tensor, output: &Output, weights: &Tensor) -> Result<Tensor> {
    let moved = (x - &output.perturbed)?.sqr()?.mean(1)?;
    ((moved + 1.0)?.recip()? * weights)?.sum_all()
}
