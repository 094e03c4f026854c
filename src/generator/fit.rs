//! Fits a generator: windows, normalisation, PCA, training and calibration.

use super::calibrate::PcaReference;
use super::fitted::Generator;
use super::prepared::{Prepared, normaliser, principal_components, with_prepared};
use super::report::{Health, Report, VaeOrigin};
use crate::anomaly::domain::FeatureDomain;
use crate::config::FitConfig;
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows::clean_starts;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::vae::train::{StopReason, Task, train};
use crate::vae::{Vae, readout};

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
    with_prepared(series, config, control, |prepared| fit_prepared(prepared, control))
}

/// As [`fit`].
pub(super) fn fit_prepared(
    prepared: &Prepared<'_>,
    control: &dyn Control,
) -> Result<(Generator, Report)> {
    let Some(architecture) = prepared.architecture() else { return Ok(prepared.inert()) };
    let Prepared { matrix, train, .. } = prepared;
    let pca = principal_components(matrix, train, &architecture, PCA_WINDOWS)?;
    let (vae, trained) = learn(&prepared.task(&architecture, Some(&pca)), control)?;
    prepared.calibrated(&vae, PcaReference::Fitted(&pca), trained, control)
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

/// Trains a VAE, and describes the training.
pub(super) fn learn(task: &Task<'_>, control: &dyn Control) -> Result<(Vae, Report)> {
    let trained = train(task, control)?;
    let mut parameters = trained.parameters;
    if task.config.linear_path && task.config.refit {
        readout::refit(&mut parameters, task, control)?;
    }
    let report = Report {
        loss: Some(trained.loss),
        steps: trained.steps,
        stop_reason: Some(trained.stop_reason),
        history: trained.history,
        origin: VaeOrigin::Own,
        ..Report::default()
    };
    Ok((Vae::new(task.architecture, parameters)?, report))
}
