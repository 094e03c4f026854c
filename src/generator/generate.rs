//! Generates anomalies in place, or as pairs of windows.

use std::ops::Range;

use super::draw::{Drawer, Drawn};
use super::fitted::Generator;
use super::site::{Site, decodings};
use crate::anomaly::blend::blend_weights;
use crate::anomaly::change::Change;
use crate::anomaly::constant::{CONSTANT_RATE, constants, pulse};
use crate::anomaly::domain::{Adaptation, FeatureDomain, domains};
use crate::anomaly::latent::correlation::{Correlation, PARTNERS};
use crate::anomaly::latent::descriptor::descriptor;
use crate::anomaly::place::{Ground, Grounds, common, draw_lengths};
use crate::anomaly::possible::{Outcome, Possible, Wanted};
use crate::anomaly::{Anomaly, AnomalyKind, GeneratedKind, Origin, Pair, strength};
use crate::config::{Form, GenerateConfig, OneOrRange, Patch, Quota, WINDOW_BUDGET, Way, rows_of};
use crate::data::normalise::Matrix;
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::rms;

/// Shares of anomalies in memory at once.
const SHARES: usize = 8;

/// The changes of one anomaly, and how the model generated it.
#[derive(Default)]
struct GeneratedChanges {
    hits: Vec<Hit>,
    kind: GeneratedKind,
    /// Number of the most similar cluster.
    cluster: Option<u32>,
    origin: Option<Origin>,
    /// The requested strength.
    asked: Option<f64>,
    /// Changes of other features, used if the hit ones cannot show the anomaly.
    spare: Vec<Hit>,
}

/// A change in z-scores of a live feature, or a pulse of `height` on a constant one.
enum Hit {
    Live { change: Change, adaptation: Adaptation },
    Constant { feature: usize, delta: Vec<f32>, height: f64 },
}

/// Places non-overlapping anomalies on the rows of a series, in time order: not on known anomalies,
/// nor in windows with more nulls than the model allows. Nulls inside an anomaly stay null.
///
/// Positions and shapes only depend on the seed and the content of the series.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] for a series with no clean window,
/// [`Error::DoesNotFit`], [`Error::ModelFeatures`], [`Error::Parameter`]; with `patch`
/// "correlation" [`Error::NoCorrelation`].
pub(crate) fn generate(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    let segments = share_out(&[ground(generator, series, config)?], config)?;
    let segments = segments.into_iter().next().unwrap_or_default();
    generate_at(generator, series, config, &segments, control)
}

/// What a series has room for.
///
/// # Errors
/// As [`generate`].
pub(crate) fn ground(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
) -> Result<Ground> {
    let size = generator.config.window;
    config.validate(size)?;
    generator.require_vae()?;
    let key = series.stream_key();
    let tame = Wild::find(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let runs = clean_runs(generator, series)?;
    let places = windows::runs(series, |t| series.is_place(t), 1);
    let (rows, per_day) = (series.len(), series.rows_per_day());
    Ok(Ground { key, runs: common(&runs, &places), rows, per_day, longest: size })
}

/// Stretches of rows that windows of clean rows lie in.
fn clean_runs(generator: &Generator, series: &Series<'_>) -> Result<Vec<Range<usize>>> {
    let runs = generator.stretches(series, |t| !series.is_labelled(t))?;
    Ok(windows::apart(runs, generator.config.window))
}

/// Where the anomalies of some series go, all of them together: per series, in the order in which they
/// are given.
///
/// # Errors
/// [`Error::DoesNotFit`], and [`Error::Parameter`] for a `duration` that is longer than a window, or a
/// time where it is not known how many rows a day has.
pub(crate) fn share_out(
    grounds: &[Ground],
    config: &GenerateConfig,
) -> Result<Vec<Vec<Range<usize>>>> {
    let grounds = &Grounds::new(grounds);
    let rng = &mut Rng::new(config.seed, Purpose::Place, grounds.key());
    let (low, high) = lengths(config, grounds.longest(), grounds.per_day())?;
    let mut draw = || low + rng.below(high - low + 1);
    let lengths = match config.quota() {
        Quota::Count(count) | Quota::Total(count) => {
            (0..count.min(grounds.rows() + 1)).map(|_| draw()).collect()
        }
        Quota::Share(share) => draw_lengths(share * grounds.rows() as f64, draw),
    };
    let asked = config.quota().number().unwrap_or(lengths.len());
    let placed = grounds.place(&lengths, rng);
    let placed = placed.map_err(|fits| grounds.too_many(config.quota(), asked, fits))?;
    let rows = |own: Vec<(Range<usize>, usize)>| own.into_iter().map(|(rows, _)| rows).collect();
    Ok(placed.into_iter().map(rows).collect())
}

/// The anomalies of a series on these rows.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_at(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
    segments: &[Range<usize>],
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    let size = generator.config.window;
    let key = series.stream_key();
    let tame = Wild::find(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let matrix = generator.normaliser.apply(series, control)?;
    let runs = clean_runs(generator, series)?;
    let rng = &mut Rng::new(config.seed, Purpose::Window, key);
    let sites = segments.iter().filter_map(|segment| site(segment.clone(), &runs, size, rng));
    let sites: Vec<Site> = sites.collect();
    let maker = Maker::new(generator, series, &matrix, &runs, config, control)?;
    let changes = maker.changes(&sites, control)?;
    let anomalies = spread_over_pool(sites.len(), control, |i| {
        Ok(maker.anomaly(sites[i].segment.clone(), &changes[i], i))
    })?;
    Ok(anomalies.into_iter().filter(Anomaly::is_any).collect())
}

/// Pairs of windows, one every `window_stride` rows: the window, and the same with an anomaly of
/// `length` rows at a random place.
///
/// # Errors
/// As [`generate`], except [`Error::DoesNotFit`].
pub(crate) fn pairs(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
    control: &dyn Control,
) -> Result<Vec<Pair>> {
    let size = generator.config.window;
    config.validate(size)?;
    generator.require_vae()?;
    let tame = Wild::find(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    let series = tame.as_ref().unwrap_or(series);
    let matrix = generator.normaliser.apply(series, control)?;
    let runs = generator.stretches(series, |t| !series.is_labelled(t))?;
    let stride = config
        .window_stride
        .unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
    let mut rng = Rng::new(config.seed, Purpose::Place, series.stream_key());
    let (low, high) = lengths(config, size, series.rows_per_day())?;
    let sites: Vec<Site> = windows::starts(&runs, size, stride)
        .into_iter()
        .map(|window| {
            let length = low + rng.below(high - low + 1);
            let start = window + rng.below(size - length + 1);
            Site { window, segment: start..start + length }
        })
        .collect();
    let maker = Maker::new(generator, series, &matrix, &runs, config, control)?;
    let changes = maker.changes(&sites, control)?;
    let pair = |(i, (site, changes)): (usize, (Site, GeneratedChanges))| Pair {
        rows: site.window..site.window + size,
        anomaly: maker.anomaly(site.segment, &changes, i),
    };
    Ok(sites.into_iter().zip(changes).enumerate().map(pair).collect())
}

/// Checks that the features have a correlation to break.
fn check_correlation(generator: &Generator) -> Result<()> {
    if generator.normaliser.features.len() < 2 {
        let allowed = "used with two features or more";
        return Err(Error::parameter("patch", "correlation", allowed));
    }
    let breakable = |correlation: &Correlation| !correlation.groups().is_empty();
    if generator.correlation.as_ref().is_some_and(breakable) {
        return Ok(());
    }
    let strongest = generator.strongest_correlation().unwrap_or(0.0);
    Err(Error::NoCorrelation { strongest, least: PARTNERS })
}

/// Generates the anomalies of one series.
struct Maker<'a> {
    generator: &'a Generator,
    series: &'a Series<'a>,
    config: &'a GenerateConfig,
    /// The domain of every feature.
    domains: Vec<FeatureDomain>,
    /// Positions of the live features.
    live: Vec<usize>,
    /// Positions of the constant features.
    constant: Vec<usize>,
    /// `None` if no feature is live.
    drawer: Option<Drawer<'a>>,
}

impl<'a> Maker<'a> {
    fn new(
        generator: &'a Generator,
        series: &'a Series<'a>,
        matrix: &'a Matrix,
        runs: &'a [Range<usize>],
        config: &'a GenerateConfig,
        control: &dyn Control,
    ) -> Result<Self> {
        if config.patch == Patch::Correlation {
            check_correlation(generator)?;
        }
        let [key, _] = series.stream_key();
        let normaliser = &generator.normaliser;
        let (live, mut constant) = (normaliser.live_features(), normaliser.constant_features());
        let mut allowed: Vec<usize> = (0..live.len()).collect();
        if let Some(names) = &config.hit {
            let hit = names.positions("hit", &normaliser.features)?;
            allowed.retain(|i| hit.contains(&live[*i]));
            constant.retain(|d| hit.contains(d));
        }
        let drawer = match (&generator.vae, generator.psi()?) {
            (Some(vae), Some(psi)) if !allowed.is_empty() => {
                let decoded = if config.form == Form::Deformed {
                    let mut rng = Rng::new(config.seed, Purpose::Decoding, [key, 0]);
                    decodings(vae, matrix, runs, &mut rng, control)?
                } else {
                    Vec::new()
                };
                let std = live.iter().map(|d| normaliser.std[*d]).collect();
                let drawer = Drawer {
                    generator,
                    psi,
                    vae,
                    series,
                    matrix,
                    config,
                    runs,
                    key,
                    allowed,
                    std,
                    decoded,
                };
                Some(drawer)
            }
            _ => None,
        };
        let domains = domains(&generator.domain, &config.domain, &normaliser.features)?;
        Ok(Self { generator, series, config, domains, live, constant, drawer })
    }

    /// The changes of the anomaly at each site.
    fn changes(&self, sites: &[Site], control: &dyn Control) -> Result<Vec<GeneratedChanges>> {
        let [key, _] = self.series.stream_key();
        let mut changes = Vec::with_capacity(sites.len());
        for (block, group) in sites.chunks(INFERENCE_SHARE * SHARES).enumerate() {
            if control.cancelled() {
                return Err(Error::Interrupted);
            }
            let shares: Vec<&[Site]> = group.chunks(INFERENCE_SHARE).collect();
            let done = spread_over_pool(shares.len(), control, |i| {
                let first = (block * SHARES + i) * INFERENCE_SHARE;
                let mut streams: Vec<Rng> = (first..first + shares[i].len())
                    .map(|number| {
                        Rng::new(self.config.seed, Purpose::Anomaly, [key, number as u64])
                    })
                    .collect();
                self.share(shares[i], first as u64, &mut streams)
            })?;
            changes.extend(done.into_iter().flatten());
        }
        Ok(changes)
    }

    /// The changes at one share of sites.
    fn share(
        &self,
        sites: &[Site],
        first: u64,
        streams: &mut [Rng],
    ) -> Result<Vec<GeneratedChanges>> {
        let mut made: Vec<GeneratedChanges> = match &self.drawer {
            None => sites.iter().map(|_| GeneratedChanges::default()).collect(),
            Some(drawer) => {
                let drawn = drawer.draw(sites, first, streams)?;
                drawn.into_iter().map(|drawn| self.named(drawn)).collect()
            }
        };
        for ((made, site), rng) in made.iter_mut().zip(sites).zip(streams) {
            let also = self.drawer.is_none()
                || (self.config.hit_constant && rng.uniform() < CONSTANT_RATE);
            if also {
                made.hits.extend(self.constant_hits(site.segment.len(), rng));
            }
        }
        Ok(made)
    }

    /// An anomaly with its kind, and with its cluster unless it is deformed.
    fn named(&self, drawn: Drawn) -> GeneratedChanges {
        if let Some(deformation) = drawn.deformation {
            return GeneratedChanges { kind: deformation.kind(), ..GeneratedChanges::from(drawn) };
        }
        let kind = match (self.config.patch, self.config.form) {
            (Patch::Correlation, _) => GeneratedKind::Correlation,
            (_, Form::Decoded) => GeneratedKind::Decoded,
            _ => GeneratedKind::Residual,
        };
        let deltas: Vec<&[f32]> = drawn.changes.iter().map(|change| &change.delta[..]).collect();
        let found = descriptor(&deltas, self.live.len());
        GeneratedChanges {
            kind,
            cluster: Some(self.generator.kinds.of(&found)),
            ..GeneratedChanges::from(drawn)
        }
    }

    /// A pulse on one to three of the features that are constant in training.
    fn constant_hits(&self, length: usize, rng: &mut Rng) -> Vec<Hit> {
        let mut chosen = constants(&self.constant, rng);
        chosen.sort_unstable();
        let hit = |feature: usize| {
            let way = self.config.direction.filter(|way| *way != Way::Both);
            let up = rng.below(2) == 0;
            let up = way.map_or(up, |way| way == Way::Up);
            let height = pulse(self.generator.normaliser.mean[feature], up);
            Hit::Constant { feature, delta: blend_weights(length), height }
        };
        chosen.into_iter().map(hit).collect()
    }

    /// The new values of an anomaly, in input units; `number` keys its random stream.
    fn anomaly(&self, rows: Range<usize>, made: &GeneratedChanges, number: usize) -> Anomaly {
        let [key, _] = self.series.stream_key();
        let rng = &mut Rng::new(self.config.seed, Purpose::Dither, [key, number as u64]);
        let normaliser = &self.generator.normaliser;
        let (domains, std) = (&self.domains[..], &normaliser.std[..]);
        let possible = Possible { series: self.series, domains, std, rows: rows.clone() };
        let wanted = made.hits.iter().map(|hit| self.wanted(&rows, hit)).collect();
        let spare = made.spare.iter().map(|hit| self.wanted(&rows, hit));
        let Outcome { hits: values, unable } = possible.outcome(wanted, spare, rng);
        let strength = strength(self.series, normaliser, &rows, &values);
        let kind = AnomalyKind::Generated(made.kind);
        let GeneratedChanges { asked, cluster, origin, .. } = *made;
        Anomaly {
            kind,
            rows,
            values,
            missing: Vec::new(),
            strength,
            asked,
            unable,
            cluster,
            origin,
        }
    }

    /// The new values of one feature.
    fn wanted(&self, rows: &Range<usize>, hit: &Hit) -> Wanted {
        let (feature, delta, unit, adaptation) = match hit {
            Hit::Live { change, adaptation } => {
                let feature = self.live[change.feature];
                (feature, &change.delta, self.generator.normaliser.std[feature], *adaptation)
            }
            Hit::Constant { feature, delta, height } => {
                (*feature, delta, *height, Adaptation::default())
            }
        };
        let changed = rows.clone().zip(delta).map(|(t, delta)| {
            let value = self.series.value(feature, t).unwrap_or(f64::NAN);
            value + f64::from(*delta) * unit
        });
        Wanted { feature, values: changed.collect(), adaptation, barred: false }
    }
}

impl From<Drawn> for GeneratedChanges {
    fn from(drawn: Drawn) -> Self {
        let Drawn { changes, spare, asked, meets, flips, psi, distance, redraws, fallback, .. } =
            drawn;
        let hit = |change: Change| {
            let target = meets.then(|| f64::from(rms(&change.delta)));
            Hit::Live {
                change,
                adaptation: Adaptation { target, asked, dither: meets, flip: flips, resets: false },
            }
        };
        let origin = Some(Origin { psi, distance, redraws, fallback });
        let [hits, spare] = [changes, spare].map(|all| all.into_iter().map(hit).collect());
        Self { hits, origin, asked, spare, ..Self::default() }
    }
}

/// Shortest and longest anomaly; any length up to the window for the patch "length".
///
/// # Errors
/// [`Error::Parameter`] for a `duration` beyond it.
fn lengths(config: &GenerateConfig, window: usize, per_day: Option<f64>) -> Result<(usize, usize)> {
    let length = rows_of(config.length, config.duration, per_day)?.map(OneOrRange::bounds);
    match (config.patch, length) {
        (Patch::Length, None) => Ok((1, window)),
        (_, None) => Ok((window, window)),
        (_, Some((low, high))) if high <= window => Ok((low, high)),
        (_, Some((low, high))) => {
            let allowed = format!("at most `window` = {window} rows");
            let name = if config.duration.is_some() { "duration" } else { "length" };
            Err(Error::parameter(name, OneOrRange::Range(low, high), allowed))
        }
    }
}

/// A window for a segment, chosen at random among those of its run that contain it.
fn site(segment: Range<usize>, runs: &[Range<usize>], size: usize, rng: &mut Rng) -> Option<Site> {
    let run = runs.iter().find(|run| run.start <= segment.start && segment.end <= run.end)?;
    let low = run.start.max(segment.end.saturating_sub(size));
    let high = segment.start.min(run.end - size);
    let window = low + rng.below(high - low + 1);
    Some(Site { window, segment })
}
