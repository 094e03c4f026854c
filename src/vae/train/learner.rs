//! A model in training, step by step.

use std::collections::HashMap;

use candle_core::{Tensor, Var};

use super::batch::Batch;
use super::task::Task;
use crate::error::Result;
use crate::nn::adam::Adam;
use crate::runtime::control::Control;
use crate::vae::{Vae, var_builder};

/// A model in training.
pub(crate) struct Learner {
    pub vae: Vae,
    pub optimiser: Adam,
    pub steps: usize,
}

impl Learner {
    pub(crate) fn new(task: &Task<'_>, vars: HashMap<String, Var>, rate: f64) -> Result<Self> {
        let parameters: HashMap<String, Tensor> =
            vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let vae = Vae::new(task.architecture, var_builder(parameters))?;
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
