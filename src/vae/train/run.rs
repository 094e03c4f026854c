//! The loop: steps, validation, early stopping, retries.

use crate::nn::Parameters;

use super::batch::HeldOut;
use super::learner::Learner;
use super::task::{Progress, StopReason, Task, Trained};
use crate::config::{FitConfig, Margin};
use crate::error::{Error, Result};
use crate::runtime::control::{Control, Phase, Status};
use crate::vae::init::initialise;

/// Steps between validations.
const VALIDATE_EVERY: usize = 25;
/// How often a diverged training starts again, and by what factor the rate falls.
const RETRIES: usize = 3;
const RETRY_FACTOR: f64 = 0.2;

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
    let mut learner = Learner::new(task, vars, rate)?;
    let held_out = HeldOut::new(task)?;
    let mut best =
        Best::new(held_out.loss(&learner.vae, task, control)?, learner.optimiser.snapshot()?);
    if !best.loss.is_finite() {
        return Err(diverged(0));
    }
    let psi = learner.vae.psi()?;
    let first = Progress { step: 0, train_loss: best.loss, validation_loss: best.loss, psi };
    let mut history = vec![first];
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
                best = Best {
                    loss: validation_loss,
                    step: steps,
                    snapshot: learner.optimiser.snapshot()?,
                };
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
    snapshot: Parameters,
}

impl Best {
    fn new(loss: f64, snapshot: Parameters) -> Self {
        Self { loss, step: 0, snapshot }
    }
}
