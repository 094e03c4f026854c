//! The training of a VAE: held-out windows are looked at now and then, and decide when to stop.

use super::batch::{Batch, HeldOut};
use super::task::{Progress, StopReason, Task, Trained};
use crate::config::{FitConfig, Margin};
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

/// Trains; a training that diverges starts again at a lower rate.
///
/// # Errors
/// [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
pub(crate) fn train(task: &Task<'_>, control: &dyn Control) -> Result<Trained> {
    train_net(&VaeTraining { task, held_out: HeldOut::new(task)? }, control)
}

/// The training of a task.
struct VaeTraining<'a> {
    task: &'a Task<'a>,
    held_out: HeldOut,
}

/// Validations so far, and the weights of the lowest loss.
#[derive(Default)]
struct Validations {
    history: Vec<Progress>,
    best: Option<Best>,
    /// Losses since the last validation.
    sum: f64,
    stopped: bool,
}

struct Best {
    loss: f64,
    step: usize,
    snapshot: Parameters,
}

impl VaeTraining<'_> {
    fn is_due(&self, steps: usize) -> bool {
        steps.is_multiple_of(VALIDATE_EVERY) || steps == self.task.config.steps
    }
}

impl Training for VaeTraining<'_> {
    type Net = Vae;
    type Seen = Validations;
    type Outcome = Trained;

    fn phase(&self) -> Phase {
        Phase::Vae
    }

    fn rates(&self) -> Rates {
        rates(self.task.config)
    }

    fn start(&self) -> Result<(Vae, Vec<Declared>)> {
        let config = self.task.config;
        let (sigma_prior, psi) = (config.sigma_prior, initial_psi(config));
        let beginning = Beginning { pca: self.task.pca, sigma_prior, psi };
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
        let best = seen.best.as_ref();
        if best.is_none_or(|best| loss < best.loss) {
            let snapshot = at.optimiser.snapshot()?;
            seen.best = Some(Best { loss, step: steps, snapshot });
        } else if let (Some(best), Some(patience)) = (best, self.task.config.patience) {
            seen.stopped = steps - best.step >= patience;
        }
        Ok(if seen.stopped { Verdict::Stop } else { Verdict::Continue })
    }

    fn finish(&self, seen: Validations, optimiser: &Adam, steps: usize) -> Result<Trained> {
        let stop_reason = if seen.stopped { StopReason::Patience } else { StopReason::Steps };
        let (parameters, loss) = match seen.best {
            Some(best) => (best.snapshot, best.loss),
            None => (optimiser.snapshot()?, f64::NAN),
        };
        Ok(Trained { parameters, history: seen.history, loss, steps, stop_reason })
    }
}

impl Validations {
    /// One more line of the history.
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

/// Where psi starts: at 1, X~ is X^, and the gradient of d(X^, X~) with respect to psi is 0.
fn initial_psi(config: &FitConfig) -> f64 {
    match config.margin {
        Margin::Reconstruction => 2.0,
        Margin::Input => 1.0,
    }
}
