//! Training of a VAE: held-out windows are evaluated every few steps and determine when to stop.

use super::batch::{Batch, HeldOutBatch};
use super::task::{Progress, StopReason, Task, TrainedVae};
use crate::config::FitConfig;
use crate::error::Result;
use crate::kernels::Gradients;
use crate::nn::adam::{Adam, Rates};
use crate::nn::parameters::{Declared, Parameters};
use crate::nn::training::{Moment, Training, Verdict, train as train_net};
use crate::runtime::control::{Control, Phase};
use crate::vae::Vae;
use crate::vae::init::Beginning;

/// Steps between validations.
const VALIDATE_EVERY: usize = 25;

/// Trains; a training that diverges restarts at a lower rate.
///
/// # Errors
/// [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
pub(crate) fn train(task: &Task<'_>, control: &dyn Control) -> Result<TrainedVae> {
    train_net(&VaeTraining { task, held_out: HeldOutBatch::new(task)? }, control)
}

/// The training of a task.
struct VaeTraining<'a> {
    task: &'a Task<'a>,
    held_out: HeldOutBatch,
}

/// Validations so far, and the weights at the lowest loss.
#[derive(Default)]
struct Validations {
    history: Vec<Progress>,
    best: Option<Best>,
    plateau: Option<Plateau>,
    /// Losses since the last validation.
    sum: f64,
    stopped: bool,
}

struct Best {
    loss: f64,
    snapshot: Parameters,
}

/// Reference for early stopping: the last validation loss that was lower than the previous reference
/// by more than `min_gain`, and its step.
struct Plateau {
    loss: f64,
    step: usize,
    min_gain: f64,
    patience: Option<usize>,
}

impl Plateau {
    /// Whether `patience` steps have passed without a new reference; `loss` is the loss after `step`
    /// steps.
    fn reached(&mut self, step: usize, loss: f64) -> bool {
        if self.loss - loss > self.min_gain {
            (self.loss, self.step) = (loss, step);
        }
        self.patience.is_some_and(|patience| step - self.step >= patience)
    }
}

impl VaeTraining<'_> {
    fn is_due(&self, steps: usize) -> bool {
        steps.is_multiple_of(VALIDATE_EVERY) || steps == self.task.config.steps
    }
}

impl Training for VaeTraining<'_> {
    type Net = Vae;
    type Seen = Validations;
    type Outcome = TrainedVae;

    fn phase(&self) -> Phase {
        Phase::Vae
    }

    fn rates(&self) -> Rates {
        rates(self.task.config)
    }

    fn start(&self) -> Result<(Vae, Vec<Declared>)> {
        let config = self.task.config;
        let beginning = Beginning::new(self.task.architecture, self.task.pca, config);
        Vae::start(self.task.architecture, &beginning, config.seed)
    }

    fn gradients(
        &self,
        vae: &Vae,
        step: usize,
        control: &dyn Control,
    ) -> Result<(f64, Vec<Gradients>)> {
        Batch::draw(self.task, step)?.gradients(vae, self.task, step, control)
    }

    fn psi(&self, vae: &Vae) -> Result<Option<f64>> {
        vae.psi().map(Some)
    }

    fn watch(
        &self,
        seen: &mut Validations,
        at: &Moment<'_, Vae>,
        control: &dyn Control,
    ) -> Result<Verdict> {
        let steps = at.steps;
        seen.sum += at.loss;
        if !self.is_due(steps) {
            return Ok(Verdict::Continue);
        }
        let loss = self.held_out.loss(at.net, self.task, control)?;
        if !loss.is_finite() {
            return Ok(Verdict::Diverged);
        }
        seen.note(steps, loss, at.net.psi()?);
        if seen.best.as_ref().is_none_or(|best| loss < best.loss) {
            seen.best = Some(Best { loss, snapshot: at.optimiser.snapshot()? });
        }
        let FitConfig { min_gain, patience, .. } = *self.task.config;
        let plateau = seen.plateau.get_or_insert(Plateau { loss, step: steps, min_gain, patience });
        seen.stopped = plateau.reached(steps, loss);
        Ok(if seen.stopped { Verdict::Stop } else { Verdict::Continue })
    }

    fn finish(&self, seen: Validations, optimiser: &Adam, steps: usize) -> Result<TrainedVae> {
        let stop_reason = if seen.stopped { StopReason::Plateau } else { StopReason::Steps };
        let (parameters, loss) = match seen.best {
            Some(best) => (best.snapshot, best.loss),
            None => (optimiser.snapshot()?, f64::NAN),
        };
        Ok(TrainedVae { parameters, history: seen.history, loss, steps, stop_reason })
    }
}

impl Validations {
    /// Adds a line to the history.
    fn note(&mut self, step: usize, validation_loss: f64, psi: f64) {
        let train_loss = match self.history.last() {
            None => validation_loss,
            Some(last) => self.sum / (step - last.step) as f64,
        };
        self.history.push(Progress { step, train_loss, validation_loss, psi });
        self.sum = 0.0;
    }
}

/// Learning rates of a configuration.
pub(super) fn rates(config: &FitConfig) -> Rates {
    Rates {
        learning_rate: config.learning_rate,
        psi_learning_rate: config.psi_learning_rate,
        schedule: config.schedule,
        steps: config.steps,
        clip: config.clip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plateau(loss: f64, min_gain: f64, patience: Option<usize>) -> Plateau {
        Plateau { loss, step: 0, min_gain, patience }
    }

    proptest! {
        /// By definition: training continues while a validation less than `patience` steps ago was
        /// lower by more than `min_gain` than the previous such one.
        #[test]
        fn a_plateau_is_patience_steps_without_a_gain(
            losses in prop::collection::vec(0.0..1.0f64, 1..40),
            min_gain in prop_oneof![Just(0.0), 0.0..0.3f64],
            patience in 1usize..200,
        ) {
            let mut rule = plateau(losses[0], min_gain, Some(patience));
            let mut endless = plateau(losses[0], min_gain, None);
            let mut gains = vec![(0, losses[0])];
            for (i, loss) in losses.iter().enumerate().skip(1) {
                let step = i * VALIDATE_EVERY;
                let (_, last) = gains[gains.len() - 1];
                if last - loss > min_gain {
                    gains.push((step, *loss));
                }
                let expected = step - gains[gains.len() - 1].0 >= patience;
                prop_assert_eq!(rule.reached(step, *loss), expected);
                prop_assert!(!endless.reached(step, *loss));
                if expected {
                    break;
                }
            }
        }

        /// Losses that keep falling by more than `min_gain` never stop it, however slowly.
        #[test]
        fn what_pays_goes_on(gain in 0.001..0.1f64, share in 0.0..0.999f64, every in 1usize..50) {
            let mut rule = plateau(10.0, gain * share, Some(every + 1));
            for i in 1..90 {
                prop_assert!(!rule.reached(i * every, 10.0 - gain * i as f64));
            }
            let mut slower = plateau(10.0, gain, Some(every));
            prop_assert!(slower.reached(every, 10.0 - 0.99 * gain));
        }
    }
}
