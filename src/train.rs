//! Step 4b, train: seeded Adam with schedule, clipping and early stopping.
//!
//! A batch is split into shares of fixed size, one task each; their gradients are added in order.
//! So the result is the same for any number of threads.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::{FitConfig, Margin, Schedule};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::kernels::{Gradients, Summed, backward};
use crate::normalise::Matrix;
use crate::rng::{Purpose, Rng};
use crate::vae::init::initialise;
use crate::vae::loss::Losses;
use crate::vae::pca::Pca;
use crate::vae::{Architecture, Dropout, Vae, var_builder};

/// Windows of a batch that one task works on.
pub(crate) const SHARE: usize = 8;
/// Held-out windows that the validation loss is taken over, evenly spaced.
const VALIDATION_WINDOWS: usize = 256;
/// Steps between validations.
const VALIDATE_EVERY: usize = 25;
/// Warm-up steps of the cosine schedule.
const WARM_UP: usize = 20;
/// Share of the learning rate that the cosine ends at.
const FINAL_RATE: f64 = 0.02;
/// How often a diverged training starts again, and by what factor the rate falls.
const RETRIES: usize = 3;
const RETRY_FACTOR: f64 = 0.2;

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All steps were taken.
    Steps,
    /// The validation loss did not fall for `patience` steps.
    Patience,
    /// No feature moves in training, so there is nothing to learn.
    NoLiveFeature,
}

impl StopReason {
    /// Its name in `describe()`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Patience => "patience",
            Self::NoLiveFeature => "no_live_feature",
        }
    }
}

/// One line of the training history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps taken.
    pub step: usize,
    /// Mean training loss since the last line.
    pub train_loss: f64,
    /// Loss of the held-out windows.
    pub validation_loss: f64,
    /// psi.
    pub psi: f64,
}

/// The outcome of a training.
pub(crate) struct Trained {
    pub parameters: HashMap<String, Tensor>,
    pub history: Vec<Progress>,
    pub loss: f64,
    pub steps: usize,
    pub stop_reason: StopReason,
}

/// What a training works on.
pub(crate) struct Task<'a> {
    pub matrix: &'a Matrix,
    pub train: &'a [usize],
    pub validation: &'a [usize],
    pub architecture: &'a Architecture,
    pub config: &'a FitConfig,
    pub pca: Option<&'a Pca>,
}

/// At most `most` of the starts, evenly spaced.
pub(crate) fn spread(starts: &[usize], most: usize) -> Vec<usize> {
    if starts.len() <= most {
        return starts.to_vec();
    }
    (0..most).map(|i| starts[i * (starts.len() - 1) / (most - 1).max(1)]).collect()
}

/// Trains; a training that diverges starts again at a lower rate.
pub(crate) fn train(task: &Task<'_>, control: &dyn Control) -> Result<Trained> {
    let mut rate = 1.0;
    for retry in 0..=RETRIES {
        match attempt(task, rate, control) {
            Err(Error::Diverged { .. }) if retry < RETRIES => rate *= RETRY_FACTOR,
            Err(Error::Diverged { step, learning_rate, .. }) => {
                return Err(Error::Diverged { step, retries: RETRIES, learning_rate });
            }
            done => return done,
        }
    }
    Err(Error::Interrupted)
}

fn attempt(task: &Task<'_>, rate: f64, control: &dyn Control) -> Result<Trained> {
    let config = task.config;
    let diverged =
        |step| Error::Diverged { step, retries: 0, learning_rate: config.learning_rate * rate };
    let start = (config.sigma_prior, initial_psi(config));
    let vars = initialise(task.architecture, task.pca, start, config.seed)?;
    let parameters: HashMap<String, Tensor> =
        vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let vae = Vae::new(task.architecture, var_builder(parameters))?;
    let mut optimiser = Adam::new(vars, config, rate);
    let held_out = HeldOut::new(task)?;
    let mut best = Best::new(held_out.loss(&vae, task, control)?, optimiser.snapshot()?);
    if !best.loss.is_finite() {
        return Err(diverged(0));
    }
    let first =
        Progress { step: 0, train_loss: best.loss, validation_loss: best.loss, psi: vae.psi()? };
    let mut history = vec![first];
    let (mut steps, mut stop_reason, mut sum) = (0, StopReason::Steps, 0.0);
    while steps < config.steps {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let batch = Batch::draw(task, steps)?;
        let (loss, gradients) = batch.gradients(&vae, task, steps, control)?;
        if !loss.is_finite() || !optimiser.step(&gradients, steps, control)? {
            return Err(diverged(steps));
        }
        steps += 1;
        sum += loss;
        if steps % VALIDATE_EVERY == 0 || steps == config.steps {
            let validation_loss = held_out.loss(&vae, task, control)?;
            if !validation_loss.is_finite() {
                return Err(diverged(steps));
            }
            let since = steps - history.last().map_or(0, |line| line.step);
            let train_loss = sum / since as f64;
            history.push(Progress { step: steps, train_loss, validation_loss, psi: vae.psi()? });
            sum = 0.0;
            control.progress(steps, config.steps, train_loss);
            if validation_loss < best.loss {
                best = Best { loss: validation_loss, step: steps, snapshot: optimiser.snapshot()? };
            } else if config.patience.is_some_and(|patience| steps - best.step >= patience) {
                stop_reason = StopReason::Patience;
                break;
            }
        }
    }
    Ok(Trained { parameters: best.snapshot, history, loss: best.loss, steps, stop_reason })
}

/// Where psi starts: at 1, X~ is X^, and the gradient of d(X^, X~) with respect to psi is 0.
fn initial_psi(config: &FitConfig) -> f64 {
    match config.margin {
        Margin::Reconstruction => 2.0,
        Margin::Input => 1.0,
    }
}

/// The weights of the lowest validation loss so far.
struct Best {
    loss: f64,
    step: usize,
    snapshot: HashMap<String, Tensor>,
}

impl Best {
    fn new(loss: f64, snapshot: HashMap<String, Tensor>) -> Self {
        Self { loss, step: 0, snapshot }
    }
}

/// Windows with their noise: one optimiser step, or the held-out set.
struct Batch {
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
    fn draw(task: &Task<'_>, step: usize) -> Result<Self> {
        let mut rng = Rng::new(task.config.seed, Purpose::Batch, [step as u64, 0]);
        let size = task.config.batch_size;
        let starts = (0..size).map(|_| task.train[rng.below(task.train.len())]).collect();
        let noise = rng.normals(size * task.architecture.latent);
        Ok(Self::new(task, starts, noise))
    }

    fn shares(&self) -> usize {
        self.starts.len().div_ceil(SHARE)
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
        let range = i * SHARE..((i + 1) * SHARE).min(self.starts.len());
        let starts = &self.starts[range.clone()];
        let device = &Device::Cpu;
        let windows = task.matrix.gather(starts, window);
        let x = Tensor::from_vec(windows, (starts.len(), window, features), device)?;
        let noise = &self.noise[range.start * latent..range.end * latent];
        let eps = Tensor::from_slice(noise, (starts.len(), latent), device)?;
        let zero = self.zero_weight.map(|weight| zero_weights(task, starts, weight)).transpose()?;
        let output = vae.forward(&x, &eps, task.config.perturbation, dropout)?;
        Ok(Losses::new(&x, &output, zero.as_ref(), self.starts.len(), task.config)?)
    }

    /// Loss of the batch and its gradients, by share.
    fn gradients(
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

/// Runs `work` for 0..n, in the pool where this training has it to itself; results in order.
pub(crate) fn spread_over_pool<T: Send>(
    n: usize,
    control: &dyn Control,
    work: impl Fn(usize) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    if control.alone() && n > 1 {
        (0..n).into_par_iter().map(work).collect()
    } else {
        (0..n).map(work).collect()
    }
}

/// Features that are zero all through the window at `start`.
fn zero_features(task: &Task<'_>, start: usize) -> Vec<usize> {
    let zero = task.matrix.all_zero(start, task.architecture.window);
    (0..zero.len()).filter(|&d| zero[d]).collect()
}

/// [B, D]: `weight` where a feature is zero all through a window.
fn zero_weights(task: &Task<'_>, starts: &[usize], weight: f32) -> Result<Tensor> {
    let features = task.architecture.features;
    let mut weights = vec![0f32; starts.len() * features];
    for (row, &start) in weights.chunks_exact_mut(features).zip(starts) {
        zero_features(task, start).into_iter().for_each(|d| row[d] = weight);
    }
    Ok(Tensor::from_vec(weights, (starts.len(), features), &Device::Cpu)?)
}

/// The held-out windows, with noise of their own.
struct HeldOut(Batch);

impl HeldOut {
    fn new(task: &Task<'_>) -> Result<Self> {
        let starts = spread(task.validation, VALIDATION_WINDOWS);
        let mut rng = Rng::new(task.config.seed, Purpose::Validation, [0, 0]);
        let noise = rng.normals(starts.len() * task.architecture.latent);
        Ok(Self(Batch::new(task, starts, noise)))
    }

    fn loss(&self, vae: &Vae, task: &Task<'_>, control: &dyn Control) -> Result<f64> {
        let share = |i: usize| -> Result<f64> {
            let losses = self.0.losses(i, vae, task, None)?;
            Ok(f64::from(losses.total.detach().to_scalar::<f32>()?))
        };
        Ok(spread_over_pool(self.0.shares(), control, share)?.into_iter().sum())
    }
}

/// Adam (Kingma & Ba, 2015) with psi as a parameter group of its own.
struct Adam {
    groups: Vec<Parameter>,
    schedule: Schedule,
    steps: usize,
    clip: Option<f64>,
}

struct Parameter {
    name: String,
    var: Var,
    rate: f64,
    floor: f32,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    fn new(vars: HashMap<String, Var>, config: &FitConfig, factor: f64) -> Self {
        let mut groups: Vec<Parameter> = vars
            .into_iter()
            .map(|(name, var)| {
                let is_psi = name == "psi";
                let rate = if is_psi { config.psi_learning_rate } else { config.learning_rate };
                Parameter {
                    rate: rate * factor,
                    floor: if is_psi { 1.0 } else { f32::NEG_INFINITY },
                    first: vec![0.0; var.elem_count()],
                    second: vec![0.0; var.elem_count()],
                    name,
                    var,
                }
            })
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Self { groups, schedule: config.schedule, steps: config.steps, clip: config.clip }
    }

    /// One step along the sum of the shares' gradients; false when it is not finite.
    fn step(&mut self, shares: &[Gradients], step: usize, control: &dyn Control) -> Result<bool> {
        let sums: Vec<Summed<'_>> =
            self.groups.iter().map(|group| Summed::new(group.var.as_tensor(), shares)).collect();
        let tasks: Vec<(usize, Range<usize>)> = sums
            .iter()
            .enumerate()
            .flat_map(|(i, sum)| sum.ranges().into_iter().map(move |range| (i, range)))
            .collect();
        let gradients = spread_over_pool(tasks.len(), control, |task| {
            let (i, range) = tasks[task].clone();
            let gradient = sums[i].values(range)?;
            let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
            Ok((gradient, square))
        })?;
        drop(sums);
        let norm = gradients.iter().map(|(_, square)| square).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(false);
        }
        let scale = self.clip.map_or(1.0, |clip| if norm > clip { clip / norm } else { 1.0 });
        let factor = schedule_factor(self.schedule, step, self.steps);
        let mut of_group: Vec<Vec<Vec<f32>>> = self.groups.iter().map(|_| Vec::new()).collect();
        for ((i, _), (gradient, _)) in tasks.into_iter().zip(gradients) {
            of_group[i].push(gradient);
        }
        let update = |(parameter, gradient): (&mut Parameter, &Vec<Vec<f32>>)| {
            parameter.update(gradient, scale, factor, step)
        };
        if control.alone() {
            self.groups.par_iter_mut().zip(&of_group).try_for_each(update)?;
        } else {
            self.groups.iter_mut().zip(&of_group).try_for_each(update)?;
        }
        Ok(true)
    }

    /// A copy of all parameters.
    fn snapshot(&self) -> Result<HashMap<String, Tensor>> {
        self.groups
            .iter()
            .map(|p| Ok((p.name.clone(), p.var.as_tensor().detach().copy()?)))
            .collect()
    }
}

impl Parameter {
    /// `gradient` in consecutive parts.
    fn update(
        &mut self,
        gradient: &[Vec<f32>],
        scale: f64,
        factor: f64,
        step: usize,
    ) -> Result<()> {
        let t = step as i32 + 1;
        let op = AdamStep {
            gradient,
            moments: Mutex::new((&mut self.first, &mut self.second)),
            scale: scale as f32,
            // Bias corrections of both moments, folded into the rate.
            rate: (self.rate * factor * (1.0 - BETA2.powi(t)).sqrt() / (1.0 - BETA1.powi(t)))
                as f32,
            epsilon: (EPSILON * (1.0 - BETA2.powi(t)).sqrt()) as f32,
            floor: self.floor,
        };
        Ok(self.var.as_tensor().inplace_op1(&op)?)
    }
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

struct AdamStep<'a> {
    gradient: &'a [Vec<f32>],
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
    scale: f32,
    rate: f32,
    epsilon: f32,
    floor: f32,
}

impl InplaceOp1 for AdamStep<'_> {
    fn name(&self) -> &'static str {
        "genias-adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("parameters are 32-bit floats")
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("the optimiser state is lost")
        };
        let (first, second) = &mut *moments;
        let mut at = 0;
        for gradient in self.gradient {
            let range = at..at + gradient.len();
            at = range.end;
            self.update(
                &mut values[range.clone()],
                gradient,
                &mut first[range.clone()],
                &mut second[range],
            );
        }
        Ok(())
    }
}

impl AdamStep<'_> {
    fn update(&self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let (beta1, beta2) = (BETA1 as f32, BETA2 as f32);
        let moments = first.iter_mut().zip(second);
        for ((value, gradient), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * self.scale;
            *first = beta1 * *first + (1.0 - beta1) * gradient;
            *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
            *value = (*value - self.rate * *first / (second.sqrt() + self.epsilon)).max(self.floor);
        }
    }
}

/// Share of the base rate at `step` of `steps`.
fn schedule_factor(schedule: Schedule, step: usize, steps: usize) -> f64 {
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Cosine => {
            let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
            let warm_up = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
            (cosine * (1.0 - FINAL_RATE) + FINAL_RATE) * warm_up
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_warms_up_and_falls() {
        let at = |step| schedule_factor(Schedule::Cosine, step, 400);
        assert!(at(0) < 0.06 && at(19) > 0.98 && at(399) < 0.021 && at(399) > 0.0199);
        assert_eq!(schedule_factor(Schedule::Constant, 399, 400), 1.0);
    }

    #[test]
    fn spread_keeps_both_ends() {
        let starts: Vec<usize> = (0..1000).collect();
        let picked = spread(&starts, 7);
        assert_eq!((picked.len(), picked[0], picked[6]), (7, 0, 999));
        assert_eq!(spread(&starts[..3], 7), [0, 1, 2]);
    }
}
