//! Step 4b, train: seeded Adam with schedule, clipping and early stopping.
//!
//! A batch is split into shares of fixed size, one task each; their gradients are added in order.
//! So the result is the same for any number of threads.

mod adam;
mod batch;
mod trainer;

use std::collections::HashMap;

use candle_core::{Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use trainer::Trainer;

use crate::config::FitConfig;
use crate::control::{Control, Phase, Status};
use crate::error::{Error, Result};
use crate::normalise::Matrix;
use crate::vae::init::{Start, initialise};
use crate::vae::pca::Pca;
use crate::vae::{Architecture, Vae, var_builder};
pub(crate) use adam::{Adam, Rates};
use batch::{Batch, HeldOut};

/// Windows of a batch that one task works on.
pub(crate) const SHARE: usize = 8;
/// The same where nothing is learned: the wider, the less often weights are read.
pub(crate) const INFERENCE_SHARE: usize = 16;
/// Steps between validations.
const VALIDATE_EVERY: usize = 25;
/// How often a diverged training starts again, and by what factor the rate falls.
const RETRIES: usize = 3;
const RETRY_FACTOR: f64 = 0.2;

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All steps were taken.
    Steps,
    /// The validation loss did not fall by more than `min_gain` within `patience` steps.
    Plateau,
    /// No feature moves in training, so there is nothing to learn.
    NoLiveFeature,
}

impl StopReason {
    /// Its name in `describe()`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Plateau => "plateau",
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
    let start = Start::of(task.architecture, task.pca, config);
    let vars = initialise(task.architecture, task.pca, &start, config.seed)?;
    let mut learner = Learner::new(task, vars, rate)?;
    let held_out = HeldOut::new(task)?;
    let mut best = Best {
        loss: held_out.loss(&learner.vae, task, control)?,
        snapshot: learner.optimiser.snapshot()?,
    };
    if !best.loss.is_finite() {
        return Err(diverged(0));
    }
    let psi = learner.vae.psi()?;
    let first = Progress { step: 0, train_loss: best.loss, validation_loss: best.loss, psi };
    let mut history = vec![first];
    let mut plateau = Plateau::new(best.loss, config.min_gain, config.patience);
    let (mut steps, mut stop_reason, mut sum) = (0, StopReason::Steps, 0.0);
    while steps < config.steps {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let loss = learner.step(task, control)?.ok_or_else(|| diverged(steps))?;
        (sum, steps) = (sum + loss, learner.steps);
        let psi = learner.vae.psi()?;
        let status =
            Status { phase: Phase::Vae, step: steps, steps: config.steps, loss, psi: Some(psi) };
        control.progress(&status);
        if steps % VALIDATE_EVERY == 0 || steps == config.steps {
            let validation_loss = held_out.loss(&learner.vae, task, control)?;
            if !validation_loss.is_finite() {
                return Err(diverged(steps));
            }
            let since = steps - history.last().map_or(0, |line| line.step);
            let train_loss = sum / since as f64;
            history.push(Progress { step: steps, train_loss, validation_loss, psi });
            sum = 0.0;
            if validation_loss < best.loss {
                best = Best { loss: validation_loss, snapshot: learner.optimiser.snapshot()? };
            }
            if plateau.reached(steps, validation_loss) {
                stop_reason = StopReason::Plateau;
                break;
            }
        }
    }
    Ok(Trained { parameters: best.snapshot, history, loss: best.loss, steps, stop_reason })
}

/// A model in training.
struct Learner {
    vae: Vae,
    optimiser: Adam,
    steps: usize,
}

impl Learner {
    fn new(task: &Task<'_>, vars: HashMap<String, Var>, rate: f64) -> Result<Self> {
        let parameters: HashMap<String, Tensor> =
            vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let vae = Vae::new(task.architecture, var_builder(parameters))?;
        Ok(Self { vae, optimiser: Adam::new(vars, task.config.into(), rate), steps: 0 })
    }

    /// One step on a batch of its own: the loss before it, `None` where it is not finite.
    fn step(&mut self, task: &Task<'_>, control: &dyn Control) -> Result<Option<f64>> {
        let batch = Batch::draw(task, self.steps)?;
        let (loss, gradients) = batch.gradients(&self.vae, task, self.steps, control)?;
        if !loss.is_finite() || !self.optimiser.step(&gradients, self.steps, control)? {
            return Ok(None);
        }
        self.steps += 1;
        Ok(Some(loss))
    }
}

/// The weights of the lowest validation loss so far.
struct Best {
    loss: f64,
    snapshot: HashMap<String, Tensor>,
}

/// Whether training still pays: the last validation loss that was lower by more than `min_gain` than
/// the one before it, and its step.
struct Plateau {
    loss: f64,
    step: usize,
    min_gain: f64,
    patience: Option<usize>,
}

impl Plateau {
    fn new(loss: f64, min_gain: f64, patience: Option<usize>) -> Self {
        Self { loss, step: 0, min_gain, patience }
    }

    /// Whether `patience` steps have gone by without a gain; `loss` is that after `step` steps.
    fn reached(&mut self, step: usize, loss: f64) -> bool {
        if self.loss - loss > self.min_gain {
            (self.loss, self.step) = (loss, step);
        }
        self.patience.is_some_and(|patience| step - self.step >= patience)
    }
}

/// Runs `work` for 0..n, in the pool where this training has it to itself; results in order.
///
/// # Errors
/// [`Error::Interrupted`], asked for before each; those of `work`.
pub(crate) fn spread_over_pool<T: Send>(
    n: usize,
    control: &dyn Control,
    work: impl Fn(usize) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    let work = |i| if control.cancelled() { Err(Error::Interrupted) } else { work(i) };
    if control.alone() && n > 1 {
        (0..n).into_par_iter().map(work).collect()
    } else {
        (0..n).map(work).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the definition: training goes on for as long as some validation less than
        /// `patience` steps back was lower by more than `min_gain` than the last such one.
        #[test]
        fn a_plateau_is_patience_steps_without_a_gain(
            losses in prop::collection::vec(0.0..1.0f64, 1..40),
            min_gain in prop_oneof![Just(0.0), 0.0..0.3f64],
            patience in 1usize..200,
        ) {
            let mut plateau = Plateau::new(losses[0], min_gain, Some(patience));
            let mut endless = Plateau::new(losses[0], min_gain, None);
            let mut gains = vec![(0, losses[0])];
            for (i, loss) in losses.iter().enumerate().skip(1) {
                let step = i * VALIDATE_EVERY;
                let (_, last) = gains[gains.len() - 1];
                if last - loss > min_gain {
                    gains.push((step, *loss));
                }
                let expected = step - gains[gains.len() - 1].0 >= patience;
                prop_assert_eq!(plateau.reached(step, *loss), expected);
                prop_assert!(!endless.reached(step, *loss));
                if expected {
                    break;
                }
            }
        }

        /// Losses that fall by more than is asked for never stop it, however slowly they come by.
        #[test]
        fn what_pays_goes_on(gain in 0.001..0.1f64, share in 0.0..0.999f64, every in 1usize..50) {
            let mut plateau = Plateau::new(10.0, gain * share, Some(every + 1));
            for i in 1..90 {
                prop_assert!(!plateau.reached(i * every, 10.0 - gain * i as f64));
            }
            let mut slower = Plateau::new(10.0, gain, Some(every));
            prop_assert!(slower.reached(every, 10.0 - 0.99 * gain));
        }
    }

    #[test]
    fn spread_keeps_both_ends() {
        let starts: Vec<usize> = (0..1000).collect();
        let picked = spread(&starts, 7);
        assert_eq!((picked.len(), picked[0], picked[6]), (7, 0, 999));
        assert_eq!(spread(&starts[..3], 7), [0, 1, 2]);
    }
}
