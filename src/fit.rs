//! Columns to model: the one call that runs windows, normalise, PCA, training and calibration.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::columns::Series;
use crate::config::{DetectConfig, DetectorKind, FitConfig};
use crate::control::Control;
use crate::detector::calibrate_untrained;
use crate::diagnostics;
use crate::error::Result;
use crate::model::{Health, Model, Report, clean_starts};
use crate::normalise::{Matrix, Normaliser};
use crate::train::{StopReason, Task, spread, train};
use crate::vae::Architecture;
use crate::vae::pca::Pca;
use crate::vae::readout;
use crate::wild::Wild;
use crate::windows;

/// Windows that the principal components are taken of.
const PCA_WINDOWS: usize = 1200;

/// Fits a model to the clean rows of a series.
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::TooShort`] and
/// [`crate::Error::NoWindow`] for a series with no clean window; [`crate::Error::Diverged`];
/// [`crate::Error::Interrupted`].
pub fn fit(series: &Series<'_>, config: &FitConfig, control: &dyn Control) -> Result<Model> {
    config.validate()?;
    let wild = Wild::find(series);
    match wild.left_out(series)? {
        Some(columns) => fit_tame(&series.replaced(&columns), wild, config, control),
        None => fit_tame(series, wild, config, control),
    }
}

/// Fits what a detector needs to score, and no more: for [`DetectorKind::Evidence`] there is no
/// VAE, and nothing can be generated.
///
/// # Errors
/// As [`fit`].
pub fn fit_scorer(
    series: &Series<'_>,
    config: &FitConfig,
    detect: &DetectConfig,
    control: &dyn Control,
) -> Result<Model> {
    if detect.detector != DetectorKind::Evidence {
        return fit(series, config, control)?.fit_detector(series, detect, control);
    }
    let started = std::time::Instant::now();
    config.validate()?;
    let wild = Wild::find(series);
    let columns = wild.left_out(series)?;
    let tame = columns.as_ref().map(|columns| series.replaced(columns));
    let tame = tame.as_ref().unwrap_or(series);
    let starts = clean_starts(tame, config)?;
    let report = Report {
        train_windows: starts.len(),
        stop_reason: Some(StopReason::NotTrained),
        health: wild.is_any().then_some(Health::WildValues).into_iter().collect(),
        ..Report::default()
    };
    let normaliser = fit_normaliser(tame, config);
    let model = Model::assemble(config.clone(), normaliser, report, HashMap::new())?;
    let mut model = model.fit_detector(tame, detect, control)?;
    model.seconds = Some(started.elapsed().as_secs_f64());
    Ok(model)
}

fn fit_normaliser(series: &Series<'_>, config: &FitConfig) -> Normaliser {
    Normaliser::fit(series, |t| match config.max_null > 0.0 {
        true => !series.is_labelled(t),
        false => series.is_clean(t),
    })
}

/// Fits a model to a series without wild values; `wild` says what was found of them.
fn fit_tame(
    series: &Series<'_>,
    wild: Wild,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<Model> {
    let started = std::time::Instant::now();
    let size = config.window;
    let starts = clean_starts(series, config)?;
    let normaliser = fit_normaliser(series, config);
    let matrix = normaliser.apply(series, control)?;
    let (train_starts, validation) = windows::split(&starts, size, config.validation);
    let mut report = Report {
        train_windows: train_starts.len(),
        validation_windows: validation.len(),
        stop_reason: Some(StopReason::NoLiveFeature),
        health: wild.is_any().then_some(Health::WildValues).into_iter().collect(),
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
    diagnostics::examine(&mut model, series, &task, &pca, control)?;
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
