//! The training loop: seeded steps, progress, interruption, and a restart at a lower rate after
//! divergence.

use super::adam::{Adam, Rates};
use super::parameters::Declared;
use crate::error::{Error, Result};
use crate::kernels::Gradients;
use crate::runtime::control::{Control, Phase, Status};

/// Number of restarts after divergence, and the factor of the rate.
const RETRIES: usize = 3;
const RETRY_FACTOR: f64 = 0.2;

/// A training: its net, its data and its steps.
pub(crate) trait Training {
    /// The net.
    type Net;
    /// Its records.
    type Seen: Default;
    /// Its outcome.
    type Outcome;

    /// Its purpose.
    fn phase(&self) -> Phase;

    /// Learning rates and steps.
    fn rates(&self) -> Rates;

    /// The untrained net, and its parameters.
    fn start(&self) -> Result<(Self::Net, Vec<Declared>)>;

    /// Loss of the batch of step `step` (0-based), and its gradients by share.
    fn gradients(
        &self,
        net: &Self::Net,
        step: usize,
        control: &dyn Control,
    ) -> Result<(f64, Vec<Gradients>)>;

    /// psi, if the net has one.
    fn psi(&self, _net: &Self::Net) -> Result<Option<f64>> {
        Ok(None)
    }

    /// Inspects the net before the first step and after each.
    fn watch(
        &self,
        _seen: &mut Self::Seen,
        _at: &Moment<'_, Self::Net>,
        _control: &dyn Control,
    ) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Its outcome.
    fn finish(&self, seen: Self::Seen, optimiser: &Adam, steps: usize) -> Result<Self::Outcome>;
}

/// A net in training.
pub(crate) struct Moment<'a, N> {
    pub net: &'a N,
    pub optimiser: &'a Adam,
    /// Steps so far.
    pub steps: usize,
    /// Loss of the last batch before its step; 0 before the first one.
    pub loss: f64,
}

/// Whether training continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    Stop,
    Diverged,
}

/// A net, its optimiser, and the number of steps.
pub(crate) struct Learner<N> {
    pub net: N,
    pub optimiser: Adam,
    pub steps: usize,
}

impl<N> Learner<N> {
    /// Every rate is multiplied by `factor`.
    pub(crate) fn new(net: N, declared: Vec<Declared>, rates: Rates, factor: f64) -> Self {
        Self { net, optimiser: Adam::new(declared, rates, factor), steps: 0 }
    }

    /// One step along the gradients of a loss; returns the loss, `None` if it is not finite.
    pub(crate) fn take(
        &mut self,
        loss: f64,
        gradients: &[Gradients],
        control: &dyn Control,
    ) -> Result<Option<f64>> {
        if !loss.is_finite() || !self.optimiser.step(gradients, self.steps, control)? {
            return Ok(None);
        }
        self.steps += 1;
        Ok(Some(loss))
    }

    fn moment(&self, loss: f64) -> Moment<'_, N> {
        Moment { net: &self.net, optimiser: &self.optimiser, steps: self.steps, loss }
    }
}

/// Trains; a training that diverges restarts at a lower rate.
///
/// # Errors
/// [`Error::Diverged`], [`Error::Interrupted`].
pub(crate) fn train<T: Training>(training: &T, control: &dyn Control) -> Result<T::Outcome> {
    let mut factor = 1.0;
    let mut step = 0;
    for retry in 0..=RETRIES {
        factor = if retry == 0 { 1.0 } else { factor * RETRY_FACTOR };
        match attempt(training, factor, control)? {
            Ok(outcome) => return Ok(outcome),
            Err(at) => step = at,
        }
    }
    let learning_rate = training.rates().learning_rate * factor;
    Err(Error::Diverged { step, retries: RETRIES, learning_rate })
}

/// The outcome, or the step of divergence.
fn attempt<T: Training>(
    training: &T,
    factor: f64,
    control: &dyn Control,
) -> Result<std::result::Result<T::Outcome, usize>> {
    let rates = training.rates();
    let (net, declared) = training.start()?;
    let mut learner = Learner::new(net, declared, rates, factor);
    let mut seen = T::Seen::default();
    let mut verdict = training.watch(&mut seen, &learner.moment(0.0), control)?;
    while verdict == Verdict::Continue && learner.steps < rates.steps {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let (loss, gradients) = training.gradients(&learner.net, learner.steps, control)?;
        let Some(loss) = learner.take(loss, &gradients, control)? else {
            return Ok(Err(learner.steps));
        };
        let psi = training.psi(&learner.net)?;
        let (phase, step, steps) = (training.phase(), learner.steps, rates.steps);
        control.progress(&Status { phase, step, steps, loss, psi });
        verdict = training.watch(&mut seen, &learner.moment(loss), control)?;
    }
    if verdict == Verdict::Diverged {
        return Ok(Err(learner.steps));
    }
    training.finish(seen, &learner.optimiser, learner.steps).map(Ok)
}
