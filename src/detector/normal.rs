//! The normal windows of a series for training and calibration.

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

/// Number of held-out windows for calibration; as many with anomalies are added.
const EXAMINED: usize = 256;

/// Scored windows per window length.
const SCORED: usize = 4;

/// Training data of a detector: a series, and its normal windows on demand.
pub(crate) struct TrainingData<'a> {
    pub generator: &'a Generator,
    pub series: &'a Series<'a>,
    normal: OnceCell<NormalWindows<'a>>,
}

impl<'a> TrainingData<'a> {
    pub(crate) fn new(generator: &'a Generator, series: &'a Series<'a>) -> Self {
        Self { generator, series, normal: OnceCell::new() }
    }

    /// The normal windows; generated anomalies are based on them and on the VAE.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] without a VAE; [`crate::Error::TooShort`],
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

/// The normal windows of a series, for a detector.
pub(crate) struct NormalWindows<'a> {
    pub generator: &'a Generator,
    /// Every feature in its own scale, [T, D].
    pub matrix: Matrix,
    /// The live features, [T, D_live].
    live: Matrix,
    /// Start rows of the training windows.
    pub train: Vec<usize>,
    /// Start rows of the held-out windows.
    pub validation: Vec<usize>,
}

impl<'a> NormalWindows<'a> {
    /// The same training and held-out windows as for the VAE.
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

    /// Results of `work` for the rows of the held-out windows, combined like scores, in time order.
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

/// Evenly spaced held-out windows, and as many with an anomaly.
pub(crate) struct HeldOut {
    sizes: (usize, usize),
    normal: Vec<f32>,
    anomalous: Vec<f32>,
    hit: Vec<bool>,
    /// Rows of the normal and of the anomalous windows with a missing value; empty if there are
    /// none.
    missing: [Vec<bool>; 2],
}

impl HeldOut {
    /// Draws anomalies of each of `kinds`, in equal shares.
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

    /// Anomalies other than those the detector was trained on.
    pub(crate) fn calibrating(
        normal: &NormalWindows<'_>,
        negatives: Negatives,
        control: &dyn Control,
    ) -> Result<Self> {
        let seed = normal.generator.config.seed.wrapping_add(1);
        Self::draw(normal, &[negatives], seed, control)
    }

    /// Results of `work` for the rows of the normal windows, in order.
    pub(crate) fn normal<T: Send>(
        &self,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Vec<T>> + Sync + Send,
    ) -> Result<Vec<T>> {
        Ok(complete(self.rows(&self.normal, control, work)?, &self.missing[0]).collect())
    }

    /// Results of `work` for the rows of the anomalous windows, and whether each row is hit.
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

/// Ascending rows that are at least `step` rows after the previous one.
fn apart(starts: &[usize], step: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for &start in starts {
        if kept.last().is_none_or(|last| start >= last + step) {
            kept.push(start);
        }
    }
    kept
}

/// The items of rows without missing values; `missing` marks the others, and may be empty.
fn complete<T>(rows: impl IntoIterator<Item = T>, missing: &[bool]) -> impl Iterator<Item = T> {
    let rows = rows.into_iter().enumerate();
    rows.filter(|(i, _)| !missing.get(*i).copied().unwrap_or(false)).map(|(_, row)| row)
}
