//! Injects classical anomalies into the clean rows of a series.

use std::ops::Range;

use super::changed::changed;
use super::stretch::{Amount, Stretch, hit_features};
use crate::anomaly::constant::pulse;
use crate::anomaly::domain::{Adaptation, FeatureDomain, domains};
use crate::anomaly::place::{Deck, Ground, Grounds, SHORTEST, common, quota_lengths};
use crate::anomaly::possible::{Outcome, Possible, Wanted};
use crate::anomaly::{Anomaly, strength};
use crate::config::{AnomalyKind, InjectConfig, Kind, NamedKind, OneOrRange, Quota, rows_of};
use crate::data::normalise::Normaliser;
use crate::data::series::Series;
use crate::data::windows::{runs, usable_runs};
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::rms_f64;

/// Minimum context of an anomaly, in rows on either side.
const CONTEXT: usize = 64;
/// Minimum context in lengths of the anomaly; a faster tempo reads that far.
const CONTEXT_LENGTHS: usize = 4;

/// Places non-overlapping anomalies of the chosen kinds on the clean rows of a series, in time
/// with at least one row between two of them; none crosses a null, a known anomaly or a gap, nor a row
/// that is no place for one ([`Series::with_places`]).
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
    let sites = share_out(&[ground(series, config)?], config)?;
    let mut found = Vec::new();
    for sites in sites {
        found = inject_at(series, config, &sites, control)?;
    }
    Ok(found)
}

/// What a series has room for.
///
/// # Errors
/// As [`inject`].
pub fn ground(series: &Series<'_>, config: &InjectConfig) -> Result<Ground> {
    config.validate()?;
    refuse_single(series, config)?;
    let clean = usable_runs(series, |t| series.is_clean(t), 1)?;
    let places = runs(series, |t| series.is_place(t), 1);
    Ok(Ground {
        key: series.stream_key(),
        runs: common(&clean, &places),
        rows: series.len(),
        per_day: series.rows_per_day(),
        longest: series.len(),
    })
}

/// Refuses to break a correlation where there is a single feature.
///
/// # Errors
/// [`Error::Parameter`].
pub(crate) fn refuse_single(series: &Series<'_>, config: &InjectConfig) -> Result<()> {
    if config.kind.holds(Kind::ModeCorrelation) && series.columns().width() < 2 {
        let allowed = "another kind for a single feature";
        return Err(Error::parameter("kind", Kind::ModeCorrelation.name(), allowed));
    }
    Ok(())
}

/// Where the anomalies of some series go, all of them together, and what they are: per series, in the order
/// in which they are given.
///
/// # Errors
/// [`Error::DoesNotFit`] where fewer fit than were asked for, [`Error::Parameter`] for a `duration` in
/// time where it is not known how many rows a day has.
pub fn share_out(grounds: &[Ground], config: &InjectConfig) -> Result<Vec<Vec<InjectionSite>>> {
    let grounds = &Grounds::new(grounds);
    let rng = &mut Rng::new(config.seed, Purpose::InjectPlace, grounds.key());
    let length = rows_of(config.length, config.duration, grounds.per_day())?;
    let (kinds, lengths) = Lengths { config, grounds, length }.draw(rng);
    let asked = config.quota().number().unwrap_or(lengths.len());
    let placed = grounds.place(&lengths, rng);
    let placed = placed.map_err(|fits| grounds.too_many(config.quota(), asked, fits))?;
    let site = |(rows, number): (Range<usize>, usize)| InjectionSite { kind: kinds[number], rows };
    Ok(placed.into_iter().map(|own| own.into_iter().map(site).collect()).collect())
}

/// The anomalies of a series at these sites.
///
/// # Errors
/// As [`inject`].
pub fn inject_at(
    series: &Series<'_>,
    config: &InjectConfig,
    sites: &[InjectionSite],
    control: &dyn Control,
) -> Result<Vec<Anomaly>> {
    let runs = usable_runs(series, |t| series.is_clean(t), 1)?;
    let normaliser = Normaliser::fit(series, |t| series.is_clean(t));
    let learned = FeatureDomain::of_rows(series, |t| series.is_clean(t));
    let domains = domains(&learned, &config.domain, &normaliser.features)?;
    let about = &AboutFeatures { normaliser, domains };
    let injector = Injector { series, config, about, key: series.stream_key() };
    let features = injector.hittable()?;
    let contexts: Vec<Range<usize>> = sites.iter().map(|site| context(site, &runs)).collect();
    let anomalies = spread_over_pool(sites.len(), control, |i| {
        Ok(injector.anomaly(&sites[i], &contexts[i], i, &features))
    })?;
    let found: Vec<Anomaly> = anomalies.into_iter().filter(Anomaly::is_any).collect();
    match config.quota().number() {
        Some(_) if found.len() < sites.len() => {
            let (parameter, value) = config.quota().option();
            let allowed = match config.total {
                Some(_) => format!("less: no feature of a series shows all of its {}", sites.len()),
                None => format!("at most {}: no feature can show the others", found.len()),
            };
            Err(Error::parameter(parameter, value, allowed))
        }
        _ => Ok(found),
    }
}

/// Rows to hit, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct InjectionSite {
    pub(crate) kind: NamedKind,
    pub(crate) rows: Range<usize>,
}

/// The rows around a site that the anomaly can depend on.
pub(crate) fn context(site: &InjectionSite, runs: &[Range<usize>]) -> Range<usize> {
    let rows = &site.rows;
    let margin = CONTEXT.max(CONTEXT_LENGTHS * rows.len());
    let run = &runs[runs.partition_point(|run| run.end < rows.end)];
    run.start.max(rows.start.saturating_sub(margin))..run.end.min(rows.end + margin)
}

/// Draws how long anomalies are.
struct Lengths<'a> {
    config: &'a InjectConfig,
    grounds: &'a Grounds<'a>,
    /// What a user asks for, in rows.
    length: Option<OneOrRange<usize>>,
}

impl Lengths<'_> {
    /// Longest default length: what fits into a run, and `count` times into all runs, but at least
    /// [`SHORTEST`].
    fn longest(&self) -> usize {
        let longest = self.grounds.runs().max().unwrap_or(0);
        let Some(count) = self.config.quota().number() else { return longest };
        // Anomalies that fit, with one row between two of them.
        let fit = |length: usize| -> usize {
            self.grounds.runs().map(|run| (run + 1) / (length + 1)).sum()
        };
        let (mut low, mut high) = (SHORTEST.min(longest), longest);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if fit(middle) >= count { low = middle } else { high = middle - 1 }
        }
        low
    }

    /// Kinds and lengths of the anomalies; there may be one more kind than lengths.
    fn draw(&self, rng: &mut Rng) -> (Vec<NamedKind>, Vec<usize>) {
        let (longest, rows) = (self.longest(), self.grounds.rows());
        let (mut kinds, mut deck) = (Vec::new(), Deck::new(&self.config.kind.0));
        let next = || {
            let kind = deck.deal(rng).unwrap_or(Kind::Global.into());
            kinds.push(kind);
            let (low, high) = self.bounds(kind.kind, longest);
            low + rng.below(high - low + 1)
        };
        let lengths = quota_lengths(self.config.quota(), rows, next);
        (kinds, lengths)
    }

    /// Shortest and longest anomaly of a kind. Default lengths adapt to a short series: an anomaly
    /// takes at most the rows requested for all of them, and at most half of its share of the rows.
    fn bounds(&self, kind: Kind, longest: usize) -> (usize, usize) {
        if let (Some(length), false) = (self.length, kind == Kind::Extremum) {
            return length.bounds();
        }
        let rows = self.grounds.rows();
        let budget = match self.config.quota() {
            Quota::Count(count) | Quota::Total(count) => rows / count.saturating_mul(2),
            Quota::Share(share) => (share * rows as f64) as usize,
        };
        let most = budget.max(SHORTEST).min(longest);
        let (low, high) = kind.length();
        (low.min(most), high.min(most))
    }
}

/// What is known of the features of a series.
pub(crate) struct AboutFeatures {
    pub normaliser: Normaliser,
    /// What each can take.
    pub domains: Vec<FeatureDomain>,
}

/// Makes classical anomalies.
pub(crate) struct Injector<'a> {
    pub series: &'a Series<'a>,
    pub config: &'a InjectConfig,
    pub about: &'a AboutFeatures,
    /// Names the series among random streams.
    pub key: [u64; 2],
}

impl Injector<'_> {
    /// The features that can be hit: those that are named, else those that vary, and the constant ones
    /// where they may be or there is nothing else.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a feature that there is not, and for resets without a counter.
    pub(crate) fn hittable(&self) -> Result<Vec<usize>> {
        if self.config.kind.holds(Kind::Reset) && !self.about.domains.iter().any(|of| of.monotone) {
            let allowed = "another kind: no feature is a counter, which never falls";
            return Err(Error::parameter("kind", Kind::Reset.name(), allowed));
        }
        if let Some(names) = &self.config.hit {
            return names.positions("hit", &self.about.normaliser.features);
        }
        let live = &self.about.normaliser.live;
        let constants = self.config.hit_constant || !live.contains(&true);
        Ok((0..live.len()).filter(|&d| live[d] || constants).collect())
    }

    /// The anomaly at a site; `number` names its random stream.
    pub(crate) fn anomaly(
        &self,
        site: &InjectionSite,
        context: &Range<usize>,
        number: usize,
        features: &[usize],
    ) -> Anomaly {
        let InjectionSite { kind, rows } = site;
        let rng = &mut Rng::new(self.config.seed, Purpose::Inject, [self.key[0], number as u64]);
        let amount = Amount::draw(kind.kind, rows.len(), self.config.ranges(), rng);
        let hit = hit_features(kind.kind, features, self.config.feature_share, rng);
        if kind.kind == Kind::Missing {
            return self.missing(site, hit);
        }
        let mut wanted = |d: usize| self.wanted(site, context, d, &amount, rng);
        let first: Vec<Wanted> = hit.iter().map(|&d| wanted(d)).collect();
        let dither = &mut Rng::new(self.config.seed, Purpose::Dither, [self.key[0], number as u64]);
        let mut others: Vec<usize> =
            features.iter().copied().filter(|d| !hit.contains(d)).collect();
        dither.shuffle(&mut others);
        let (domains, std) = (&self.about.domains[..], &self.about.normaliser.std[..]);
        let possible = Possible { series: self.series, domains, std, rows: rows.clone() };
        let spare = others.into_iter().map(wanted);
        let Outcome { hits: values, unable } = possible.outcome(first, spare, dither);
        let strength = strength(self.series, &self.about.normaliser, rows, &values);
        let asked = self.asked(kind.kind, &amount, values.iter().map(|hit| hit.0));
        let (kind, rows) = (AnomalyKind::Injected(*kind), rows.clone());
        Anomaly { values, strength, asked, unable, ..Anomaly::without_change(kind, rows) }
    }

    /// A stretch of missing values.
    fn missing(&self, site: &InjectionSite, hit: Vec<usize>) -> Anomaly {
        let has_values = |d: &usize| site.rows.clone().any(|t| self.series.value(*d, t).is_some());
        let missing = hit.into_iter().filter(has_values).collect();
        let kind = AnomalyKind::Injected(site.kind);
        Anomaly { missing, ..Anomaly::without_change(kind, site.rows.clone()) }
    }

    /// The strength that an anomaly was to have: root mean square over the features that it hits.
    fn asked(&self, kind: Kind, amount: &Amount, hit: impl Iterator<Item = usize>) -> Option<f64> {
        let own = |d: usize| amount.of(self.about.normaliser.std[d]).strength;
        let strengths: Vec<f64> = hit.map(own).collect();
        (kind.has_strength() && !strengths.is_empty()).then(|| rms_f64(&strengths))
    }

    /// New values of feature `d`, and how they may be adapted to its domain.
    fn wanted(
        &self,
        site: &InjectionSite,
        context: &Range<usize>,
        d: usize,
        amount: &Amount,
        rng: &mut Rng,
    ) -> Wanted {
        let (kind, amount) = (site.kind.kind, amount.of(self.about.normaliser.std[d]));
        let values = self.values(site, context, d, &amount, rng);
        let adaptation = match self.about.normaliser.live[d] {
            true => adaptation(kind, &amount),
            false => Adaptation::default(),
        };
        // Only what never falls can fall back to 0.
        let barred = kind == Kind::Reset && !self.about.domains[d].monotone;
        Wanted { feature: d, values, adaptation, barred }
    }

    /// New values of feature `d` over the segment, in input units.
    fn values(
        &self,
        site: &InjectionSite,
        context: &Range<usize>,
        d: usize,
        amount: &Amount,
        rng: &mut Rng,
    ) -> Vec<f64> {
        let InjectionSite { kind, rows } = site;
        let (mean, std) = (self.about.normaliser.mean[d], self.about.normaliser.std[d]);
        if !self.about.normaliser.live[d] {
            let height = amount.size.map(|size| if amount.up { size } else { -size });
            return vec![mean + height.unwrap_or_else(|| pulse(mean, amount.up)); rows.len()];
        }
        let mut values = vec![0.0; context.len()];
        self.series.read(d, context.start, &mut values);
        values.iter_mut().for_each(|value| *value = *value / std - mean / std);
        let own = rows.start - context.start..rows.end - context.start;
        let stretch = Stretch { values: &values, rows: own, zero: Some(-mean / std) };
        let values = changed(kind.kind, &stretch, amount, rng);
        values.into_iter().map(|z| mean + z * std).collect()
    }
}

/// How a change of a kind is adapted to the domain: kinds with a strength keep it.
fn adaptation(kind: Kind, amount: &Amount) -> Adaptation {
    let sized = kind.has_strength() && !matches!(kind, Kind::Contextual | Kind::Extremum);
    Adaptation {
        target: sized.then_some(amount.strength),
        asked: kind.has_strength().then_some(amount.strength),
        dither: sized && kind != Kind::Global,
        flip: !amount.directed && matches!(kind, Kind::Mean | Kind::Trend | Kind::Pulse),
        resets: kind == Kind::Reset,
    }
}
