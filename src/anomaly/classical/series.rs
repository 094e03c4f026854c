//! Injects classical anomalies into the clean rows of a series.

use std::ops::Range;

use super::changed::changed;
use super::stretch::{Amount, Stretch, hit_features};
use crate::anomaly::constant::pulse;
use crate::anomaly::domain::{FeatureDomain, Wish, domains};
use crate::anomaly::place::{draw_lengths, place_lengths};
use crate::anomaly::possible::{Outcome, Possible, Wanted};
use crate::anomaly::{Anomaly, AnomalyKind, strength};
use crate::config::{InjectConfig, Kind};
use crate::data::normalise::Normaliser;
use crate::data::series::Series;
use crate::data::windows::usable_runs;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// Minimum context of an anomaly, in rows on either side.
const CONTEXT: usize = 64;
/// Minimum context in lengths of the anomaly; a faster tempo reads that far.
const CONTEXT_LENGTHS: usize = 4;
/// Default lengths are not reduced below this in a short series.
const SHORTEST: usize = 4;

/// Places non-overlapping anomalies of the chosen kinds on the clean rows of a series, in time
/// order, with at least one row between two of them. None crosses a null, a known anomaly or a gap.
///
/// The result only depends on the options and the content of the series.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] for a series without a clean row;
/// [`Error::DoesNotFit`] if fewer anomalies fit than requested; [`Error::Parameter`] for an option
/// out of range, for `mode-correlation` on a single feature, and for a `count` if some anomalies
/// fall where no feature can change.
pub fn inject(
    series: &Series<'_>,
    config: &InjectConfig,
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    config.validate()?;
    if config.kind.0.contains(&Kind::ModeCorrelation) && series.columns().width() < 2 {
        let allowed = "another kind for a single feature";
        return Err(Error::parameter("kind", Kind::ModeCorrelation.name(), allowed));
    }
    let runs = usable_runs(series, |t| series.is_clean(t), 1)?;
    let normaliser = Normaliser::fit(series, |t| series.is_clean(t));
    let learned = FeatureDomain::of_rows(series, |t| series.is_clean(t));
    let domains = domains(&learned, &config.domain, &normaliser.features)?;
    let injector = Injector { series, config, normaliser, domains, key: series.stream_key() };
    let sites = injector.sites(&runs)?;
    let features = injector.hittable();
    let anomalies =
        spread_over_pool(sites.len(), control, |i| Ok(injector.anomaly(&sites[i], i, &features)))?;
    let found: Vec<Anomaly> = anomalies.into_iter().filter(Anomaly::is_any).collect();
    match config.count {
        Some(count) if found.len() < count => {
            let allowed = format!("at most {}: no feature can show the others", found.len());
            Err(Error::parameter("count", count, allowed))
        }
        _ => Ok(found),
    }
}

/// A segment to change, and the rows around it that the anomaly may read.
struct InjectionSite {
    kind: Kind,
    segment: Range<usize>,
    context: Range<usize>,
}

struct Injector<'a> {
    series: &'a Series<'a>,
    config: &'a InjectConfig,
    normaliser: Normaliser,
    domains: Vec<FeatureDomain>,
    key: [u64; 2],
}

impl Injector<'_> {
    /// Draws the kind and place of every anomaly.
    fn sites(&self, runs: &[Range<usize>]) -> Result<Vec<InjectionSite>> {
        let rng = &mut Rng::new(self.config.seed, Purpose::InjectPlace, self.key);
        let (kinds, lengths) = self.draw(self.longest(runs), rng);
        let (parameter, value) = self.config.asked();
        let (asked, rows) = (self.config.count.unwrap_or(lengths.len()), self.series.len());
        let placed = place_lengths(runs, &lengths, rng).map_err(|fits| Error::DoesNotFit {
            parameter,
            value,
            asked,
            rows,
            fits,
        })?;
        let site = |(segment, number): (Range<usize>, usize)| {
            let margin = CONTEXT.max(CONTEXT_LENGTHS * segment.len());
            let run = &runs[runs.partition_point(|run| run.end < segment.end)];
            let context = run.start.max(segment.start.saturating_sub(margin))
                ..run.end.min(segment.end + margin);
            InjectionSite { kind: kinds[number], segment, context }
        };
        Ok(placed.into_iter().map(site).collect())
    }

    /// Longest default length: what fits into a run, and `count` times into all runs, but at least
    /// [`SHORTEST`].
    fn longest(&self, runs: &[Range<usize>]) -> usize {
        let longest = runs.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let Some(count) = self.config.count else { return longest };
        // Anomalies that fit, with one row between two of them.
        let fit = |length: usize| -> usize {
            runs.iter().map(|run| (run.len() + 1) / (length + 1)).sum()
        };
        let (mut low, mut high) = (SHORTEST.min(longest), longest);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if fit(middle) >= count { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// Kinds and lengths of the anomalies; there may be one more kind than lengths.
    fn draw(&self, longest: usize, rng: &mut Rng) -> (Vec<Kind>, Vec<usize>) {
        let (mut kinds, mut deck) = (Vec::new(), Vec::new());
        let mut next = || {
            if deck.is_empty() {
                deck.clone_from(&self.config.kind.0);
                rng.shuffle(&mut deck);
            }
            let kind = deck.pop().unwrap_or(Kind::Global);
            kinds.push(kind);
            let (low, high) = self.length_bounds(kind, longest);
            low + rng.below(high - low + 1)
        };
        let lengths = match self.config.count {
            // More than the number of rows never fit: this many suffice to report that.
            Some(count) => (0..count.min(self.series.len() + 1)).map(|_| next()).collect(),
            None => draw_lengths(self.config.asked().1 * self.series.len() as f64, next),
        };
        (kinds, lengths)
    }

    /// Shortest and longest anomaly of a kind. Default lengths adapt to a short series: an anomaly
    /// takes at most the rows requested for all of them, and at most half of its share of the rows.
    fn length_bounds(&self, kind: Kind, longest: usize) -> (usize, usize) {
        if let (Some(length), false) = (self.config.length, kind == Kind::Extremum) {
            return length.bounds();
        }
        let rows = self.series.len();
        let budget = match self.config.count {
            Some(count) => rows / (2 * count),
            None => (self.config.asked().1 * rows as f64) as usize,
        };
        let most = budget.max(SHORTEST).min(longest);
        let (low, high) = kind.length();
        (low.min(most), high.min(most))
    }

    /// The features that can be changed: the varying ones, and the constant ones if allowed or if
    /// there are no others.
    fn hittable(&self) -> Vec<usize> {
        let live = &self.normaliser.live;
        let constants = self.config.hit_constant || !live.contains(&true);
        (0..live.len()).filter(|&d| live[d] || constants).collect()
    }

    fn anomaly(&self, site: &InjectionSite, number: usize, features: &[usize]) -> Anomaly {
        let InjectionSite { kind, segment, .. } = site;
        let rng = &mut Rng::new(self.config.seed, Purpose::Inject, [self.key[0], number as u64]);
        let amount = Amount::draw(*kind, segment.len(), self.config.ranges(), rng);
        let hit = hit_features(*kind, features, self.config.feature_share, rng);
        let wanted: Vec<Wanted> = hit.iter().map(|&d| self.wanted(site, d, &amount, rng)).collect();
        let dither = &mut Rng::new(self.config.seed, Purpose::Dither, [self.key[0], number as u64]);
        let mut others: Vec<usize> =
            features.iter().copied().filter(|d| !hit.contains(d)).collect();
        dither.shuffle(&mut others);
        let spare = others.into_iter().map(|d| self.wanted(site, d, &amount, rng));
        let (domains, std, rows) = (&self.domains[..], &self.normaliser.std[..], segment.clone());
        let possible = Possible { series: self.series, domains, std, rows };
        let Outcome { hits: values, unable } = possible.outcome(wanted, spare, dither);
        let strength = strength(self.series, &self.normaliser, segment, &values);
        let asked = kind.has_strength().then_some(amount.strength);
        let (kind, rows) = (AnomalyKind::Injected(*kind), segment.clone());
        Anomaly { kind, rows, values, strength, asked, unable, cluster: None, origin: None }
    }

    /// New values of feature `d`, and how they may be adapted to its domain.
    fn wanted(&self, site: &InjectionSite, d: usize, amount: &Amount, rng: &mut Rng) -> Wanted {
        let values = self.values(site, d, amount, rng);
        let wish = match self.normaliser.live[d] {
            true => wish(site.kind, amount.strength),
            false => Wish::default(),
        };
        Wanted { feature: d, values, wish }
    }

    /// New values of feature `d` over the segment, in input units.
    fn values(&self, site: &InjectionSite, d: usize, amount: &Amount, rng: &mut Rng) -> Vec<f64> {
        let InjectionSite { kind, segment, context } = site;
        let (mean, std) = (self.normaliser.mean[d], self.normaliser.std[d]);
        if !self.normaliser.live[d] {
            return vec![mean + pulse(mean, amount.up); segment.len()];
        }
        let mut values = vec![0.0; context.len()];
        self.series.read(d, context.start, &mut values);
        values.iter_mut().for_each(|value| *value = *value / std - mean / std);
        let rows = segment.start - context.start..segment.end - context.start;
        let values = changed(*kind, &Stretch { values: &values, rows }, amount, rng);
        values.into_iter().map(|z| mean + z * std).collect()
    }
}

/// How a change of a kind is adapted to the domain: kinds with a strength keep it.
fn wish(kind: Kind, strength: f64) -> Wish {
    let sized = matches!(kind, Kind::Mean | Kind::Trend | Kind::Variance | Kind::Global);
    Wish {
        target: sized.then_some(strength),
        asked: kind.has_strength().then_some(strength),
        dither: sized && kind != Kind::Global,
        flip: matches!(kind, Kind::Mean | Kind::Trend),
    }
}
