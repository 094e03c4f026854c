//! Fits a generator: windows, normalisation, PCA, training and calibration.

use super::calibrate::{Calibrated, Samples, calibrate};
use super::fitted::Generator;
use super::report::{Health, Report};
use crate::anomaly::domain::FeatureDomain;
use crate::config::FitConfig;
use crate::data::normalise::{Matrix, Normaliser};
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows::{self, clean_starts, spread};
use crate::error::Result;
use crate::runtime::control::Control;
use crate::stats::pca::Pca;
use crate::vae::train::{StopReason, Task, train};
use crate::vae::{Architecture, Vae, readout};

/// Maximum number of windows for the principal components.
const PCA_WINDOWS: usize = 1200;

/// Fits a generator, without a detector, to the clean rows of a series.
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::TooShort`] and
/// [`crate::Error::NoWindow`] for a series with no clean window; [`crate::Error::Diverged`];
/// [`crate::Error::Interrupted`].
pub(crate) fn fit(
    series: &Series<'_>,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<(Generator, Report)> {
    config.validate()?;
    let wild = Wild::find(series);
    match wild.left_out(series)? {
        Some(columns) => fit_tame(&series.replaced(&columns), &wild, config, control),
        None => fit_tame(series, &wild, config, control),
    }
}

/// The scales of a series without a VAE, for a model that only scores.
///
/// # Errors
/// As [`fit`].
pub(crate) fn fit_scales(series: &Series<'_>, config: &FitConfig) -> Result<(Generator, Report)> {
    config.validate()?;
    let wild = Wild::find(series);
    let columns = wild.left_out(series)?;
    let tame = columns.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let report = Report {
        train_windows: clean_starts(series, config)?.len(),
        stop_reason: Some(StopReason::NotTrained),
        health: wild.is_any().then_some(Health::WildValues).into_iter().collect(),
        ..Report::default()
    };
    let domain = FeatureDomain::of_rows(series, |t| !series.is_labelled(t));
    let inert = Generator::inert(config.clone(), normaliser(series, config));
    Ok((Generator { domain, ..inert }, report))
}

/// Statistics of the training rows.
fn normaliser(series: &Series<'_>, config: &FitConfig) -> Normaliser {
    Normaliser::fit(series, |t| match config.max_null > 0.0 {
        true => !series.is_labelled(t),
        false => series.is_clean(t),
    })
}

/// Fits a generator to a series without wild values; `wild` describes the values that were found.
fn fit_tame(
    series: &Series<'_>,
    wild: &Wild,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<(Generator, Report)> {
    let starts = clean_starts(series, config)?;
    let normaliser = normaliser(series, config);
    let matrix = normaliser.apply(series, control)?;
    let (train, validation) = windows::split(&starts, config.window, config.validation);
    let report = Report {
        train_windows: train.len(),
        validation_windows: validation.len(),
        stop_reason: Some(StopReason::NoLiveFeature),
        health: wild.is_any().then_some(Health::WildValues).into_iter().collect(),
        ..Report::default()
    };
    let domain = FeatureDomain::of_rows(series, |t| !series.is_labelled(t));
    let generator = Generator { domain, ..Generator::inert(config.clone(), normaliser) };
    let live = generator.normaliser.live_features().len();
    if live == 0 {
        return Ok((generator, report));
    }
    let architecture = &Architecture::new(config, live);
    let pca = principal_components(&matrix, &train, architecture)?;
    let task = Task {
        matrix: &matrix,
        train: &train,
        validation: &validation,
        architecture,
        config,
        pca: config.linear_path.then_some(&pca),
    };
    let (learned, report) = fit_vae(&task, series, &pca, report, control)?;
    let Calibrated { vae, tau, local_tau, normal_range, correlation, kinds } = learned;
    let vae = Some(vae);
    Ok((Generator { vae, tau, local_tau, normal_range, correlation, kinds, ..generator }, report))
}

/// Trains and calibrates, and adds the results to the report.
fn fit_vae(
    task: &Task<'_>,
    series: &Series<'_>,
    pca: &Pca,
    report: Report,
    control: &dyn Control,
) -> Result<(Calibrated, Report)> {
    let trained = train(task, control)?;
    let mut parameters = trained.parameters;
    if task.config.linear_path && task.config.refit {
        readout::refit(&mut parameters, task, control)?;
    }
    let vae = Vae::new(task.architecture, parameters)?;
    let (learned, found) = calibrate(&vae, &Samples::draw(task, series, pca)?, control)?;
    let report = Report {
        loss: Some(trained.loss),
        steps: trained.steps,
        stop_reason: Some(trained.stop_reason),
        history: trained.history,
        train_windows: report.train_windows,
        validation_windows: report.validation_windows,
        health: [report.health, found.health.clone()].concat(),
        ..found
    };
    Ok((learned, report))
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
