//! Continues a training from given weights, step by step.

use super::batch::Batch;
use super::run::rates;
use super::task::Task;
use crate::error::Result;
use crate::nn::training::Learner;
use crate::runtime::control::Control;
use crate::vae::Vae;

/// A VAE in further training.
pub(crate) struct Resumed(Learner<Vae>);

impl Resumed {
    /// Starts from a copy of `vae`.
    pub(crate) fn new(vae: &Vae, task: &Task<'_>) -> Result<Self> {
        let (net, declared) = vae.resume()?;
        Ok(Self(Learner::new(net, declared, rates(task.config), 1.0)))
    }

    /// One step; returns the loss before it, `None` if it is not finite.
    pub(crate) fn step(&mut self, task: &Task<'_>, control: &dyn Control) -> Result<Option<f64>> {
        let batch = Batch::draw(task, self.0.steps)?;
        let (loss, gradients) = batch.gradients(&self.0.net, task, self.0.steps, control)?;
        self.0.take(loss, &gradients, control)
    }

    /// Steps so far.
    pub(crate) fn steps(&self) -> usize {
        self.0.steps
    }

    /// The current net.
    pub(crate) fn vae(&self) -> &Vae {
        &self.0.net
    }
}
