//! Step 7, generate: anomalies in place of selected rows, or as pairs of windows.

use std::ops::Range;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::columns::{Columns, Copied, Series};
use crate::config::{Distance, GenerateConfig, Patch, WINDOW_BUDGET};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::inject::Kind;
use crate::model::Model;
use crate::normalise::Matrix;
use crate::patch::{Change, Decoded, blend_weights, patch};
use crate::perturb::decode_pair;
use crate::place::place;
use crate::rng::{Purpose, Rng};
use crate::train::{INFERENCE_SHARE, spread_over_pool};
use crate::windows;

/// How often an anomaly also hits features that were constant in training, where it may.
const CONSTANT_RATE: f64 = 0.2;
/// Most such features that one anomaly hits.
const CONSTANT_MOST: usize = 3;
/// Anomalies that are in memory at a time, in shares.
const BLOCKS: usize = 8;

/// One anomaly, generated or injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// What was injected; `None` where a model generated it.
    pub kind: Option<Kind>,
    /// Rows of the series (not of the frame) that it takes.
    pub rows: Range<usize>,
    /// Per hit feature: its position and the new values, in input units, one per row.
    pub values: Vec<(usize, Vec<f64>)>,
}

/// One pair of windows, row-major [W, D] in input units.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// First row in the series.
    pub start: usize,
    /// The window as it is.
    pub normal: Vec<f32>,
    /// The same window with an anomaly.
    pub anomalous: Vec<f32>,
    /// Which values the anomaly hit.
    pub mask: Vec<bool>,
}

/// A segment to hit and the window that it is decoded in.
struct Site {
    window: usize,
    segment: Range<usize>,
}

/// A change in z-scores of live features, or in units of `height` of constant ones.
enum Hit {
    Live(Change),
    Constant { feature: usize, delta: Vec<f32>, height: f64 },
}

impl Model {
    /// Places non-overlapping anomalies on the clean rows of a series, in time order.
    ///
    /// The positions and shapes depend on the seed and the content of the series only.
    ///
    /// # Errors
    /// [`Error::TooShort`] or [`Error::NoWindow`] for a series with no clean window,
    /// [`Error::DoesNotFit`], [`Error::ModelFeatures`], [`Error::Parameter`].
    pub fn generate(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        config.validate(self.config.window)?;
        let config = &self.resolved(config);
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |t| series.is_clean(t))?;
        let key = stream_key(series);
        let mut rng = Rng::new(config.seed, Purpose::Place, key);
        let length = lengths(config, self.config.window);
        let segments = place(&runs, series.len(), config.contamination, length, &mut rng)?;
        let sites: Vec<Site> = segments
            .into_iter()
            .filter_map(|segment| site(segment, &runs, self.config.window, &mut rng))
            .collect();
        let hits = self.hits(&matrix, &sites, config, key, control)?;
        spread_over_pool(sites.len(), control, |i| {
            Ok(self.anomaly(series, sites[i].segment.clone(), &hits[i]))
        })
    }

    /// A pair of windows at every `stride` rows: as it is, and with an anomaly of `length` rows at
    /// a random place in it.
    ///
    /// # Errors
    /// As [`Model::generate`], but for [`Error::DoesNotFit`].
    pub fn pairs(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Pair>> {
        let size = self.config.window;
        config.validate(size)?;
        let config = &self.resolved(config);
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |t| series.is_clean(t))?;
        let stride =
            config.stride.unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
        let key = stream_key(series);
        let mut rng = Rng::new(config.seed, Purpose::Place, key);
        let (low, high) = lengths(config, size);
        let sites: Vec<Site> = windows::starts(&runs, size, stride)
            .into_iter()
            .map(|window| {
                let length = low + rng.below(high - low + 1);
                let start = window + rng.below(size - length + 1);
                Site { window, segment: start..start + length }
            })
            .collect();
        let hits = self.hits(&matrix, &sites, config, key, control)?;
        let pair = |(site, hits): (Site, Vec<Hit>)| {
            let anomaly = self.anomaly(series, site.segment, &hits);
            pair(series, site.window, size, &anomaly)
        };
        Ok(sites.into_iter().zip(hits).map(pair).collect())
    }

    /// The options with the model's own tau where none is given.
    pub(crate) fn resolved(&self, config: &GenerateConfig) -> GenerateConfig {
        let own = self.report.tau.filter(|_| config.distance == Distance::Rms);
        GenerateConfig { tau: config.tau.or(own), ..config.clone() }
    }

    /// What the anomaly at each site changes.
    fn hits(
        &self,
        matrix: &Matrix,
        sites: &[Site],
        config: &GenerateConfig,
        key: [u64; 2],
        control: &dyn Control,
    ) -> Result<Vec<Vec<Hit>>> {
        let mut hits = Vec::with_capacity(sites.len());
        for (block, group) in sites.chunks(INFERENCE_SHARE * BLOCKS).enumerate() {
            if control.cancelled() {
                return Err(Error::Interrupted);
            }
            let shares: Vec<&[Site]> = group.chunks(INFERENCE_SHARE).collect();
            let done = spread_over_pool(shares.len(), control, |i| {
                let first = (block * BLOCKS + i) * INFERENCE_SHARE;
                self.share_hits(matrix, shares[i], first, config, key)
            })?;
            hits.extend(done.into_iter().flatten());
        }
        Ok(hits)
    }

    /// The hits of one share of sites; `first` is the number of its first anomaly.
    fn share_hits(
        &self,
        matrix: &Matrix,
        sites: &[Site],
        first: usize,
        config: &GenerateConfig,
        key: [u64; 2],
    ) -> Result<Vec<Vec<Hit>>> {
        let (size, features, latent) = (self.config.window, matrix.features(), self.latent());
        let mut streams: Vec<Rng> = (0..sites.len())
            .map(|i| Rng::new(config.seed, Purpose::Anomaly, [key[0], (first + i) as u64]))
            .collect();
        let starts: Vec<usize> = sites.iter().map(|site| site.window).collect();
        let windows = matrix.gather(&starts, size);
        let (mut plain, mut perturbed) = (Vec::new(), Vec::new());
        if let Some(vae) = &self.vae {
            let eps: Vec<f32> = streams.iter_mut().flat_map(|rng| rng.normals(latent)).collect();
            let eps = Tensor::from_vec(eps, (sites.len(), latent), &Device::Cpu)?;
            let x = Tensor::from_slice(&windows, (sites.len(), size, features), &Device::Cpu)?;
            (plain, perturbed) = decode_pair(vae, &x, &eps, self.psi(), self.config.perturbation)?;
        }
        let values = size * features;
        Ok(sites
            .iter()
            .zip(&mut streams)
            .enumerate()
            .map(|(i, (site, rng))| {
                let segment = site.segment.start - site.window..site.segment.end - site.window;
                let range = i * values..(i + 1) * values;
                let decoded = (features > 0).then(|| Decoded {
                    input: &windows[range.clone()],
                    plain: &plain[range.clone()],
                    perturbed: &perturbed[range],
                    features,
                });
                self.site_hits(decoded, segment, config, rng)
            })
            .collect())
    }

    fn site_hits(
        &self,
        decoded: Option<Decoded<'_>>,
        segment: Range<usize>,
        config: &GenerateConfig,
        rng: &mut Rng,
    ) -> Vec<Hit> {
        let length = segment.len();
        let constants = match decoded {
            None => true,
            Some(_) => config.hit_constant && rng.uniform() < CONSTANT_RATE,
        };
        let mut hits: Vec<Hit> = decoded
            .map(|decoded| patch(decoded, segment, config, rng))
            .unwrap_or_default()
            .into_iter()
            .map(Hit::Live)
            .collect();
        if constants {
            hits.extend(self.constant_hits(length, rng));
        }
        hits
    }

    /// A pulse on one to three of the features that were constant in training.
    fn constant_hits(&self, length: usize, rng: &mut Rng) -> Vec<Hit> {
        let mut constant = self.normaliser.constant_features();
        if constant.is_empty() {
            return Vec::new();
        }
        rng.shuffle(&mut constant);
        constant.truncate(1 + rng.below(constant.len().min(CONSTANT_MOST)));
        constant.sort_unstable();
        constant
            .into_iter()
            .map(|feature| {
                let height = pulse(self.normaliser.mean[feature], rng.below(2) == 0);
                Hit::Constant { feature, delta: blend_weights(length), height }
            })
            .collect()
    }

    /// The new values of an anomaly, in input units.
    fn anomaly(&self, series: &Series<'_>, rows: Range<usize>, hits: &[Hit]) -> Anomaly {
        let live = self.normaliser.live_features();
        let values = hits
            .iter()
            .map(|hit| {
                let (feature, delta, unit) = match hit {
                    Hit::Live(change) => {
                        let feature = live[change.feature];
                        (feature, &change.delta, self.normaliser.std[feature])
                    }
                    Hit::Constant { feature, delta, height } => (*feature, delta, *height),
                };
                let most = series.columns().largest(feature);
                let changed = rows
                    .clone()
                    .zip(delta)
                    .map(|(t, delta)| {
                        let value = series.value(feature, t).unwrap_or(f64::NAN);
                        (value + f64::from(*delta) * unit).clamp(-most, most)
                    })
                    .collect();
                (feature, changed)
            })
            .collect();
        Anomaly { kind: None, rows, values }
    }
}

/// Height of a pulse on a constant: a flag flips, anything else moves by a tenth or by 1.
pub(crate) fn pulse(constant: f64, up: bool) -> f64 {
    const SAME: f64 = 1e-3;
    if (constant - 1.0).abs() < SAME {
        -1.0
    } else if constant.abs() < SAME || (constant + 1.0).abs() < SAME {
        1.0
    } else {
        let height = f64::max(1.0, 0.1 * constant.abs());
        if up { height } else { -height }
    }
}

/// Shortest and longest anomaly; with the length-driven patch any length up to the window.
fn lengths(config: &GenerateConfig, window: usize) -> (usize, usize) {
    match (config.patch, config.length) {
        (Patch::Length, None) => (1, window),
        _ => config.length_bounds(window),
    }
}

/// The random streams of a series are named by its content.
pub(crate) fn stream_key(series: &Series<'_>) -> [u64; 2] {
    let hash = series.content_hash();
    [hash as u64, (hash >> 64) as u64]
}

/// A window, drawn from those of the segment's run that contain it.
fn site(segment: Range<usize>, runs: &[Range<usize>], size: usize, rng: &mut Rng) -> Option<Site> {
    let run = runs.iter().find(|run| run.start <= segment.start && segment.end <= run.end)?;
    let low = run.start.max(segment.end.saturating_sub(size));
    let high = segment.start.min(run.end - size);
    let window = low + rng.below(high - low + 1);
    Some(Site { window, segment })
}

fn pair(series: &Series<'_>, start: usize, size: usize, anomaly: &Anomaly) -> Pair {
    let width = series.columns().width();
    let value = |i: usize| series.value(i % width, start + i / width).unwrap_or(f64::NAN) as f32;
    let normal: Vec<f32> = (0..size * width).map(value).collect();
    let (mut anomalous, mut mask) = (normal.clone(), vec![false; normal.len()]);
    for (feature, values) in &anomaly.values {
        for (t, value) in anomaly.rows.clone().zip(values) {
            let i = (t - start) * width + feature;
            anomalous[i] = *value as f32;
            mask[i] = true;
        }
    }
    Pair { start, normal, anomalous, mask }
}

/// Columns of a whole frame after generation: what [`Synthetic::finish`] gives.
pub struct Synthetic {
    features: Vec<Hits>,
    ids: Vec<u32>,
    kinds: Vec<Option<Kind>>,
    known: Vec<bool>,
}

/// One feature with anomalies in it, and which rows they hit.
struct Hits {
    values: Copied,
    mask: Vec<bool>,
}

/// One finished frame.
pub struct SyntheticColumns {
    /// Per feature: values with the anomalies in them, of the input's float type.
    pub values: Vec<ArrayRef>,
    /// Per feature: which rows were hit; null where nothing could be generated.
    pub masks: Vec<BooleanArray>,
    /// Whether a row belongs to an anomaly.
    pub is_anomaly: BooleanArray,
    /// Number of the anomaly within its series, from 1; null elsewhere.
    pub anomaly_id: UInt32Array,
}

impl Synthetic {
    /// Starts with the input itself; rows of series that get no answer stay null.
    pub fn new(columns: &Columns) -> Self {
        let rows = columns.rows();
        let features = (0..columns.width())
            .into_par_iter()
            .map(|d| Hits { values: columns.copy(d), mask: vec![false; rows] });
        Self {
            features: features.collect(),
            ids: vec![0; rows],
            kinds: vec![None; rows],
            known: vec![false; rows],
        }
    }

    /// Adds the anomalies of one series, feature by feature in the pool of the caller.
    pub fn add(&mut self, series: &Series<'_>, anomalies: &[Anomaly]) {
        (0..series.len()).for_each(|t| self.known[series.row(t)] = true);
        for (number, anomaly) in anomalies.iter().enumerate() {
            for row in anomaly.rows.clone().map(|t| series.row(t)) {
                self.ids[row] = number as u32 + 1;
                self.kinds[row] = anomaly.kind;
            }
        }
        self.features.par_iter_mut().enumerate().for_each(|(d, hits)| {
            for anomaly in anomalies {
                let of_feature = anomaly.values.iter().filter(|(feature, _)| *feature == d);
                for (t, value) in of_feature.flat_map(|(_, v)| anomaly.rows.clone().zip(v)) {
                    let row = series.row(t);
                    hits.values.set(row, *value);
                    hits.mask[row] = true;
                }
            }
        });
    }

    /// Name of the kind of the anomaly of each row; null where there is none, or a generated one.
    pub fn anomaly_kind(&self) -> StringArray {
        self.kinds.iter().map(|kind| kind.map(Kind::name)).collect()
    }

    /// The columns.
    pub fn finish(self) -> SyntheticColumns {
        let known = NullBuffer::new(BooleanBuffer::from_iter(self.known.iter().copied()));
        let hit = BooleanBuffer::from_iter(self.ids.iter().map(|id| *id > 0));
        let features = self.features.into_par_iter().map(|hits| {
            let mask = BooleanBuffer::from(hits.mask);
            (hits.values.finish(), BooleanArray::new(mask, Some(known.clone())))
        });
        let (values, masks) = features.unzip();
        SyntheticColumns {
            values,
            masks,
            is_anomaly: BooleanArray::new(hit.clone(), Some(known)),
            anomaly_id: UInt32Array::new(self.ids.into(), Some(NullBuffer::new(hit))),
        }
    }
}
