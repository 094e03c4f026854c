//! Anomalies put into a series and labelled, each as if it were alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::found::{Labelling, Sensitivity};
use super::places::{Rounds, TryRoom};
use crate::alarm::{Alarm, AlarmRun, FollowRule, Followed, Reference};
use crate::anomaly::Anomaly;
use crate::anomaly::classical::{AboutFeatures, InjectionSite, Injector, context};
use crate::anomaly::domain::{FeatureDomain, domains};
use crate::anomaly::place::common;
use crate::config::{InjectConfig, Kinds, NamedKind, OneOrRange, SensitivityConfig, Span, rows_of};
use crate::data::columns::Columns;
use crate::data::positions::Positions;
use crate::data::series::Series;
use crate::data::windows::{runs, usable_runs};
use crate::detector::{Labeller, SeriesScores};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// Rows of the largest window that is scored, in windows of the model.
const LARGEST: f64 = 1.28;
/// Where values say which windows are scored, those beside an anomaly may be others, too.
const BY_CONTENT: f64 = 2.0;

/// One sort of anomalies of one strength on one feature.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Number of its kind and duration.
    pub sort: usize,
    pub feature: usize,
    pub kind: NamedKind,
    pub strength: Option<f64>,
    pub duration: usize,
    /// Number of its duration among those that were asked for, of which two may have as many rows.
    span: usize,
}

/// An anomaly, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// The anomaly.
    pub anomaly: Anomaly,
    /// Rows from its first one to the first one of them in an alarm; `None` where none is.
    pub delay: Option<usize>,
}

impl Try {
    /// Whether an alarm overlaps it.
    pub fn caught(&self) -> bool {
        self.delay.is_some()
    }
}

/// The rows as they are.
struct Quiet {
    scored: SeriesScores,
    followed: Followed,
    alarms: Vec<Alarm>,
    rule: Option<FollowRule>,
}

/// What tries of a series have in common.
pub(super) struct Trial<'a> {
    series: &'a Series<'a>,
    config: &'a SensitivityConfig,
    about: AboutFeatures,
    labeller: Labeller<'a>,
    quiet: Quiet,
    key: [u64; 2],
    clean: Vec<Range<usize>>,
    /// Durations in rows, and the places of their tries.
    durations: Vec<(usize, Rounds)>,
    references: BTreeMap<usize, Reference>,
    /// Rows on either side of an anomaly whose scores it changes.
    reach: usize,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        model: &'a Model,
        series: &'a Series<'a>,
        config: &'a SensitivityConfig,
        labelling: Labelling<'a>,
        control: &dyn Control,
    ) -> Result<Self> {
        config.validate()?;
        let Labelling { threshold, alarm, score } = labelling;
        let labeller = Labeller::new(&model.detectors, &model.generator, threshold, alarm, score)?;
        let quiet = Quiet::new(&labeller, series, control)?;
        let about = about(model, series, config)?;
        let clean = usable_runs(series, |t| series.is_clean(t), 1)?;
        let window = model.generator.config.window as f64;
        let by_content = matches!(series.positions(), Positions::Content);
        let factor = if by_content { BY_CONTENT } else { 1.0 };
        let reach = (factor * LARGEST * window).ceil() as usize;
        let key = series.stream_key();
        let trial = Self {
            series,
            config,
            about,
            labeller,
            quiet,
            key,
            clean,
            durations: Vec::new(),
            references: BTreeMap::new(),
            reach,
        };
        let durations = trial.durations()?;
        let references = trial.references(&durations);
        Ok(Self { durations, references, ..trial })
    }

    /// The scores that the rows of a try are compared with, by the row from which on they are followed.
    fn references(&self, durations: &[(usize, Rounds)]) -> BTreeMap<usize, Reference> {
        let starts = durations.iter().flat_map(|(_, rounds)| rounds.iter().flatten());
        let from: BTreeSet<usize> = starts.map(|start| self.followed_from(*start)).collect();
        let (mut reference, mut done) = (self.labeller.reference(), 0);
        let mut after = |t: usize| {
            let part = &self.quiet.scored.scores[done..t];
            self.labeller.followed(part, self.quiet.rule.as_ref(), &mut reference);
            done = t;
            (t, reference.clone())
        };
        from.into_iter().map(&mut after).collect()
    }

    /// The row from which on scores are followed for a try that begins at `start`.
    fn followed_from(&self, start: usize) -> usize {
        self.quiet.calm_before(start.saturating_sub(self.reach))
    }

    /// Durations in rows, and where they are tried.
    fn durations(&self) -> Result<Vec<(usize, Rounds)>> {
        let series = self.series;
        let alarmed = |t: usize| self.quiet.alarms.iter().any(|alarm| alarm.rows.contains(&t));
        let places = runs(series, |t| series.is_place(t) && !alarmed(t), 1);
        let free = &common(&self.clean, &places)[..];
        let rng = &mut Rng::new(self.config.seed, Purpose::Sensitivity, self.key);
        let mut one = |span: &Span| {
            let asked = OneOrRange::One(*span);
            let rows = rows_of(None, Some(asked), series.rows_per_day())?;
            let length = rows.map_or(1, |rows| rows.bounds().0);
            if length > series.len() {
                let allowed = format!("at most the {} rows of the series", series.len());
                return Err(Error::parameter("duration", asked, allowed));
            }
            let room = TryRoom { rows: series.len(), free, length, apart: 2 * self.reach };
            Ok((length, room.rounds(self.config.tries, rng)))
        };
        self.config.duration.0.iter().map(&mut one).collect()
    }

    /// Every sort of anomalies that is tried.
    pub(super) fn cells(&self) -> Result<Vec<Cell>> {
        let features = match &self.config.hit {
            Some(names) => names.positions("hit", &self.about.normaliser.features)?,
            None => self.about.normaliser.live_features(),
        };
        let mut cells = Vec::new();
        let kinds = || self.config.kind.0.iter();
        let durations = self.durations.iter().enumerate();
        let sorts = durations.flat_map(|of| kinds().map(move |kind| (of, *kind)));
        for (sort, ((span, (duration, _)), kind)) in sorts.enumerate() {
            let strengths: Vec<Option<f64>> = match kind.kind.has_strength() {
                true => self.config.strength.0.iter().copied().map(Some).collect(),
                false => vec![None],
            };
            for &feature in &features {
                cells.extend(strengths.iter().map(|&strength| Cell {
                    sort,
                    feature,
                    kind,
                    strength,
                    duration: *duration,
                    span,
                }));
            }
        }
        Ok(cells)
    }

    /// The tries of every cell.
    pub(super) fn tries(&self, cells: &[Cell], control: &dyn Control) -> Result<Vec<Vec<Try>>> {
        let rounds: Vec<(usize, usize)> = cells
            .iter()
            .enumerate()
            .flat_map(|(cell, of)| (0..self.rounds(of).len()).map(move |round| (cell, round)))
            .collect();
        let found = spread_over_pool(rounds.len(), control, |i| {
            let (cell, round) = rounds[i];
            self.round(&cells[cell], round, control)
        })?;
        let mut tries: Vec<Vec<Try>> = cells.iter().map(|_| Vec::new()).collect();
        rounds.iter().zip(found).for_each(|((cell, _), found)| tries[*cell].extend(found));
        Ok(tries)
    }

    /// Where the anomalies of a cell are tried.
    fn rounds(&self, cell: &Cell) -> &Rounds {
        &self.durations[cell.span].1
    }

    /// One round: its anomalies are put into the series together.
    fn round(&self, cell: &Cell, round: usize, control: &dyn Control) -> Result<Vec<Try>> {
        let anomalies = self.anomalies(cell, round)?;
        if anomalies.is_empty() {
            return Ok(Vec::new());
        }
        let values = anomalies.iter().flat_map(|anomaly| {
            let values = anomaly.values.iter().flat_map(|(_, values)| values);
            anomaly.rows.clone().zip(values.copied()).filter(|(_, value)| !value.is_nan())
        });
        let columns: Columns = self.series.columns().changed(cell.feature, values)?;
        let series = self.series.with_values(&columns);
        let scored = self.labeller.scored(&series, control)?;
        let judged = |anomaly: Anomaly| {
            let delay = self.delay(&series, &scored, &anomaly.rows)?;
            Ok(Try { anomaly, delay })
        };
        anomalies.into_iter().map(judged).collect()
    }

    /// The anomalies of a round, but for those that the feature cannot show.
    fn anomalies(&self, cell: &Cell, round: usize) -> Result<Vec<Anomaly>> {
        let rounds = self.rounds(cell);
        let config = InjectConfig {
            kind: Kinds(vec![cell.kind]),
            strength: cell.strength.map(OneOrRange::One),
            direction: self.config.direction,
            seed: self.config.seed,
            ..InjectConfig::default()
        };
        let (series, about) = (self.series, &self.about);
        let injector = Injector { series, config: &config, about, key: self.key };
        let first: usize = rounds[..round].iter().map(Vec::len).sum();
        let one = |(number, start): (usize, &usize)| {
            let site = InjectionSite { kind: cell.kind, rows: *start..start + cell.duration };
            let around = context(&site, &self.clean);
            injector.anomaly(&site, &around, first + number, &[cell.feature])
        };
        let anomalies = rounds[round].iter().enumerate().map(one);
        Ok(anomalies.filter(|anomaly| anomaly.is_any() && anomaly.unable.is_empty()).collect())
    }

    /// Rows from the first of an anomaly to the first of them in an alarm, in a series whose scores are
    /// as they were but for those that the anomaly changes.
    fn delay(
        &self,
        series: &Series<'_>,
        scored: &SeriesScores,
        rows: &Range<usize>,
    ) -> Result<Option<usize>> {
        let quiet = &self.quiet;
        let changed =
            rows.start.saturating_sub(self.reach)..(rows.end + self.reach).min(series.len());
        let mut scores = quiet.scored.scores.clone();
        scores[changed.clone()].copy_from_slice(&scored.scores[changed.clone()]);
        let followed = self.followed(&scores, rows, &changed);
        let end = |t: usize| {
            let source = if changed.contains(&t) { scored } else { &quiet.scored };
            source.end(t)
        };
        let alarms = self.labeller.alarms(series, &scores, &end, &followed)?;
        let first = |alarm: &Alarm| {
            let common = alarm.rows.start.max(rows.start)..alarm.rows.end.min(rows.end);
            (!common.is_empty()).then_some(common.start - rows.start)
        };
        Ok(alarms.iter().filter_map(first).min())
    }

    /// The runs of high scores that overlap some rows.
    fn followed(
        &self,
        scores: &[Option<f32>],
        rows: &Range<usize>,
        changed: &Range<usize>,
    ) -> Followed {
        let quiet = &self.quiet;
        let start = self.followed_from(rows.start);
        let reference = self.references.get(&start).cloned().unwrap_or_default();
        let mut end = changed.end;
        loop {
            let mut after = reference.clone();
            let part = &scores[start..end];
            let found = self.labeller.followed(part, quiet.rule.as_ref(), &mut after);
            let open = found.runs.last().is_some_and(|run| run.open);
            if open && end < scores.len() {
                end = (end + self.reach).min(scores.len());
                continue;
            }
            return quiet.with(found, start, rows);
        }
    }

    /// What labels of the rows as they are cost.
    pub(super) fn quiet(&self) -> Sensitivity {
        let (series, quiet) = (self.series, &self.quiet);
        let normal = |t: &usize| quiet.scored.scores[*t].is_some() && !series.is_labelled(*t);
        let rows = (0..series.len()).filter(normal).count();
        let flagged: usize =
            quiet.alarms.iter().map(|alarm| alarm.rows.clone().filter(normal).count()).sum();
        let is_false = |alarm: &&Alarm| !alarm.rows.clone().any(|t| series.is_labelled(t));
        let false_alarms = quiet.alarms.iter().filter(is_false).count();
        let rows_per_day = series.rows_per_day();
        Sensitivity {
            detections: Vec::new(),
            false_alarms,
            false_alarm_rate: flagged as f64 / rows.max(1) as f64,
            alarms_per_day: rows_per_day.map(|day| false_alarms as f64 * day / rows.max(1) as f64),
            rows_per_day,
        }
    }
}

impl Quiet {
    fn new(labeller: &Labeller<'_>, series: &Series<'_>, control: &dyn Control) -> Result<Self> {
        let scored = labeller.scored(series, control)?;
        let rule = labeller.rule(series)?;
        let mut reference: Reference = labeller.reference();
        let followed = labeller.followed(&scored.scores, rule.as_ref(), &mut reference);
        let end = |t: usize| scored.end(t);
        let alarms = labeller.alarms(series, &scored.scores, &end, &followed)?;
        Ok(Self { scored, followed, alarms, rule })
    }

    /// The last row up to `t` before which no run of high scores goes on.
    fn calm_before(&self, t: usize) -> usize {
        let join = self.rule.map_or(usize::MAX / 2, |rule| rule.join + 1);
        let goes_on =
            |run: &AlarmRun, t| run.rows.start < t && t <= run.rows.end.saturating_add(join);
        let mut calm = t;
        while let Some(run) = self.followed.runs.iter().rfind(|run| goes_on(run, calm)) {
            calm = run.rows.start;
        }
        calm
    }

    /// Runs that were found from row `start` on, of which those are kept that overlap `rows`.
    fn with(&self, found: Followed, start: usize, rows: &Range<usize>) -> Followed {
        let mut p = self.followed.p.clone();
        p[start..start + found.p.len()].copy_from_slice(&found.p);
        let shifted =
            |run: AlarmRun| AlarmRun { rows: run.rows.start + start..run.rows.end + start, ..run };
        let overlaps = |run: &AlarmRun| run.rows.start < rows.end && rows.start < run.rows.end;
        let runs = found.runs.into_iter().map(shifted).filter(overlaps).collect();
        Followed { p, runs, seen: 0 }
    }
}

/// What the model knows of the features, else what the clean rows of the series show.
fn about(model: &Model, series: &Series<'_>, config: &SensitivityConfig) -> Result<AboutFeatures> {
    let normaliser = model.generator.normaliser.clone();
    let known = &model.generator.domain;
    let learned = match known.is_empty() {
        true => FeatureDomain::of_rows(series, |t| series.is_clean(t)),
        false => known.clone(),
    };
    let domains = domains(&learned, &config.domain, &normaliser.features)?;
    Ok(AboutFeatures { normaliser, domains })
}
