//! Columns to model: the one call that runs windows, normalise, PCA, training and calibration.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::config::FitConfig;
use crate::data::columns::Series;
use crate::data::normalise::{Matrix, Normaliser};
use crate::data::windows;
use crate::data::windows::clean_starts;
use crate::data::windows::spread;
use crate::detector::calibrate_untrained;
use crate::error::Result;
use crate::generator::calibrate;
use crate::model::{Model, Report};
use crate::runtime::control::Control;
use crate::stats::pca::Pca;
use crate::vae::Architecture;
use crate::vae::readout;
use crate::vae::train::{StopReason, Task, train};

/// Windows that the principal components are taken of.
const PCA_WINDOWS: usize = 1200;

/// Fits a model to the clean rows of a series.
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::TooShort`] and
/// [`crate::Error::NoWindow`] for a series with no clean window; [`crate::Error::Diverged`];
/// [`crate::Error::Interrupted`].
pub fn fit(series: &Series<'_>, config: &FitConfig, control: &dyn Control) -> Result<Model> {
    let started = std::time::Instant::now();
    config.validate()?;
    let size = config.window;
    let starts = clean_starts(series, size, config.stride)?;
    let normaliser = Normaliser::fit(series, |t| series.is_clean(t));
    let matrix = normaliser.apply(series, control)?;
    let (train_starts, validation) = windows::split(&starts, size, config.validation);
    let mut report = Report {
        train_windows: train_starts.len(),
        validation_windows: validation.len(),
        stop_reason: Some(StopReason::NoLiveFeature),
        ..Report::default()
    };
    let live = normaliser.live_features().len();
    if live == 0 {
        let mut model = Model::assemble(config.clone(), normaliser, report, HashMap::new())?;
        calibrate_untrained(&mut model, series, control)?;
        model.seconds = Some(started.elapsed().as_secs_f64());
        return Ok(model);
    }
    let architecture = Architecture::new(config, live);
    let pca = principal_components(&matrix, &train_starts, &architecture)?;
    let task = Task {
        matrix: &matrix,
        train: &train_starts,
        validation: &validation,
        architecture: &architecture,
        config,
        pca: config.linear_path.then_some(&pca),
    };
    let trained = train(&task, control)?;
    report.loss = Some(trained.loss);
    report.steps = trained.steps;
    report.stop_reason = Some(trained.stop_reason);
    report.history = trained.history;
    let mut parameters = trained.parameters;
    if config.linear_path && config.refit {
        readout::refit(&architecture, &mut parameters, &task, control)?;
    }
    let mut model = Model::assemble(config.clone(), normaliser, report, parameters)?;
    calibrate::examine(&mut model, series, &task, &pca, control)?;
    calibrate_untrained(&mut model, series, control)?;
    model.seconds = Some(started.elapsed().as_secs_f64());
    Ok(model)
}

fn principal_components(
    matrix: &Matrix,
    starts: &[usize],
    architecture: &Architecture,
) -> Result<Pca> {
    let sample = spread(starts, PCA_WINDOWS);
    let windows = matrix.gather(&sample, architecture.window);
    Pca::fit(&windows, sample.len(), architecture.values(), architecture.latent)
}

/// Sets psi in the parameters of a model.
pub(crate) fn set_psi(model: Model, psi: f64) -> Result<Model> {
    let Model { config, normaliser, mut report, parameters, .. } = model;
    let mut parameters: HashMap<_, _> = parameters.into_iter().collect();
    parameters.insert("psi".into(), Tensor::from_vec(vec![psi as f32], 1, &Device::Cpu)?);
    report.psi = Some(psi);
    Model::assemble(config, normaliser, report, parameters)
}
