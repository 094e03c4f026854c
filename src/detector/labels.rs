//! Scores -> p-values, alarms and labels.

use std::ops::Range;

use super::collection::{Detectors, window_scores};
use super::evidence::{Evidence, RowShares, ScoredRows, ScoredWindows};
use super::kinds::spec;
use super::locate::located;
use super::spec::Loaded;
use crate::alarm::{Alarm, AlarmRun, FollowRule, Followed, Reference, runs_above};
use crate::config::{AlarmConfig, DetectorKind, ScoreConfig, Threshold};
use crate::data::series::Series;
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Share of a row, in units of the largest in its run, from which it belongs to an alarm.
const PART: f64 = 0.6;

/// What is asked for of a series.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub threshold: Threshold,
    pub alarm: &'a AlarmConfig,
    pub score: &'a ScoreConfig,
}

/// What `label` and `alarms` find in a series.
#[derive(Clone, Debug)]
pub struct Found {
    /// Score of every row.
    pub scores: Vec<Option<f32>>,
    /// Probability that a normal row scores as high.
    pub p: Vec<Option<f64>>,
    /// Whether every row lies in an alarm; `None` where there is no score, and for rows that had been labelled
    /// before.
    pub labels: Vec<Option<bool>>,
    /// The alarms, in time order.
    pub alarms: Vec<Alarm>,
    /// What the next rows of the series are to be compared with.
    pub reference: Reference,
}

/// Scores of the rows of a series, and what else tells which of them an alarm is made of.
struct JudgedRows<'a> {
    scores: Vec<Option<f32>>,
    evidence: Option<(&'a Evidence, Vec<ScoredWindows>)>,
}

impl Detectors {
    /// The alarms of a series, and what comes with them.
    ///
    /// # Errors
    /// As [`Detectors::score`], and [`crate::Error::Parameter`] for a detector without thresholds, and for
    /// `alarms_per_day` where times are not known.
    pub(crate) fn alarms(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        asked: Asked<'_>,
        control: &dyn Control,
    ) -> Result<Found> {
        let kind = asked.score.detector.unwrap_or_else(|| self.default_kind());
        let line = self.threshold(asked.threshold, asked.score.detector)?;
        let known = self.reference(kind);
        let mut reference = known.cloned().unwrap_or_default();
        let scored = self.scored(generator, series, asked.score, control)?;
        let distances = distances(kind, &scored.scores);
        let followed = match asked.threshold {
            Threshold::Auto if known.is_some() => {
                let (window, day) = (generator.config.window, series.rows_per_day());
                let rule = FollowRule::new(asked.alarm, &reference, window, day)?;
                match series.times() {
                    Some(times) => reference.follow_new(&distances, times, &rule),
                    None => reference.follow(&distances, &rule),
                }
            }
            _ => {
                let (join, cooldown) = (asked.alarm.join.unwrap_or(0), asked.alarm.cooldown);
                let runs = runs_above(&scored.scores, line, join, cooldown);
                Followed { p: reference.p_values(&distances), runs, seen: 0 }
            }
        };
        let alarms = scored.alarms(series, &followed, asked, control)?;
        let mut labels = labels(&scored.scores, &alarms);
        labels[..followed.seen].fill(None);
        Ok(Found { scores: scored.scores, p: followed.p, labels, alarms, reference })
    }

    fn scored<'a>(
        &'a self,
        generator: &'a Generator,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<JudgedRows<'a>> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        match self.load(kind, generator)? {
            Loaded::Series(evidence) => {
                generator.normaliser.check(series)?;
                let ScoredRows { scores, windows } =
                    evidence.score_with_windows(series, config, control)?;
                Ok(JudgedRows { scores, evidence: Some((evidence, windows)) })
            }
            Loaded::Windows(detector) => {
                let scores = window_scores(&*detector, generator, series, config, control)?;
                Ok(JudgedRows { scores, evidence: None })
            }
        }
    }

    /// p-values of the rows of a series, and nothing else of [`Detectors::alarms`].
    pub(crate) fn p_values(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f64>>> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        let Some(mut reference) = self.reference(kind).cloned() else {
            return Err(self.without_thresholds(kind));
        };
        let scores = self.score(generator, series, config, control)?;
        let rule =
            FollowRule::new(alarm, &reference, generator.config.window, series.rows_per_day())?;
        Ok(reference.follow(&distances(kind, &scores), &rule).p)
    }

    /// Scores of normal rows that those of a detector are compared with.
    fn reference(&self, kind: DetectorKind) -> Option<&Reference> {
        self.calibrations.get(&kind)?.reference.as_ref()
    }
}

impl JudgedRows<'_> {
    /// The alarms that runs of high scores are, in time order, but for those that the user does not want.
    fn alarms(
        &self,
        series: &Series<'_>,
        followed: &Followed,
        asked: Asked<'_>,
        control: &dyn Control,
    ) -> Result<Vec<Alarm>> {
        let runs = &followed.runs;
        let alarm_of = |rows: Range<usize>| alarm_of(rows, &self.scores, &followed.p);
        let locates = asked.threshold == Threshold::Auto || asked.alarm.min_change.is_some();
        let found = match self.evidence.as_ref().filter(|_| locates && !runs.is_empty()) {
            Some((evidence, windows)) => {
                let scaled = evidence.scaled(series)?;
                spread_over_pool(runs.len(), control, |i| {
                    let shares = scaled.shares(windows, &runs[i].rows, control)?;
                    let part = taking_part(&self.scores, &shares, &runs[i].rows);
                    Ok(located(&scaled, &runs[i].rows, part, alarm_of))
                })?
            }
            None => runs.iter().map(|run| vec![alarm_of(run.rows.clone())]).collect(),
        };
        let wanted = |alarm: &Alarm| {
            alarm.rows.len() >= asked.alarm.min_rows.unwrap_or(1)
                && asked.alarm.min_change.is_none_or(|least| alarm.change.is_none_or(|c| c > least))
        };
        let found = runs.iter().zip(found).flat_map(|(run, found)| with_open(found, run));
        Ok(found.filter(wanted).collect())
    }
}

/// What the scores of rows are compared with normal rows by.
fn distances(kind: DetectorKind, scores: &[Option<f32>]) -> Vec<Option<f32>> {
    let spec = spec(kind);
    scores.iter().map(|score| score.map(|score| spec.distance(score))).collect()
}

/// An alarm of some rows, as scores and p-values say it.
fn alarm_of(rows: Range<usize>, scores: &[Option<f32>], p: &[Option<f64>]) -> Alarm {
    let score = |t: &usize| scores[*t].unwrap_or(f32::NEG_INFINITY);
    let peak = rows.clone().max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or(rows.start);
    Alarm {
        rows: rows.clone(),
        peak,
        p: p[rows].iter().flatten().fold(1.0, |least, p| p.min(least)),
        features: Vec::new(),
        direction: None,
        expected: None,
        change: None,
        open: false,
    }
}

/// Of the alarms of a run that goes on, the last one goes on.
fn with_open(mut alarms: Vec<Alarm>, run: &AlarmRun) -> Vec<Alarm> {
    alarms.last_mut().into_iter().for_each(|alarm| alarm.open = run.open);
    alarms
}

/// From the first to the last row of `run` that takes part in what its windows differ by.
fn taking_part(scores: &[Option<f32>], shares: &RowShares, run: &Range<usize>) -> Range<usize> {
    let share = |t: usize| scores[t].map_or(0.0, |_| shares.get(t));
    let most = run.clone().map(share).fold(0.0, f64::max);
    let takes_part = |t: &usize| share(*t) >= PART * most;
    let ends = (run.clone().find(takes_part), run.clone().rfind(takes_part));
    ends.0.zip(ends.1).map_or(run.clone(), |(first, last)| first..last + 1)
}

/// Whether each row that has a score lies in an alarm.
fn labels(scores: &[Option<f32>], alarms: &[Alarm]) -> Vec<Option<bool>> {
    let mut labels: Vec<Option<bool>> = scores.iter().map(|score| score.map(|_| false)).collect();
    let rows = alarms.iter().flat_map(|alarm| alarm.rows.clone());
    rows.for_each(|t| labels[t] = labels[t].map(|_| true));
    labels
}
