//! Step 7, generate: anomalies in place of selected rows, or as pairs of windows.

use std::ops::Range;

use crate::blend::blend_weights;
use crate::columns::Series;
use crate::config::{Form, GenerateConfig, PAPER_TAU, Patch, WINDOW_BUDGET};
use crate::control::Control;
use crate::diversity::descriptor;
use crate::draw::{Drawer, Drawn, Site, decodings};
use crate::error::{Error, Result};
use crate::inject::Kind;
use crate::joint::PARTNERS;
use crate::model::Model;
use crate::normalise::{Matrix, Normaliser, Z_LIMIT};
use crate::patch::{Change, Rule};
use crate::place::place;
use crate::rng::{Purpose, Rng};
use crate::train::{INFERENCE_SHARE, spread_over_pool};
use crate::wild::Wild;
use crate::windows;

pub use crate::synthetic::{Synthetic, SyntheticColumns};

/// How often an anomaly also hits features that were constant in training, where it may.
const CONSTANT_RATE: f64 = 0.2;
/// Most such features that one anomaly hits.
const CONSTANT_MOST: usize = 3;
/// Anomalies that are in memory at a time, in shares.
const BLOCKS: usize = 8;

/// One anomaly, generated or injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// What it is.
    pub kind: AnomalyKind,
    /// Rows of the series (not of the frame) that it takes.
    pub rows: Range<usize>,
    /// Per hit feature: its position and the new values, in input units, one per row; NaN where the
    /// input has none, and stays as it is.
    pub values: Vec<(usize, Vec<f64>)>,
    /// Root mean square of the change over its rows and hit features, in training standard deviations
    /// of each feature (in input units for a feature that is constant in training).
    pub strength: f64,
    /// How it came of a model; `None` where it was injected, or hits constant features only.
    pub origin: Option<Origin>,
}

impl Anomaly {
    /// Whether it changes a value: where it fell onto nulls alone, it does not.
    fn is_any(&self) -> bool {
        self.values.iter().any(|(_, values)| values.iter().any(|value| !value.is_nan()))
    }
}

/// How an anomaly came of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// Scale of its latent noise, >= 1; 1 where there is none (`patch` "correlation", deformations).
    pub psi: f64,
    /// Deviation of the feature that deviated most of those that it hits, as it was drawn (before
    /// `strength` and blending), in the units of `tau`. With `patch` "correlation", the joint distance
    /// of its rows over the largest normal one.
    pub distance: f64,
    /// How often it was drawn again because no feature passed `tau`.
    pub redraws: u32,
    /// Whether no draw had a feature that passed `tau`, so that the most deviating one was taken; or
    /// whether no change made the joint distance leave its normal range.
    pub fallback: bool,
}

/// What an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// A classical anomaly.
    Injected(Kind),
    /// A generated one, by the number of its kind, from 1; 0 where it hits constant features only.
    Generated(u32),
}

impl AnomalyKind {
    /// Name of an injected kind.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Injected(kind) => Some(kind.name()),
            Self::Generated(_) => None,
        }
    }

    /// Number of a generated kind.
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Injected(_) => None,
            Self::Generated(number) => Some(number),
        }
    }
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

/// What one anomaly changes, and how it came of the model.
struct Made {
    hits: Vec<Hit>,
    /// Number of its kind; 0 where only constant features are hit.
    kind: u32,
    origin: Option<Origin>,
}

/// A change in z-scores of live features, or in units of `height` of constant ones.
enum Hit {
    Live(Change),
    Constant { feature: usize, delta: Vec<f32>, height: f64 },
}

impl Model {
    /// Places non-overlapping anomalies on the rows of a series, in time order: not on known anomalies,
    /// nor where windows hold more nulls than the model allows. Nulls inside an anomaly stay.
    ///
    /// The positions and shapes depend on the seed and the content of the series only.
    ///
    /// # Errors
    /// [`Error::TooShort`] or [`Error::NoWindow`] for a series with no clean window,
    /// [`Error::DoesNotFit`], [`Error::ModelFeatures`], [`Error::Parameter`]; with `patch`
    /// "correlation" [`Error::NoCorrelation`].
    pub fn generate(
        &self,
        series: &Series<'_>,
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        config.validate(self.config.window)?;
        self.require_vae()?;
        let tame = Wild::find(series).left_out(series)?;
        let tame = tame.as_ref().map(|columns| series.replaced(columns));
        let series = tame.as_ref().unwrap_or(series);
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |t| !series.is_labelled(t))?;
        let runs = windows::apart(runs, self.config.window);
        let mut rng = Rng::new(config.seed, Purpose::Place, stream_key(series));
        let length = lengths(config, self.config.window);
        let segments = place(&runs, series.len(), config.contamination, length, &mut rng)?;
        let sites: Vec<Site> = segments
            .into_iter()
            .filter_map(|segment| site(segment, &runs, self.config.window, &mut rng))
            .collect();
        let made = self.made((series, &matrix, &runs), &sites, config, control)?;
        let anomalies = spread_over_pool(sites.len(), control, |i| {
            Ok(self.anomaly(series, sites[i].segment.clone(), &made[i]))
        })?;
        Ok(anomalies.into_iter().filter(Anomaly::is_any).collect())
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
        self.require_vae()?;
        let tame = Wild::find(series).left_out(series)?;
        let tame = tame.as_ref().map(|columns| series.replaced(columns));
        let series = tame.as_ref().unwrap_or(series);
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |t| !series.is_labelled(t))?;
        let stride =
            config.stride.unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
        let mut rng = Rng::new(config.seed, Purpose::Place, stream_key(series));
        let (low, high) = lengths(config, size);
        let sites: Vec<Site> = windows::starts(&runs, size, stride)
            .into_iter()
            .map(|window| {
                let length = low + rng.below(high - low + 1);
                let start = window + rng.below(size - length + 1);
                Site { window, segment: start..start + length }
            })
            .collect();
        let made = self.made((series, &matrix, &runs), &sites, config, control)?;
        let pair = |(site, made): (Site, Made)| {
            let anomaly = self.anomaly(series, site.segment, &made);
            pair(series, site.window, size, &anomaly)
        };
        Ok(sites.into_iter().zip(made).map(pair).collect())
    }

    /// What a deviation is compared with: the given tau, or the model's own for this distance.
    pub(crate) fn rule(&self, config: &GenerateConfig) -> Rule<'_> {
        let own = || self.report.tau.get(&config.distance).copied();
        let tau = config.tau.or_else(own).unwrap_or(PAPER_TAU) as f32;
        let local = self.report.local_tau.as_ref().filter(|_| config.tau.is_none());
        let variation = &self.report.variation.residual;
        Rule { distance: config.distance, tau, variation, local }
    }

    /// What the anomaly at each site changes.
    fn made(
        &self,
        (series, matrix, runs): (&Series<'_>, &Matrix, &[Range<usize>]),
        sites: &[Site],
        config: &GenerateConfig,
        control: &dyn Control,
    ) -> Result<Vec<Made>> {
        if config.patch == Patch::Correlation {
            self.check_correlation()?;
        }
        let [key, _] = stream_key(series);
        let drawer = match &self.vae {
            None => None,
            Some(vae) => {
                let decoded = if config.form == Form::Deformed {
                    let mut rng = Rng::new(config.seed, Purpose::Decoding, [key, 0]);
                    decodings(vae, matrix, runs, &mut rng, control)?
                } else {
                    Vec::new()
                };
                Some(Drawer { model: self, vae, series, matrix, config, runs, key, decoded })
            }
        };
        let mut made = Vec::with_capacity(sites.len());
        for (block, group) in sites.chunks(INFERENCE_SHARE * BLOCKS).enumerate() {
            if control.cancelled() {
                return Err(Error::Interrupted);
            }
            let shares: Vec<&[Site]> = group.chunks(INFERENCE_SHARE).collect();
            let done = spread_over_pool(shares.len(), control, |i| {
                let first = (block * BLOCKS + i) * INFERENCE_SHARE;
                let mut streams: Vec<Rng> = (first..first + shares[i].len())
                    .map(|number| Rng::new(config.seed, Purpose::Anomaly, [key, number as u64]))
                    .collect();
                self.share(drawer.as_ref(), (shares[i], first as u64), config, &mut streams)
            })?;
            made.extend(done.into_iter().flatten());
        }
        Ok(made)
    }

    /// The same for one share of sites.
    fn share(
        &self,
        drawer: Option<&Drawer<'_>>,
        (sites, first): (&[Site], u64),
        config: &GenerateConfig,
        streams: &mut [Rng],
    ) -> Result<Vec<Made>> {
        let mut made = match drawer {
            None => {
                sites.iter().map(|_| Made { hits: Vec::new(), kind: 0, origin: None }).collect()
            }
            Some(drawer) => {
                let drawn = drawer.draw(sites, first, streams)?;
                drawn.into_iter().map(|drawn| self.numbered(drawn)).collect::<Vec<_>>()
            }
        };
        for ((made, site), rng) in made.iter_mut().zip(sites).zip(streams) {
            let also = self.vae.is_none() || (config.hit_constant && rng.uniform() < CONSTANT_RATE);
            if also {
                made.hits.extend(self.constant_hits(site.segment.len(), rng));
            }
        }
        Ok(made)
    }

    /// An anomaly with the number of its kind: of its deformation, or of those like it.
    fn numbered(&self, drawn: Drawn) -> Made {
        if let Some(deformation) = drawn.deformation {
            return Made { kind: deformation.number(), ..Made::from(drawn) };
        }
        let deltas: Vec<&[f32]> = drawn.changes.iter().map(|change| &change.delta[..]).collect();
        let found = descriptor(&deltas, self.normaliser.live_features().len());
        Made { kind: self.report.kinds.of(&found), ..Made::from(drawn) }
    }

    /// Whether there is a correlation to break.
    fn check_correlation(&self) -> Result<()> {
        if self.normaliser.features.len() < 2 {
            let allowed = "used with two features or more";
            return Err(Error::parameter("patch", "correlation", allowed));
        }
        if self.joint.as_ref().is_some_and(|joint| !joint.groups().is_empty()) {
            return Ok(());
        }
        let strongest = self.strongest_correlation().unwrap_or(0.0);
        Err(Error::NoCorrelation { strongest, least: PARTNERS })
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
    fn anomaly(&self, series: &Series<'_>, rows: Range<usize>, made: &Made) -> Anomaly {
        let live = self.normaliser.live_features();
        let values: Vec<(usize, Vec<f64>)> = made
            .hits
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
        let strength = strength(series, &self.normaliser, &rows, &values);
        let kind = AnomalyKind::Generated(made.kind);
        Anomaly { kind, rows, values, strength, origin: made.origin }
    }
}

impl From<Drawn> for Made {
    fn from(drawn: Drawn) -> Self {
        let Drawn { changes, psi, distance, redraws, fallback, .. } = drawn;
        let hits = changes.into_iter().map(Hit::Live).collect();
        Self { hits, kind: 0, origin: Some(Origin { psi, distance, redraws, fallback }) }
    }
}

/// Root mean square of a change, in deviations of each feature.
pub(crate) fn strength(
    series: &Series<'_>,
    normaliser: &Normaliser,
    rows: &Range<usize>,
    values: &[(usize, Vec<f64>)],
) -> f64 {
    let (mut squares, mut n) = (0.0, 0usize);
    for (feature, values) in values {
        let std = normaliser.std[*feature];
        for (t, value) in rows.clone().zip(values) {
            if let Some(before) = series.value(*feature, t) {
                squares += (value / std - before / std).clamp(-Z_LIMIT, Z_LIMIT).powi(2);
                n += 1;
            }
        }
    }
    (squares / n.max(1) as f64).sqrt()
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
            mask[i] = !value.is_nan();
        }
    }
    Pair { start, normal, anomalous, mask }
}
