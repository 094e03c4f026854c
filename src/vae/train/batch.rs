//! The windows of one optimiser step, in shares of fixed size, and the held-out ones.

use candle_core::{Device, Tensor};

use super::task::Task;
use crate::data::windows::spread;
use crate::error::Result;
use crate::kernels::{Gradients, backward};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};
use crate::vae::loss::Losses;
use crate::vae::{Architecture, Dropout, Vae};

/// Number of evenly spaced held-out windows for the validation loss.
const VALIDATION_WINDOWS: usize = 256;

/// Rows of the tiles in which products are computed.
const TILE: usize = 6;
/// Maximum number of windows per task.
const MOST: usize = 24;

/// Windows per task, of a batch: at least two tasks, in whole tiles. With more windows, weights are
/// read less often.
fn share_of(batch: usize) -> usize {
    batch.div_ceil(2).next_multiple_of(TILE).clamp(TILE, MOST)
}

/// Windows with their noise: one optimiser step, or the held-out set.
pub(super) struct Batch {
    starts: Vec<usize>,
    noise: Vec<f32>,
    /// 1 / number of all-zero (window, feature) pairs of the batch.
    zero_weight: Option<f32>,
}

impl Batch {
    fn new(task: &Task<'_>, starts: Vec<usize>, noise: Vec<f32>) -> Self {
        let mut batch = Self { starts, noise, zero_weight: None };
        if task.config.gamma_for(task.architecture.features) > 0.0 {
            let zeros: usize =
                batch.starts.iter().map(|&start| zero_features(task, start).len()).sum();
            batch.zero_weight = (zeros > 0).then(|| 1.0 / zeros as f32);
        }
        batch
    }

    /// The windows of optimiser step `step`.
    pub(super) fn draw(task: &Task<'_>, step: usize) -> Result<Self> {
        let mut rng = Rng::new(task.config.seed, Purpose::Batch, [step as u64, 0]);
        let size = task.config.batch_size;
        let starts = (0..size).map(|_| task.train[rng.below(task.train.len())]).collect();
        let noise = rng.normals(size * task.architecture.latent);
        Ok(Self::new(task, starts, noise))
    }

    fn shares(&self) -> usize {
        self.starts.len().div_ceil(share_of(self.starts.len()))
    }

    /// Losses of share `i`, scaled so that the shares add up to the batch.
    fn losses(
        &self,
        i: usize,
        vae: &Vae,
        task: &Task<'_>,
        dropout: Option<&mut Dropout>,
    ) -> Result<Losses> {
        let Architecture { window, features, latent, .. } = *task.architecture;
        let share = share_of(self.starts.len());
        let range = i * share..((i + 1) * share).min(self.starts.len());
        let starts = &self.starts[range.clone()];
        let device = &Device::Cpu;
        let windows = task.matrix.gather(starts, window);
        let x = Tensor::from_vec(windows, (starts.len(), window, features), device)?;
        let noise = &self.noise[range.start * latent..range.end * latent];
        let eps = Tensor::from_slice(noise, (starts.len(), latent), device)?;
        let zero = self.zero_weight.map(|weight| zero_weights(task, starts, weight)).transpose()?;
        let output = vae.forward(&x, &eps, task.config.perturbation, dropout)?;
        let (zero, batch) = (zero.as_ref(), self.starts.len());
        let losses = match task.matrix.observed(starts, window) {
            None => Losses::new(&x, &output, zero, batch, task.config),
            Some(observed) => {
                let observed = Tensor::from_vec(observed, x.shape(), device)?;
                Losses::of_observed(&x, &output, &observed, zero, batch, task.config)
            }
        };
        Ok(losses?)
    }

    /// Loss of the batch and its gradients, by share.
    pub(super) fn gradients(
        &self,
        vae: &Vae,
        task: &Task<'_>,
        step: usize,
        control: &dyn Control,
    ) -> Result<(f64, Vec<Gradients>)> {
        let share = |i: usize| -> Result<(f64, Gradients)> {
            let rate = task.config.dropout;
            let mut dropout = (rate > 0.0).then(|| Dropout {
                rate,
                rng: Rng::new(task.config.seed, Purpose::Dropout, [step as u64, i as u64]),
            });
            let losses = self.losses(i, vae, task, dropout.as_mut())?;
            let total = f64::from(losses.total.to_scalar::<f32>()?);
            Ok((total, backward(&losses.total)?))
        };
        let shares = spread_over_pool(self.shares(), control, share)?;
        let loss = shares.iter().map(|(loss, _)| loss).sum();
        Ok((loss, shares.into_iter().map(|(_, gradients)| gradients).collect()))
    }
}

/// Features that are zero throughout the window at `start`.
fn zero_features(task: &Task<'_>, start: usize) -> Vec<usize> {
    let zero = task.matrix.all_zero(start, task.architecture.window);
    (0..zero.len()).filter(|&d| zero[d]).collect()
}

/// [B, D]: `weight` for features that are zero throughout a window.
fn zero_weights(task: &Task<'_>, starts: &[usize], weight: f32) -> Result<Tensor> {
    let features = task.architecture.features;
    let mut weights = vec![0f32; starts.len() * features];
    for (row, &start) in weights.chunks_exact_mut(features).zip(starts) {
        zero_features(task, start).into_iter().for_each(|d| row[d] = weight);
    }
    Ok(Tensor::from_vec(weights, (starts.len(), features), &Device::Cpu)?)
}

/// The held-out windows, with their own noise.
pub(super) struct HeldOutBatch(Batch);

impl HeldOutBatch {
    pub(super) fn new(task: &Task<'_>) -> Result<Self> {
        let starts = spread(task.validation, VALIDATION_WINDOWS);
        let mut rng = Rng::new(task.config.seed, Purpose::Validation, [0, 0]);
        let noise = rng.normals(starts.len() * task.architecture.latent);
        Ok(Self(Batch::new(task, starts, noise)))
    }

    pub(super) fn loss(&self, vae: &Vae, task: &Task<'_>, control: &dyn Control) -> Result<f64> {
        let share = |i: usize| -> Result<f64> {
            let losses = self.0.losses(i, vae, task, None)?;
            Ok(f64::from(losses.total.detach().to_scalar::<f32>()?))
        };
        Ok(spread_over_pool(self.0.shares(), control, share)?.into_iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::share_of;

    #[test]
    fn a_batch_is_at_least_two_tasks_of_whole_tiles() {
        let shares = [(1, 6), (8, 6), (12, 6), (24, 12), (32, 18), (64, 24), (100, 24), (256, 24)];
        for (batch, share) in shares {
            assert_eq!(share_of(batch), share, "{batch}");
        }
    }
}
