//! Single optimiser steps for callers.

use super::Model;
use crate::config::FitConfig;
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::data::windows::clean_starts;
use crate::error::{Error, Result};
use crate::runtime::control::{Control, RunToEnd};
use crate::vae::train::Task;
use crate::vae::train::resumed::Resumed;
use crate::vae::{Architecture, Vae};

/// Runs optimiser steps on the weights of a model, to inspect or time a training.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Float64Array};
/// # use genias::{Columns, FitConfig, RunToEnd, Series, fit, train::Trainer};
/// # fn main() -> genias::Result<()> {
/// # let wave: ArrayRef = Arc::new(Float64Array::from_iter_values(
/// #     (0..400).map(|t| (f64::from(t) / 3.0).sin()),
/// # ));
/// # let columns = Columns::new(vec![("cpu".into(), wave)])?;
/// # let series = Series::whole(&columns);
/// let config = FitConfig { window: 16, steps: 20, ..FitConfig::default() };
/// let model = fit(&series, &config, &RunToEnd)?;
/// let mut trainer = Trainer::new(&model, &series, &config)?;
/// let losses: Vec<f64> =
///     (0..5).map(|_| trainer.step(&RunToEnd)).collect::<genias::Result<_>>()?;
/// assert!(losses.iter().all(|loss| *loss > 0.0));
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    matrix: Matrix,
    starts: Vec<usize>,
    architecture: Architecture,
    config: FitConfig,
    learner: Resumed,
}

impl Trainer {
    /// Starts from a copy of `model`, on all clean windows of `series`. Sizes come from the model;
    /// batch size, losses, learning rates and seed come from `config`.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::ModelFeatures`], [`Error::TooShort`], [`Error::NoWindow`].
    pub fn new(model: &Model, series: &Series<'_>, config: &FitConfig) -> Result<Self> {
        config.validate()?;
        let missing = || Error::parameter("model", "no live feature", "a model with a VAE");
        let vae = model.generator.vae.as_ref().ok_or_else(missing)?;
        let architecture = vae.architecture().clone();
        let matrix = model.generator.normaliser.apply(series, &RunToEnd)?;
        let of_model = FitConfig { stride: config.stride, ..model.generator.config.clone() };
        let starts = clean_starts(series, &of_model)?;
        let learner = Resumed::new(vae, &task(&matrix, &starts, &architecture, config))?;
        Ok(Self { matrix, starts, architecture, config: config.clone(), learner })
    }

    /// Runs one step and returns the loss of its batch before it.
    ///
    /// # Errors
    /// [`Error::Diverged`] if the loss is not finite.
    pub fn step(&mut self, control: &dyn Control) -> Result<f64> {
        let task = task(&self.matrix, &self.starts, &self.architecture, &self.config);
        let step = self.learner.steps();
        let diverged =
            Error::Diverged { step, retries: 0, learning_rate: self.config.learning_rate };
        self.learner.step(&task, control)?.ok_or(diverged)
    }

    /// The VAE with the current weights.
    pub fn vae(&self) -> &Vae {
        self.learner.vae()
    }
}

/// A training from given weights, without held-out windows.
fn task<'a>(
    matrix: &'a Matrix,
    train: &'a [usize],
    architecture: &'a Architecture,
    config: &'a FitConfig,
) -> Task<'a> {
    Task { matrix, train, validation: &[], architecture, config, pca: None }
}
