//! Training of a detector on top of a fitted generator, and its calibration on held-out windows.

use candle_core::Tensor;

use super::collection::Detectors;
use super::kinds::{spec, untrained};
use super::normal::{HeldOut, NormalWindows, TrainingData};
use super::spec::{Fit, Loaded};
use super::threshold::Calibration;
use crate::config::{DetectConfig, DetectorKind, Negatives};
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// `detectors` with one more (or the same kind retrained), which becomes the default, and its
/// thresholds; with a VAE, also those of the detectors without training. Trains on the clean
/// windows of `series`, as the VAE did.
///
/// # Errors
/// [`crate::Error::Parameter`], [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`],
/// [`crate::Error::NoWindow`], [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
pub(crate) fn fit_detector(
    detectors: &Detectors,
    generator: &Generator,
    series: &Series<'_>,
    config: &DetectConfig,
    control: &dyn Control,
) -> Result<Detectors> {
    config.validate()?;
    let tame = Wild::find(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let kind = config.detector;
    let spec = spec(kind);
    if spec.needs_vae() {
        generator.require_vae()?;
    }
    let steps = config.detector_steps.unwrap_or(spec.steps());
    let config = &DetectConfig { detector_steps: Some(steps), ..config.clone() };
    let data = TrainingData::new(generator, series);
    let mut detectors = Detectors { default: Some(kind), ..detectors.clone() };
    let mut uncalibrated: Vec<(DetectorKind, Negatives)> = Vec::new();
    if let Some(Fit { trained, calibration }) = spec.train(&data, config, control)? {
        detectors.trained.insert(kind, trained);
        match calibration {
            Some(calibration) => drop(detectors.calibrations.insert(kind, calibration)),
            None => uncalibrated.push((kind, spec.calibrated_on(config))),
        }
    }
    if generator.require_vae().is_ok() {
        let others = untrained().filter(|kind| !detectors.calibrations.contains_key(kind));
        uncalibrated.extend(others.map(|kind| (kind, Negatives::All)));
        calibrate(&mut detectors, &uncalibrated, data.windows(control)?, control)?;
    }
    Ok(detectors)
}

/// Sets the thresholds of detectors, each on held-out windows with generated anomalies of its own
/// kind.
fn calibrate(
    detectors: &mut Detectors,
    kinds: &[(DetectorKind, Negatives)],
    normal: &NormalWindows<'_>,
    control: &dyn Control,
) -> Result<()> {
    let mut drawn: Option<(Negatives, HeldOut)> = None;
    for &(kind, negatives) in kinds {
        let held_out = match drawn.take() {
            Some((known, held_out)) if known == negatives => held_out,
            _ => HeldOut::calibrating(normal, negatives, control)?,
        };
        let (_, held_out) = drawn.insert((negatives, held_out));
        let found = calibration(detectors, kind, held_out, normal, control)?;
        detectors.calibrations.insert(kind, found);
    }
    Ok(())
}

/// Thresholds of the detector `kind`.
fn calibration(
    detectors: &Detectors,
    kind: DetectorKind,
    held_out: &HeldOut,
    normal: &NormalWindows<'_>,
    control: &dyn Control,
) -> Result<Calibration> {
    let Loaded::Windows(detector) = detectors.load(kind, normal.generator)? else {
        return Err(detectors.without_thresholds(kind));
    };
    let scores = |windows: &Tensor| detector.rows(windows);
    let reference = normal.held_out_scores(control, scores)?;
    let normal = held_out.normal(control, scores)?;
    let found = Calibration::new(&normal, &held_out.anomalous(control, scores)?);
    Ok(found.with_reference(&reference))
}
