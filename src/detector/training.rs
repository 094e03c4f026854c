//! Training of a detector on top of a fitted VAE, and its calibration on held-out windows.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::carla::{self, Carla};
use super::classifier::{self, Classifier};
use super::ensemble::{Members, SOURCES, Weights};
use super::negatives::{Anomalous, Source};
use super::network::Parameters;
use super::threshold::Calibration;
use super::{Learned, Trained};
use crate::columns::Series;
use crate::config::{DetectConfig, DetectorKind, Negatives};
use crate::control::{Control, Part};
use crate::error::Result;
use crate::model::{Model, clean_starts};
use crate::normalise::Matrix;
use crate::train::{INFERENCE_SHARE, spread, spread_over_pool};
use crate::wild::Wild;
use crate::windows;

/// Residuals of the VAE that negatives for training are made of.
const RESIDUALS: usize = 1024;
/// Held-out windows that a detector is calibrated on, and as many with anomalies.
const EXAMINED: usize = 256;

/// The normal windows of a series, as a detector sees them.
struct Normal {
    /// Every feature in its own scale, [T, D].
    matrix: Matrix,
    /// The live ones, [T, D_live].
    live: Matrix,
    train: Vec<usize>,
    validation: Vec<usize>,
}

impl Normal {
    /// The same windows as the VAE's: to train on and held out.
    fn new(model: &Model, series: &Series<'_>, control: &dyn Control) -> Result<Self> {
        let config = &model.config;
        let starts = clean_starts(series, config)?;
        let (train, validation) = windows::split(&starts, config.window, config.validation);
        let matrix = model.normaliser.apply_all(series, control)?;
        let live = model.normaliser.apply(series, control)?;
        Ok(Self { matrix, live, train, validation })
    }

    fn source<'a>(
        &'a self,
        model: &'a Model,
        starts: &'a [usize],
        kind: (Negatives, u64),
        residuals: usize,
        control: &dyn Control,
    ) -> Result<Source<'a>> {
        Source::new(model, (&self.matrix, &self.live), starts, kind, residuals, control)
    }
}

impl Model {
    /// This model with one more detector (or with that of the same kind trained anew), which
    /// scores by default from then on. Trains on the clean windows of `series`, as the VAE did;
    /// nothing is to be done for a detector that needs no training.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`], [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`],
    /// [`crate::Error::NoWindow`], [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
    pub fn fit_detector(
        &self,
        series: &Series<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Self> {
        let started = std::time::Instant::now();
        config.validate()?;
        let tame = Wild::find(series).left_out(series)?;
        let tame = tame.as_ref().map(|columns| series.replaced(columns));
        let series = tame.as_ref().unwrap_or(series);
        let most = match config.detector {
            DetectorKind::Carla => carla::STEPS,
            _ => classifier::STEPS,
        };
        let steps = config.detector_steps.unwrap_or(most);
        let config = &DetectConfig { detector_steps: Some(steps), ..config.clone() };
        let kind = config.detector;
        let mut model = self.clone();
        if kind == DetectorKind::Evidence {
            let (trained, calibration) = self.fit_evidence(series, config, control)?;
            model.trained.insert(kind, trained);
            model.report.calibrations.insert(kind, calibration);
        } else if kind.is_trained() {
            self.require_vae()?;
            let normal = Normal::new(self, series, control)?;
            let trained = match kind {
                DetectorKind::Ensemble => self.train_ensemble(&normal, config, control)?,
                _ => self.train_nets(&normal, config, control)?,
            };
            model.trained.insert(kind, trained);
            let negatives = match kind {
                DetectorKind::Ensemble => Negatives::All,
                _ => config.negatives,
            };
            let held_out = HeldOut::calibrating(self, &normal, negatives, control)?;
            calibrate(&mut model, &held_out, kind, control)?;
        }
        model.report.detector = Some(kind);
        model.seconds = self.seconds.map(|seconds| seconds + started.elapsed().as_secs_f64());
        Ok(model)
    }

    fn train_nets(
        &self,
        normal: &Normal,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Trained> {
        let kind = (config.negatives, config.seed);
        let source = normal.source(self, &normal.train, kind, RESIDUALS, control)?;
        let mut parameters = BTreeMap::new();
        let mut learned = Learned::default();
        for net in 0..config.nets {
            let control = &Part::new(control, net, config.nets);
            let config = (config, net as u64);
            let trained = if config.0.detector == DetectorKind::Carla {
                let (matrix, starts) = (&normal.matrix, &normal.train);
                let window = self.config.window;
                let (trained, class) =
                    Carla::train(matrix, starts, window, &source, config, control)?;
                learned.normal_classes.push(class);
                trained
            } else {
                self.train_net(normal, &source, config, control)?
            };
            store(&mut parameters, net, trained);
        }
        Ok(Trained { config: config.clone(), learned, parameters, built: Default::default() })
    }

    fn train_net(
        &self,
        normal: &Normal,
        source: &Source<'_>,
        config: (&DetectConfig, u64),
        control: &dyn Control,
    ) -> Result<Parameters> {
        let window = self.config.window;
        Classifier::train(&normal.matrix, &normal.train, window, source, config, control)
    }

    fn train_ensemble(
        &self,
        normal: &Normal,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Trained> {
        let mut parameters = BTreeMap::new();
        for (net, kind) in SOURCES.into_iter().enumerate() {
            let source =
                normal.source(self, &normal.train, (kind, config.seed), RESIDUALS, control)?;
            let part = Part::new(control, net, SOURCES.len());
            let trained = self.train_net(normal, &source, (config, net as u64), &part)?;
            store(&mut parameters, net, trained);
        }
        let mut trained =
            Trained { config: config.clone(), learned: Learned::default(), parameters, built: Default::default() };
        let nets = (0..SOURCES.len()).map(|i| Classifier::new(&trained.net(i)));
        let members = Members::new(nets.collect::<Result<_>>()?);
        let held_out = HeldOut::draw(self, normal, &SOURCES, config.seed, control)?;
        let scores = |windows: &Tensor| members.scores(windows);
        let mut rows: Vec<_> =
            held_out.normal_rows(control, scores)?.into_iter().map(|row| (row, false)).collect();
        rows.extend(held_out.anomalous_rows(control, scores)?);
        trained.learned.weights = Some(Weights::fit(&rows));
        Ok(trained)
    }
}

fn store(parameters: &mut BTreeMap<String, Tensor>, net: usize, trained: Parameters) {
    let named = trained.into_iter().map(|(name, tensor)| (format!("{net}.{name}"), tensor));
    parameters.extend(named);
}

/// Thresholds of the detectors that need no training.
pub(crate) fn calibrate_untrained(
    model: &mut Model,
    series: &Series<'_>,
    control: &dyn Control,
) -> Result<()> {
    let normal = Normal::new(model, series, control)?;
    let held_out = HeldOut::calibrating(model, &normal, Negatives::All, control)?;
    for kind in [DetectorKind::Reconstruction, DetectorKind::Amplitude] {
        calibrate(model, &held_out, kind, control)?;
    }
    Ok(())
}

fn calibrate(
    model: &mut Model,
    held_out: &HeldOut,
    kind: DetectorKind,
    control: &dyn Control,
) -> Result<()> {
    let detector = model.build(kind)?;
    let scores = |windows: &Tensor| detector.rows(windows);
    let rows = held_out.normal_rows(control, scores)?;
    let marked = held_out.anomalous_rows(control, scores)?;
    drop(detector);
    model.report.calibrations.insert(kind, Calibration::new(&rows, &marked));
    Ok(())
}

/// What belongs to rows that have all values; `missing` says of each row whether it lacks one, or is empty.
fn complete<T>(
    rows: impl IntoIterator<Item = T>,
    missing: &[bool],
) -> impl Iterator<Item = T> {
    let rows = rows.into_iter().enumerate();
    rows.filter(|(i, _)| !missing.get(*i).copied().unwrap_or(false)).map(|(_, row)| row)
}

/// Held-out windows, evenly spaced, and as many with an anomaly.
struct HeldOut {
    sizes: (usize, usize),
    normal: Vec<f32>,
    anomalous: Vec<f32>,
    hit: Vec<bool>,
    /// Which rows of the normal and of the anomalous windows lack a value; empty where none does.
    missing: [Vec<bool>; 2],
}

impl HeldOut {
    /// Anomalies of each of `kinds`, in equal shares.
    fn draw(
        model: &Model,
        normal: &Normal,
        kinds: &[Negatives],
        seed: u64,
        control: &dyn Control,
    ) -> Result<Self> {
        let starts = spread(&normal.validation, EXAMINED);
        let sizes = (model.config.window, normal.matrix.features());
        let mut held_out = Self {
            sizes,
            normal: normal.matrix.gather(&starts, sizes.0),
            anomalous: Vec::new(),
            hit: Vec::new(),
            missing: [
                starts.iter().flat_map(|&t| normal.matrix.rows_missing(t, sizes.0)).collect(),
                Vec::new(),
            ],
        };
        for (i, kind) in kinds.iter().enumerate() {
            let source =
                normal.source(model, &normal.validation, (*kind, seed), EXAMINED, control)?;
            let Anomalous { windows, hit, missing } =
                source.draw(EXAMINED / kinds.len(), u64::MAX - i as u64);
            held_out.anomalous.extend(windows);
            held_out.hit.extend(hit);
            held_out.missing[1].extend(missing);
        }
        Ok(held_out)
    }

    /// Other anomalies than a detector was trained on.
    fn calibrating(
        model: &Model,
        normal: &Normal,
        negatives: Negatives,
        control: &dyn Control,
    ) -> Result<Self> {
        Self::draw(model, normal, &[negatives], model.config.seed.wrapping_add(1), control)
    }

    /// What `work` gives for the rows of the normal windows.
    fn normal_rows<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<T>> {
        Ok(complete(self.pass(&self.normal, control, work)?, &self.missing[0]).collect())
    }

    /// What `work` gives for the rows of the windows with an anomaly, and whether it hits them.
    fn anomalous_rows<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<(T, bool)>> {
        let marked = self.pass(&self.anomalous, control, work)?.into_iter().zip(self.hit.clone());
        Ok(complete(marked, &self.missing[1]).collect())
    }

    /// What `work` gives for the rows of some windows, in order.
    fn pass<T: Send>(
        &self,
        values: &[f32],
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<T>> {
        let (window, features) = self.sizes;
        let shares: Vec<&[f32]> = values.chunks(INFERENCE_SHARE * window * features).collect();
        let done = spread_over_pool(shares.len(), control, |i| {
            let shape = (shares[i].len() / (window * features), window, features);
            work(&Tensor::from_slice(shares[i], shape, &Device::Cpu)?)
        })?;
        Ok(done.into_iter().flatten().collect())
    }
}
