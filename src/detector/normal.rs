//! The windows of a series that detectors are trained and calibrated on.

use std::cell::OnceCell;

use candle_core::{Device, Tensor};

use super::negatives::{Anomalous, NegativeSampler, NegativesPlan};
use crate::config::{Aggregate, Negatives};
use crate::data::batches::map_shares;
use crate::data::normalise::Matrix;
use crate::data::overlap::Overlap;
use crate::data::series::Series;
use crate::data::windows::{self, clean_starts, spread};
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// Held-out windows that a detector is calibrated on, and as many with anomalies.
const EXAMINED: usize = 256;

/// Scored windows that begin within the rows of one.
const SCORED: usize = 4;

/// What a detector is trained on: a series, and its normal windows once they are asked for.
pub(crate) struct TrainingData<'a> {
    pub generator: &'a Generator,
    pub series: &'a Series<'a>,
    normal: OnceCell<NormalWindows<'a>>,
}

impl<'a> TrainingData<'a> {
    pub(crate) fn new(generator: &'a Generator, series: &'a Series<'a>) -> Self {
        Self { generator, series, normal: OnceCell::new() }
    }

    /// The normal windows; all generated anomalies are made of them, with the VAE.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] where there is no VAE, [`crate::Error::TooShort`],
    /// [`crate::Error::NoWindow`], [`crate::Error::Interrupted`].
    pub(crate) fn windows(&self, control: &dyn Control) -> Result<&NormalWindows<'a>> {
        self.generator.require_vae()?;
        if let Some(normal) = self.normal.get() {
            return Ok(normal);
        }
        let normal = NormalWindows::new(self.generator, self.series, control)?;
        Ok(self.normal.get_or_init(|| normal))
    }
}

/// The normal windows of a series, as a detector sees them.
pub(crate) struct NormalWindows<'a> {
    pub generator: &'a Generator,
    /// Every feature in its own scale, [T, D].
    pub matrix: Matrix,
    /// The live ones, [T, D_live].
    live: Matrix,
    /// Start rows of those to train on.
    pub train: Vec<usize>,
    /// Start rows of those held out.
    pub validation: Vec<usize>,
}

impl<'a> NormalWindows<'a> {
    /// The same windows as the VAE's: to train on and held out.
    fn new(generator: &'a Generator, series: &Series<'_>, control: &dyn Control) -> Result<Self> {
        let config = &generator.config;
        let starts = clean_starts(series, config)?;
        let (train, validation) = windows::split(&starts, config.window, config.validation);
        let matrix = generator.normaliser.apply_all(series, control)?;
        let live = generator.normaliser.apply(series, control)?;
        Ok(Self { generator, matrix, live, train, validation })
    }

    /// Rows of a window.
    pub(crate) fn size(&self) -> usize {
        self.generator.config.window
    }

    /// What `work` gives for the rows of the held-out windows, combined as scores are, in time order.
    pub(crate) fn held_out_scores(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<f32>> + Sync + Send,
    ) -> Result<Vec<f32>> {
        let (size, width) = (self.size(), self.matrix.features());
        let starts = apart(&self.validation, (size / SCORED).max(1));
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return Ok(Vec::new());
        };
        let scores = map_shares(starts.len(), control, |share| {
            let shape = (share.len(), size, width);
            work(&Tensor::from_vec(self.matrix.gather(&starts[share], size), shape, &Device::Cpu)?)
        })?;
        let mut rows = Overlap::new(last + size - first, 1, Aggregate::Mean);
        let scores = scores.iter().flat_map(|share| share.chunks_exact(size));
        for (start, scores) in starts.iter().zip(scores) {
            rows.add(start - first..start - first + size, scores);
        }
        Ok((0..last + size - first).filter_map(|t| rows.get(t, 0)).collect())
    }

    /// Anomalies on the windows at `starts`.
    pub(crate) fn negatives<'b>(
        &'b self,
        starts: &'b [usize],
        plan: NegativesPlan,
        control: &dyn Control,
    ) -> Result<NegativeSampler<'b>> {
        NegativeSampler::new(self.generator, &self.matrix, &self.live, starts, plan, control)
    }
}

/// Held-out windows, evenly spaced, and as many with an anomaly.
pub(crate) struct HeldOut {
    sizes: (usize, usize),
    normal: Vec<f32>,
    anomalous: Vec<f32>,
    hit: Vec<bool>,
    /// Which rows of the normal and of the anomalous windows lack a value; empty where none does.
    missing: [Vec<bool>; 2],
}

impl HeldOut {
    /// Anomalies of each of `kinds`, in equal shares.
    pub(crate) fn draw(
        normal: &NormalWindows<'_>,
        kinds: &[Negatives],
        seed: u64,
        control: &dyn Control,
    ) -> Result<Self> {
        let starts = spread(&normal.validation, EXAMINED);
        let sizes = (normal.size(), normal.matrix.features());
        let values = normal.matrix.gather(&starts, sizes.0);
        let missing = starts.iter().flat_map(|&t| normal.matrix.rows_missing(t, sizes.0));
        let missing = [missing.collect(), Vec::new()];
        let (anomalous, hit) = (Vec::new(), Vec::new());
        let mut held_out = Self { sizes, normal: values, anomalous, hit, missing };
        for (i, kind) in kinds.iter().enumerate() {
            let plan = NegativesPlan { source: *kind, seed, residuals: EXAMINED };
            let source = normal.negatives(&normal.validation, plan, control)?;
            let Anomalous { windows, hit, missing } =
                source.draw(EXAMINED / kinds.len(), u64::MAX - i as u64);
            held_out.anomalous.extend(windows);
            held_out.hit.extend(hit);
            held_out.missing[1].extend(missing);
        }
        Ok(held_out)
    }

    /// Other anomalies than a detector was trained on.
    pub(crate) fn calibrating(
        normal: &NormalWindows<'_>,
        negatives: Negatives,
        control: &dyn Control,
    ) -> Result<Self> {
        let seed = normal.generator.config.seed.wrapping_add(1);
        Self::draw(normal, &[negatives], seed, control)
    }

    /// What `work` gives for the rows of the normal windows, in order.
    pub(crate) fn normal<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<T>> {
        Ok(complete(self.rows(&self.normal, control, work)?, &self.missing[0]).collect())
    }

    /// What `work` gives for the rows of the anomalous windows, and whether each is hit.
    pub(crate) fn anomalous<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<(T, bool)>> {
        let rows = self.rows(&self.anomalous, control, work)?;
        let marked = rows.into_iter().zip(self.hit.iter().copied());
        Ok(complete(marked, &self.missing[1]).collect())
    }

    /// Both, one after the other.
    pub(crate) fn marked<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<(T, bool)>> {
        let normal = self.normal(control, &work)?.into_iter().map(|row| (row, false));
        Ok(normal.chain(self.anomalous(control, &work)?).collect())
    }

    fn rows<T: Send>(
        &self,
        values: &[f32],
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<T>> {
        let (window, features) = self.sizes;
        let width = window * features;
        let done = map_shares(values.len() / width.max(1), control, |share| {
            let values = &values[share.start * width..share.end * width];
            work(&Tensor::from_slice(values, (share.len(), window, features), &Device::Cpu)?)
        })?;
        Ok(done.into_iter().flatten().collect())
    }
}

/// Those of ascending rows that are at least `step` rows after the one before.
fn apart(starts: &[usize], step: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for &start in starts {
        if kept.last().is_none_or(|last| start >= last + step) {
            kept.push(start);
        }
    }
    kept
}

/// The items of rows that have all values; `missing` marks the rows that lack one, and may be empty.
fn complete<T>(rows: impl IntoIterator<Item = T>, missing: &[bool]) -> impl Iterator<Item = T> {
    let rows = rows.into_iter().enumerate();
    rows.filter(|(i, _)| !missing.get(*i).copied().unwrap_or(false)).map(|(_, row)| row)
}
