//! Fits models to columns.

use super::Model;
use crate::config::{DetectConfig, FitConfig};
use crate::data::series::Series;
use crate::detector::{Detectors, needs_vae};
use crate::error::Result;
use crate::generator::{self, Backbones, Generator, Report};
use crate::runtime::control::Control;

/// Fits a model that generates anomalies to the clean rows of a series. A detector is trained and
/// calibrated on request ([`Model::fit_detector`]).
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::TooShort`] and
/// [`crate::Error::NoWindow`] for a series with no clean window; [`crate::Error::Diverged`];
/// [`crate::Error::Interrupted`].
pub fn fit(series: &Series<'_>, config: &FitConfig, control: &dyn Control) -> Result<Model> {
    timed(|| generator::fit::fit(series, config, control))
}

/// As [`fit`], on the one of some backbones that fits the series, without training; on its own if
/// none does.
///
/// # Errors
/// As [`fit`].
pub fn fit_on(
    series: &Series<'_>,
    config: &FitConfig,
    backbones: &Backbones,
    control: &dyn Control,
) -> Result<Model> {
    timed(|| generator::shared::fit_on(series, config, backbones, control))
}

/// A model without detectors, and the seconds of its fit.
fn timed(fit: impl FnOnce() -> Result<(Generator, Report)>) -> Result<Model> {
    let started = std::time::Instant::now();
    let (generator, report) = fit()?;
    let seconds = Some(started.elapsed().as_secs_f64());
    Ok(Model { generator, detectors: Detectors::default(), report, seconds })
}

/// Fits what a detector needs to score, and no more: if it needs no VAE
/// ([`crate::detector::needs_vae`]), the model has none and generates nothing.
///
/// # Errors
/// As [`fit`].
pub fn fit_scorer(
    series: &Series<'_>,
    config: &FitConfig,
    detect: &DetectConfig,
    control: &dyn Control,
) -> Result<Model> {
    if needs_vae(detect.detector) {
        return fit(series, config, control)?.fit_detector(series, detect, control);
    }
    let started = std::time::Instant::now();
    let (generator, report) = generator::fit::fit_scales(series, config)?;
    let detectors = Detectors::default();
    let model = Model { generator, detectors, report, seconds: None };
    let model = model.fit_detector(series, detect, control)?;
    Ok(Model { seconds: Some(started.elapsed().as_secs_f64()), ..model })
}
