//! A training from given weights, step by step.

use super::batch::Batch;
use super::run::rates;
use super::task::Task;
use crate::error::Result;
use crate::nn::training::Learner;
use crate::runtime::control::Control;
use crate::vae::Vae;

/// A VAE that goes on being trained.
pub(crate) struct Resumed(Learner<Vae>);

impl Resumed {
    /// From a copy of `vae`.
    pub(crate) fn new(vae: &Vae, task: &Task<'_>) -> Result<Self> {
        let (net, declared) = vae.resume()?;
        Ok(Self(Learner::new(net, declared, rates(task.config), 1.0)))
    }

    /// One step: the loss before it, `None` where it is not finite.
    pub(crate) fn step(&mut self, task: &Task<'_>, control: &dyn Control) -> Result<Option<f64>> {
        let batch = Batch::draw(task, self.0.steps)?;
        let (loss, gradients) = batch.gradients(&self.0.net, task, self.0.steps, control)?;
        self.0.take(loss, &gradients, control)
    }

    /// Steps taken.
    pub(crate) fn steps(&self) -> usize {
        self.0.steps
    }

    /// The net as it is now.
    pub(crate) fn vae(&self) -> &Vae {
        &self.0.net
    }
}
