//! The model of every group: read from the model column, or fitted through the cache. Runs verbs
//! over all groups in the pool.

use std::sync::Arc;

use genias::config::{ModelPurpose, Sharing};
use genias::detector::{is_trained, needs_vae};
use genias::{Backbones, Control, Error, Model, Phase, Series as TimeSeries};
use polars::prelude::*;
use rayon::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use crate::cache::{self, Fitted};
use crate::call::to_polars;
use crate::inputs::{Frame, Group};
use crate::pool::{pool, Busy, CallControl};
use crate::progress::Plan;
use crate::stored::{self, Stored};

/// Groups per thread whose models are in memory at once: enough that threads rarely wait for the
/// end of a block.
const BLOCK: usize = 8;

/// Groups whose models are in memory at once.
pub fn groups_at_a_time() -> PolarsResult<usize> {
    Ok(BLOCK * pool()?.current_num_threads())
}

/// The series of some groups.
pub fn series<'a>(frame: &'a Frame, groups: &[Group]) -> PolarsResult<Vec<TimeSeries<'a>>> {
    Ok(pool()?.install(|| groups.par_iter().map(|group| frame.series(group)).collect()))
}

/// Whether a verb needs a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detector {
    /// It needs none.
    None,
    /// It needs one in the models that it fits.
    Trained,
    /// It needs one in given models, too.
    Added,
}

/// What a verb trains for groups without a model; `fit` also adds a detector to given models.
pub fn plan(frame: &Frame, detector: Detector) -> Plan {
    let handed_in = frame.models.is_some();
    let trains = match detector {
        _ if only(frame) == Some(ModelPurpose::Generate) => false,
        Detector::None => false,
        Detector::Trained => !handed_in,
        Detector::Added => true,
    };
    let mut phases = Vec::new();
    if !handed_in && !scores_only(frame, detector) {
        phases.push(Phase::Vae);
    }
    if trains && is_trained(frame.options.detect.detector) {
        phases.push(Phase::Detector);
    }
    Plan::new(frame.groups.len(), &phases)
}

/// What the models of a fit are for, if not for everything.
fn only(frame: &Frame) -> Option<ModelPurpose> {
    frame.options.purpose.only
}

/// Whether the verb only needs a detector that uses no VAE.
fn scores_only(frame: &Frame, detector: Detector) -> bool {
    let needs_vae = needs_vae(frame.options.detect.detector);
    let scores = detector == Detector::Trained || only(frame) == Some(ModelPurpose::Score);
    frame.models.is_none() && scores && !needs_vae
}

/// Runs `work` on every group with its model and passes the results to `take` in group order. A
/// group without a model, or without a usable window, gets `None`; under `strict` that is an error.
pub fn for_each_group<T: Send>(
    frame: &Frame,
    strict: bool,
    detector: Detector,
    work: impl Fn(&Model, &TimeSeries<'_>, &CallControl) -> genias::Result<T> + Sync,
    mut take: impl FnMut(&TimeSeries<'_>, Option<T>) + Send,
) -> PolarsResult<()> {
    let plan = plan(frame, detector);
    for block in frame.groups.chunks(groups_at_a_time()?) {
        let series = series(frame, block)?;
        let models = match &frame.models {
            Some(models) => read(frame, models, block, &series),
            None if scores_only(frame, detector) => fit_scorers(frame, &series, strict, &plan),
            None => fit(frame, &series, strict, &plan, None),
        };
        let models = match (models, detector) {
            (models, _) if scores_only(frame, detector) => models,
            (Ok(models), Detector::Trained) if frame.models.is_none() => {
                add_detectors(frame, &series, models, strict, &plan, None)
            }
            (models, _) => models,
        };
        let models = models.map_err(to_polars)?;
        let answer = |i: usize| match &models[i] {
            Some(model) => {
                frame.settled(&series[i], work(model, &series[i], &plan.control), strict)
            }
            None => Ok(None),
        };
        answers(&series, answer, &mut take)?;
    }
    frame.warn()
}

/// As [`for_each_group`], without models.
pub fn for_each_series<T: Send>(
    frame: &Frame,
    strict: bool,
    work: impl Fn(&TimeSeries<'_>, &CallControl) -> genias::Result<T> + Sync,
    mut take: impl FnMut(&TimeSeries<'_>, Option<T>) + Send,
) -> PolarsResult<()> {
    let control = CallControl::new();
    for block in frame.groups.chunks(groups_at_a_time()?) {
        let series = series(frame, block)?;
        let answer = |i: usize| frame.settled(&series[i], work(&series[i], &control), strict);
        answers(&series, answer, &mut take)?;
    }
    frame.warn()
}

/// Computes the results for a block of series in the pool, and takes them in order.
fn answers<T: Send>(
    series: &[TimeSeries<'_>],
    answer: impl Fn(usize) -> genias::Result<Option<T>> + Sync,
    take: &mut (impl FnMut(&TimeSeries<'_>, Option<T>) + Send),
) -> PolarsResult<()> {
    let pool = pool()?;
    let busy = |i: usize| {
        let _busy = Busy::new();
        answer(i)
    };
    let answers: Vec<Option<T>> = pool
        .install(|| (0..series.len()).into_par_iter().map(busy).collect::<genias::Result<_>>())
        .map_err(to_polars)?;
    let answers = series.iter().zip(answers);
    pool.install(|| answers.for_each(|(series, answer)| take(series, answer)));
    Ok(())
}

/// Trains the backbones that models share, if they do: of all groups, whatever their order.
pub fn backbones(frame: &Frame, plan: &Plan) -> PolarsResult<Option<Backbones>> {
    let fleet = &frame.options.fleet;
    if !fleet.is_apart() {
        return Ok(None);
    }
    let given = frame.start.clone();
    if fleet.share != Sharing::Fleet {
        return Ok(Some(given));
    }
    let series = |i: usize| frame.series(&frame.groups[i]);
    let (count, config) = (frame.groups.len(), &frame.options.fit);
    let training = plan.begin(Phase::Vae);
    let trained = pool()?.install(|| given.train(count, series, config, &training));
    trained.map(Some).map_err(to_polars)
}

/// The models of a block with their detectors, as returned by `fit`. Detectors are added to given
/// models, or to new ones, which may share backbones.
pub fn fit_detectors(
    frame: &Frame,
    block: &[Group],
    series: &[TimeSeries<'_>],
    strict: bool,
    plan: &Plan,
    shared: Option<&Backbones>,
) -> genias::Result<Vec<Fitted>> {
    let models = match (&frame.models, only(frame)) {
        (Some(_), Some(purpose)) => {
            let allowed = "left out with `models`, to which a detector is added";
            return Err(Error::parameter("only", purpose.name(), allowed));
        }
        (None, Some(ModelPurpose::Generate)) => return fit(frame, series, strict, plan, shared),
        (None, Some(ModelPurpose::Score)) => return fit_scorers(frame, series, strict, plan),
        (Some(models), None) => read(frame, models, block, series)?,
        (None, None) => fit(frame, series, strict, plan, shared)?,
    };
    add_detectors(frame, series, models, strict, plan, shared)
}

/// Fits the series of a block, each once.
fn fit(
    frame: &Frame,
    series: &[TimeSeries<'_>],
    strict: bool,
    plan: &Plan,
    shared: Option<&Backbones>,
) -> genias::Result<Vec<Fitted>> {
    let config = &frame.options.fit;
    let make = |position: usize, control: &dyn Control| match shared {
        None => genias::fit(&series[position], config, control),
        Some(shared) => genias::fit_on(&series[position], config, shared, control),
    };
    let own = settings(config)?;
    let parts = |position: usize| vec![own.clone(), key_of(shared, &series[position])];
    fit_each(frame, series, parts, make, strict, plan, Phase::Vae)
}

/// What a fit depends on, besides its series and options.
fn key_of(shared: Option<&Backbones>, series: &TimeSeries<'_>) -> Vec<u8> {
    shared.map_or_else(Vec::new, |shared| shared.key(series.content_hash()))
}

/// Fits models that only score to the series of a block, each once.
fn fit_scorers(
    frame: &Frame,
    series: &[TimeSeries<'_>],
    strict: bool,
    plan: &Plan,
) -> genias::Result<Vec<Fitted>> {
    let (config, detect) = (&frame.options.fit, &frame.options.detect);
    let make = |position: usize, control: &dyn Control| {
        genias::fit_scorer(&series[position], config, detect, control)
    };
    let own = vec![settings(config)?, settings(detect)?, b"scorer".to_vec()];
    let parts = |_| own.clone();
    fit_each(frame, series, parts, make, strict, plan, Phase::Detector)
}

/// Runs `make` for the series of a block, each once; `parts` are the options in the cache key.
fn fit_each(
    frame: &Frame,
    series: &[TimeSeries<'_>],
    parts: impl Fn(usize) -> Vec<Vec<u8>> + Sync,
    make: impl Fn(usize, &dyn Control) -> genias::Result<Model> + Sync,
    strict: bool,
    plan: &Plan,
    phase: Phase,
) -> genias::Result<Vec<Fitted>> {
    let fit = |position: usize, control: &dyn Control| {
        let fitted = make(position, control);
        if fitted.is_ok() {
            cache::count_fit();
        }
        frame.settled(&series[position], fitted, strict)
    };
    let how = vec![u8::from(strict), u8::from(frame.is_lenient())];
    let parts = |position: usize| Ok([parts(position), vec![how.clone()]].concat());
    let models = each_once(series, parts, fit, plan, phase)?;
    let without = series.iter().zip(&models).filter(|(_, model)| model.is_none());
    without.for_each(|(series, _)| frame.note_without(series));
    Ok(models)
}

/// Trains the detector of every model of a block, each once.
fn add_detectors(
    frame: &Frame,
    series: &[TimeSeries<'_>],
    models: Vec<Fitted>,
    strict: bool,
    plan: &Plan,
    shared: Option<&Backbones>,
) -> genias::Result<Vec<Fitted>> {
    let config = &frame.options.detect;
    let fit = |position: usize, control: &dyn Control| match &models[position] {
        Some(model) => {
            let fitted = model.fit_detector(&series[position], config, control);
            frame.settled(&series[position], fitted, strict)
        }
        None => Ok(None),
    };
    let own = settings(config)?;
    // The cache key holds the options of a model that was fitted here, or the bytes of a given one.
    let how = match frame.models {
        None => Some(settings(&frame.options.fit)?),
        Some(_) => None,
    };
    let parts = |position: usize| {
        let base = match (&how, &models[position]) {
            (Some(how), _) => how.clone(),
            (None, Some(model)) => model.to_bytes()?,
            (None, None) => Vec::new(),
        };
        let how = vec![u8::from(strict), u8::from(frame.is_lenient())];
        Ok(vec![own.clone(), base, key_of(shared, &series[position]), how])
    };
    each_once(series, parts, fit, plan, Phase::Detector)
}

fn settings(config: &impl serde::Serialize) -> genias::Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|error| Error::Model(error.to_string()))
}

/// Runs `make` for every series through the cache. The key is the content of the series and the
/// bytes `parts`.
fn each_once(
    series: &[TimeSeries<'_>],
    parts: impl Fn(usize) -> genias::Result<Vec<Vec<u8>>> + Sync,
    make: impl Fn(usize, &dyn Control) -> genias::Result<Option<Model>> + Sync,
    plan: &Plan,
    phase: Phase,
) -> genias::Result<Vec<Fitted>> {
    let pool = pool().map_err(|error| Error::Model(error.to_string()))?;
    let key = |position: usize| {
        let mut hash = Xxh3::new();
        hash.update(&series[position].content_hash().to_le_bytes());
        parts(position)?.iter().for_each(|part| hash.update(part));
        Ok(hash.digest128())
    };
    let keys = pool.install(|| {
        (0..series.len()).into_par_iter().map(key).collect::<genias::Result<Vec<u128>>>()
    })?;
    let one = |&position: &usize| {
        let _busy = Busy::new();
        let training = plan.begin(phase);
        let fitted = make(position, &training)?.map(Arc::new);
        training.finish();
        Ok(fitted)
    };
    let make = |positions: &[usize]| {
        pool.install(|| positions.par_iter().map(one).collect::<genias::Result<Vec<Fitted>>>())
    };
    cache::fits(&keys, make, || plan.control.cancelled(), |n| plan.found(phase, n))
}

/// Reads the model of each group of a block. A model shared by all groups is read once.
fn read(
    frame: &Frame,
    models: &Stored,
    block: &[Group],
    series: &[TimeSeries<'_>],
) -> genias::Result<Vec<Fitted>> {
    let mut last: Option<(u128, Fitted)> = None;
    block
        .iter()
        .zip(series)
        .map(|(group, series)| {
            let Some(bytes) = frame.model_of(group) else { return Ok(None) };
            let key = stored::hash(bytes);
            if let Some((known, fitted)) = &last {
                if *known == key {
                    return Ok(fitted.clone());
                }
            }
            let read = models.read(bytes).map(Arc::new);
            let fitted = frame.settled(series, read, true)?;
            last = Some((key, fitted.clone()));
            Ok(fitted)
        })
        .collect()
}
