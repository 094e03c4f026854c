//! Generates anomalies in place, or as pairs of windows.

use std::ops::Range;

use super::fitted::Generator;
use super::maker::{Maker, Ready, Request};
use super::site::Site;
use crate::anomaly::classical::{AboutFeatures, InjectionSite, Injector, context, refuse_single};
use crate::anomaly::domain::domains;
use crate::anomaly::place::{Deck, GenerationSite, Ground, Grounds, common, quota_lengths};
use crate::anomaly::{Anomaly, AnomalyKind, Pair};
use crate::config::{GenerateConfig, Kind, NamedKind, OneOrRange, Patch, WINDOW_BUDGET, rows_of};
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

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
    refuse(generator, config)?;
    let key = series.stream_key();
    tamed(series, |tame| {
        let ground = ground_of(generator, tame, key, config)?;
        let places = share_out(&[ground], config)?.into_iter().next().unwrap_or_default();
        anomalies_at(generator, tame, key, config, &places, control)
    })
}

/// Refuses wrong options, and a generator without a VAE.
fn refuse(generator: &Generator, config: &GenerateConfig) -> Result<()> {
    config.validate(generator.config.window)?;
    generator.require_vae()?;
    Ok(())
}

/// What `work` makes of a series without its wild values.
fn tamed<T>(series: &Series<'_>, work: impl FnOnce(&Series<'_>) -> Result<T>) -> Result<T> {
    let tame = Wild::excluded(series).left_out(series)?;
    let tame = tame.as_ref().map(|columns| series.replaced(columns));
    work(tame.as_ref().unwrap_or(series))
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
    refuse(generator, config)?;
    tamed(series, |tame| ground_of(generator, tame, series.stream_key(), config))
}

/// What a series without wild values has room for.
fn ground_of(
    generator: &Generator,
    series: &Series<'_>,
    key: [u64; 2],
    config: &GenerateConfig,
) -> Result<Ground> {
    let size = generator.config.window;
    let runs = windows::apart(stretches(generator, series, config)?, size);
    let places = windows::runs(series, |t| series.is_place(t), 1);
    let (rows, per_day) = (series.len(), series.rows_per_day());
    Ok(Ground { key, runs: common(&runs, &places), rows, per_day, longest: size })
}

/// Stretches of rows whose windows anomalies may lie in. Classical anomalies need all values.
fn stretches(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
) -> Result<Vec<Range<usize>>> {
    if config.classical().is_empty() {
        return generator.stretches(series, |t| !series.is_labelled(t));
    }
    windows::usable_runs(series, |t| series.is_clean(t), generator.config.window)
}

/// Where the anomalies of some series go, all of them together, and their kinds: per series, in the order
/// in which they are given.
///
/// # Errors
/// [`Error::DoesNotFit`], and [`Error::Parameter`] for a `duration` that is longer than a window, or a
/// time where it is not known how many rows a day has.
pub(crate) fn share_out(
    grounds: &[Ground],
    config: &GenerateConfig,
) -> Result<Vec<Vec<GenerationSite>>> {
    let grounds = &Grounds::new(grounds);
    let rng = &mut Rng::new(config.seed, Purpose::Place, grounds.key());
    let lengths = LengthsOf::new(config, grounds.longest(), grounds.per_day())?;
    let (mut deck, dealer) = (deck(config), &mut dealer(config, grounds.key()));
    let mut kinds = Vec::new();
    let draw = || {
        let kind = deck.deal(dealer);
        kinds.push(kind);
        lengths.draw(kind, rng)
    };
    let lengths = quota_lengths(config.quota(), grounds.rows(), draw);
    let asked = config.quota().number().unwrap_or(lengths.len());
    let placed = grounds.place(&lengths, rng);
    let placed = placed.map_err(|fits| grounds.too_many(config.quota(), asked, fits))?;
    let place =
        |(rows, number): (Range<usize>, usize)| GenerationSite { kind: kinds[number], rows };
    Ok(placed.into_iter().map(|own| own.into_iter().map(place).collect()).collect())
}

/// The anomalies of a series in these places.
///
/// # Errors
/// As [`generate`].
pub(crate) fn generate_at(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
    places: &[GenerationSite],
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    let key = series.stream_key();
    tamed(series, |tame| anomalies_at(generator, tame, key, config, places, control))
}

/// The anomalies of a series without wild values in these places.
fn anomalies_at(
    generator: &Generator,
    series: &Series<'_>,
    key: [u64; 2],
    config: &GenerateConfig,
    places: &[GenerationSite],
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    let size = generator.config.window;
    let matrix = generator.normaliser.apply(series, control)?;
    let runs = windows::apart(stretches(generator, series, config)?, size);
    let rng = &mut Rng::new(config.seed, Purpose::Window, key);
    let wish = |place: &GenerationSite| {
        let site = site(place.rows.clone(), &runs, size, rng)?;
        Some(Wish { kind: place.kind, site })
    };
    let wishes: Vec<Wish> = places.iter().filter_map(wish).collect();
    let ready = Ready { generator, series, matrix: &matrix, runs: &runs };
    let anomalies = Mixed { ready, config }.anomalies(wishes, control)?;
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
    refuse(generator, config)?;
    tamed(series, |tame| pairs_of(generator, tame, config, control))
}

/// The pairs of a series without wild values.
fn pairs_of(
    generator: &Generator,
    series: &Series<'_>,
    config: &GenerateConfig,
    control: &dyn Control,
) -> Result<Vec<Pair>> {
    let size = generator.config.window;
    let matrix = generator.normaliser.apply(series, control)?;
    let runs = stretches(generator, series, config)?;
    let stride = config
        .window_stride
        .unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
    let mut rng = Rng::new(config.seed, Purpose::Place, series.stream_key());
    let lengths = LengthsOf::new(config, size, series.rows_per_day())?;
    let (mut deck, dealer) = (deck(config), &mut dealer(config, series.stream_key()));
    let starts = windows::starts(&runs, size, stride);
    let wishes: Vec<Wish> = starts
        .iter()
        .map(|&window| {
            let kind = deck.deal(dealer);
            let length = lengths.draw(kind, &mut rng);
            let start = window + rng.below(size - length + 1);
            Wish { kind, site: Site { window, segment: start..start + length } }
        })
        .collect();
    let ready = Ready { generator, series, matrix: &matrix, runs: &runs };
    let anomalies = Mixed { ready, config }.anomalies(wishes, control)?;
    let pair = |(window, anomaly)| Pair { rows: window..window + size, anomaly };
    Ok(starts.into_iter().zip(anomalies).map(pair).collect())
}

/// The kinds that are asked for by name.
fn deck(config: &GenerateConfig) -> Deck<'_, AnomalyKind> {
    Deck::new(config.kind.as_ref().map_or(&[], |kinds| &kinds.0))
}

/// Deals the kinds of anomalies; the key is that of what they are dealt to.
fn dealer(config: &GenerateConfig, key: [u64; 2]) -> Rng {
    Rng::new(config.seed, Purpose::Kind, key)
}

/// An anomaly to make.
struct Wish {
    /// Its kind, if it is asked for by name.
    kind: Option<AnomalyKind>,
    site: Site,
}

/// Makes anomalies of several kinds, of the model and classical.
struct Mixed<'a> {
    ready: Ready<'a>,
    config: &'a GenerateConfig,
}

impl Mixed<'_> {
    /// The anomalies, in the order of `wishes`.
    fn anomalies(&self, wishes: Vec<Wish>, control: &dyn Control) -> Result<Vec<Anomaly>> {
        let mut made: Vec<(usize, Anomaly)> = Vec::with_capacity(wishes.len());
        let mut left: Vec<(usize, Wish)> = wishes.into_iter().enumerate().collect();
        for kind in self.kinds() {
            let (own, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, wish)| wish.kind == kind);
            left = others;
            let (numbers, sites): (Vec<usize>, Vec<Site>) =
                own.into_iter().map(|(number, wish)| (number, wish.site)).unzip();
            let anomalies = self.of_kind(kind, &sites, made.len(), control)?;
            made.extend(numbers.into_iter().zip(anomalies));
        }
        made.sort_by_key(|(number, _)| *number);
        Ok(made.into_iter().map(|(_, anomaly)| anomaly).collect())
    }

    /// Every named kind, or the one that has no name.
    fn kinds(&self) -> Vec<Option<AnomalyKind>> {
        match &self.config.kind {
            Some(kinds) => kinds.distinct().into_iter().map(Some).collect(),
            None => vec![None],
        }
    }

    /// The anomalies of one kind; `first` is the number of the first one.
    fn of_kind(
        &self,
        kind: Option<AnomalyKind>,
        sites: &[Site],
        first: usize,
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        let make = |config, kind| {
            let request = Request { config, kind, first };
            Maker::new(self.ready, request, control)?.anomalies(sites, control)
        };
        match kind {
            None => make(self.config, None),
            Some(AnomalyKind::Generated(kind)) => make(&self.config.of_kind(kind), Some(kind)),
            Some(AnomalyKind::Injected(kind)) => self.classical(kind, sites, first, control),
        }
    }

    /// Classical anomalies, in deviations of the model's training rows and in its domains.
    fn classical(
        &self,
        kind: NamedKind,
        sites: &[Site],
        first: usize,
        control: &dyn Control,
    ) -> Result<Vec<Anomaly>> {
        let Ready { generator, series, runs, .. } = self.ready;
        let normaliser = generator.normaliser.clone();
        let domains = domains(&generator.domain, &self.config.domain, &normaliser.features)?;
        let about = &AboutFeatures { normaliser, domains };
        let config = &self.config.for_classical(vec![kind]);
        refuse_single(series, config)?;
        let injector = Injector { series, config, about, key: series.stream_key() };
        let features = injector.hittable()?;
        spread_over_pool(sites.len(), control, |i| {
            let site = InjectionSite { kind, rows: sites[i].segment.clone() };
            Ok(injector.anomaly(&site, &context(&site, runs), first + i, &features))
        })
    }
}

/// How long anomalies are.
struct LengthsOf<'a> {
    config: &'a GenerateConfig,
    window: usize,
    /// Shortest and longest one of the model.
    bounds: (usize, usize),
}

impl<'a> LengthsOf<'a> {
    /// # Errors
    /// [`Error::Parameter`] for a `duration` beyond the window.
    fn new(config: &'a GenerateConfig, window: usize, per_day: Option<f64>) -> Result<Self> {
        Ok(Self { config, window, bounds: lengths(config, window, per_day)? })
    }

    /// The length of an anomaly of this kind.
    fn draw(&self, kind: Option<AnomalyKind>, rng: &mut Rng) -> usize {
        let (low, high) = match kind {
            Some(AnomalyKind::Injected(named)) => self.classical(named.kind),
            _ => self.bounds,
        };
        low + rng.below(high - low + 1)
    }

    /// Shortest and longest classical anomaly.
    fn classical(&self, kind: Kind) -> (usize, usize) {
        let given = self.config.length.is_some() || self.config.duration.is_some();
        if given && kind != Kind::Extremum {
            return self.bounds;
        }
        let (low, high) = kind.length();
        (low.min(self.window), high.min(self.window))
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
