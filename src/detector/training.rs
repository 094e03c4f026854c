//! Training of a detector on top of a fitted generator, and its calibration on held-out windows.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::carla::{self, Carla};
use super::classifier::{self, Classifier};
use super::collection::{Detectors, UNTRAINED};
use super::ensemble::{Members, SOURCES, Weights};
use super::evidence::{Built, Evidence};
use super::negatives::NegativeSampler;
use super::normal::{HeldOut, NormalWindows};
use super::threshold::Calibration;
use super::trained::{Learned, Trained};
use crate::config::{DetectConfig, DetectorKind, Negatives};
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::error::Result;
use crate::generator::Generator;
use crate::nn::Parameters;
use crate::runtime::control::{Control, Part};

/// Residuals of the VAE that negatives for training are made of.
const RESIDUALS: usize = 1024;

/// `detectors` with one more (or with that of the same kind trained anew), which scores by default
/// from then on, and its thresholds; those of the detectors that need no training besides. Trains on
/// the clean windows of `series`, as the VAE did.
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
    let config = &with_steps(config);
    let kind = config.detector;
    let mut detectors = Detectors { default: Some(kind), ..detectors.clone() };
    if kind == DetectorKind::Evidence {
        fit_evidence(&mut detectors, generator, series, config, control)?;
        if generator.require_vae().is_err() {
            return Ok(detectors);
        }
    }
    generator.require_vae()?;
    let normal = NormalWindows::new(generator, series, control)?;
    if !UNTRAINED.iter().all(|kind| detectors.calibrations.contains_key(kind)) {
        let held_out = HeldOut::calibrating(&normal, Negatives::All, control)?;
        for kind in UNTRAINED {
            let found = calibration(&detectors, kind, &held_out, &normal, control)?;
            detectors.calibrations.insert(kind, found);
        }
    }
    if kind.is_trained() && kind != DetectorKind::Evidence {
        let (trained, negatives) = match kind {
            DetectorKind::Ensemble => (train_ensemble(&normal, config, control)?, Negatives::All),
            _ => (train_nets(&normal, config, control)?, config.negatives),
        };
        detectors.trained.insert(kind, trained);
        let held_out = HeldOut::calibrating(&normal, negatives, control)?;
        let found = calibration(&detectors, kind, &held_out, &normal, control)?;
        detectors.calibrations.insert(kind, found);
    }
    Ok(detectors)
}

/// Adds the evidence to `detectors`: its thresholds come from normal rows alone.
fn fit_evidence(
    detectors: &mut Detectors,
    generator: &Generator,
    series: &Series<'_>,
    config: &DetectConfig,
    control: &dyn Control,
) -> Result<()> {
    generator.normaliser.check(series)?;
    let (evidence, scores) = Evidence::fit(series, &generator.config, control)?;
    let (kept, parameters) = evidence.keep()?;
    let learned = Learned { evidence: Some(kept), ..Learned::default() };
    let trained = Trained::new(config.clone(), learned, parameters);
    let trained = Trained { built: Built::new(evidence), ..trained };
    let kind = DetectorKind::Evidence;
    detectors.trained.insert(kind, trained);
    detectors.calibrations.insert(kind, Calibration::of_normal(&scores));
    Ok(())
}

/// The options with the number of steps that is meant where none is given.
fn with_steps(config: &DetectConfig) -> DetectConfig {
    let usual = match config.detector {
        DetectorKind::Carla => carla::STEPS,
        _ => classifier::STEPS,
    };
    let steps = config.detector_steps.unwrap_or(usual);
    DetectConfig { detector_steps: Some(steps), ..config.clone() }
}

fn train_nets(
    normal: &NormalWindows<'_>,
    config: &DetectConfig,
    control: &dyn Control,
) -> Result<Trained> {
    let kind = (config.negatives, config.seed);
    let source = normal.source(&normal.train, kind, RESIDUALS, control)?;
    let mut parameters = BTreeMap::new();
    let mut learned = Learned::default();
    for net in 0..config.nets {
        let control = &Part::new(control, net, config.nets);
        let config = (config, net as u64);
        let trained = if config.0.detector == DetectorKind::Carla {
            let (matrix, starts) = (&normal.matrix, &normal.train);
            let window = normal.size();
            let (trained, class) = Carla::train(matrix, starts, window, &source, config, control)?;
            learned.normal_classes.push(class);
            trained
        } else {
            train_net(normal, &source, config, control)?
        };
        store(&mut parameters, net, trained);
    }
    Ok(Trained::new(config.clone(), learned, parameters))
}

fn train_net(
    normal: &NormalWindows<'_>,
    source: &NegativeSampler<'_>,
    config: (&DetectConfig, u64),
    control: &dyn Control,
) -> Result<Parameters> {
    Classifier::train(&normal.matrix, &normal.train, normal.size(), source, config, control)
}

fn train_ensemble(
    normal: &NormalWindows<'_>,
    config: &DetectConfig,
    control: &dyn Control,
) -> Result<Trained> {
    let mut parameters = BTreeMap::new();
    for (net, kind) in SOURCES.into_iter().enumerate() {
        let source = normal.source(&normal.train, (kind, config.seed), RESIDUALS, control)?;
        let part = Part::new(control, net, SOURCES.len());
        let trained = train_net(normal, &source, (config, net as u64), &part)?;
        store(&mut parameters, net, trained);
    }
    let mut trained = Trained::new(config.clone(), Learned::default(), parameters);
    let features = normal.matrix.features();
    let nets = (0..SOURCES.len()).map(|i| trained.classifier(i, features));
    let members = Members::new(nets.collect::<Result<_>>()?);
    let held_out = HeldOut::draw(normal, &SOURCES, config.seed, control)?;
    let rows = held_out.marked(control, |windows: &Tensor| members.scores(windows))?;
    trained.learned.weights = Some(Weights::fit(&rows));
    Ok(trained)
}

fn store(parameters: &mut Parameters, net: usize, trained: Parameters) {
    let named = trained.into_iter().map(|(name, tensor)| (format!("{net}.{name}"), tensor));
    parameters.extend(named);
}

/// Thresholds of the detector `kind`.
fn calibration(
    detectors: &Detectors,
    kind: DetectorKind,
    held_out: &HeldOut,
    normal: &NormalWindows<'_>,
    control: &dyn Control,
) -> Result<Calibration> {
    let detector = detectors.build(kind, normal.generator)?;
    let scores = |windows: &Tensor| detector.rows(windows);
    let normal = held_out.normal(control, scores)?;
    Ok(Calibration::new(&normal, &held_out.anomalous(control, scores)?))
}
