//! A model in training, step by step.

use crate::nn::{Parameters, Variables};

use super::batch::Batch;
use super::task::Task;
use crate::error::Result;
use crate::nn::adam::Adam;
use crate::runtime::control::Control;
use crate::vae::Vae;

/// A model in training.
pub(crate) struct Learner {
    pub vae: Vae,
    pub optimiser: Adam,
    pub steps: usize,
}

impl Learner {
    pub(crate) fn new(task: &Task<'_>, vars: Variables, rate: f64) -> Result<Self> {
        let parameters: Parameters =
            vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let vae = Vae::new(task.architecture, parameters)?;
        Ok(Self { vae, optimiser: Adam::new(vars, task.config.into(), rate), steps: 0 })
    }

    /// One step on a batch of its own: the loss before it, `None` where it is not finite.
    pub(crate) fn step(&mut self, task: &Task<'_>, control: &dyn Control) -> Result<Option<f64>> {
        let batch = Batch::draw(task, self.steps)?;
        let (loss, gradients) = batch.gradients(&self.vae, task, self.steps, control)?;
        if !loss.is_finite() || !self.optimiser.step(&gradients, self.steps, control)? {
            return Ok(None);
        }
        self.steps += 1;
        Ok(Some(loss))
    }
}
