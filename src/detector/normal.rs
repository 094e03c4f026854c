//! The windows of a series that detectors are trained and calibrated on.

use candle_core::{Device, Tensor};

use super::negatives::{Anomalous, NegativeSampler};
use crate::config::Negatives;
use crate::data::batches::map_shares;
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::data::windows::{self, clean_starts, spread};
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// Held-out windows that a detector is calibrated on, and as many with anomalies.
const EXAMINED: usize = 256;

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
    pub(crate) fn new(
        generator: &'a Generator,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<Self> {
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

    /// Anomalies on the windows at `starts`; `residuals` of the VAE are kept for them.
    pub(crate) fn source<'b>(
        &'b self,
        starts: &'b [usize],
        kind: (Negatives, u64),
        residuals: usize,
        control: &dyn Control,
    ) -> Result<NegativeSampler<'b>> {
        let matrices = (&self.matrix, &self.live);
        NegativeSampler::new(self.generator, matrices, starts, kind, residuals, control)
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
            let source = normal.source(&normal.validation, (*kind, seed), EXAMINED, control)?;
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

/// What belongs to rows that have all values; `missing` says of each row whether it lacks one, or is
/// empty.
fn complete<T>(rows: impl IntoIterator<Item = T>, missing: &[bool]) -> impl Iterator<Item = T> {
    let rows = rows.into_iter().enumerate();
    rows.filter(|(i, _)| !missing.get(*i).copied().unwrap_or(false)).map(|(_, row)| row)
}
