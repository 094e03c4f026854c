//! Scores -> p-values, alarms and labels.

use std::ops::Range;

use super::collection::{Detectors, window_scores};
use super::evidence::RowShares;
use super::kinds::spec;
use super::locate::located;
use super::spec::Loaded;
use crate::alarm::{Alarm, AlarmRun, FollowRule, Followed, Reference, runs_above};
use crate::config::{AlarmConfig, DetectorKind, ScoreConfig, Threshold};
use crate::data::series::Series;
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// Minimum share of a row in an alarm, in units of the largest share in its run.
const PART: f64 = 0.6;

/// Results of `label` and `alarms` for a series.
#[derive(Clone, Debug)]
pub struct Found {
    /// Score of every row.
    pub scores: Vec<Option<f32>>,
    /// Probability of a score as high in a normal row.
    pub p: Vec<Option<f64>>,
    /// Whether every row lies in an alarm; `None` without a score.
    pub labels: Vec<Option<bool>>,
    /// The alarms, in time order.
    pub alarms: Vec<Alarm>,
    /// The reference for the next rows of the series.
    pub reference: Reference,
}

impl Detectors {
    /// The alarms of a series, with labels and p-values.
    ///
    /// # Errors
    /// As [`Detectors::score`], and [`crate::Error::Parameter`] for a detector without thresholds,
    /// or for `alarms_per_day` without times.
    pub(crate) fn alarms(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        (threshold, alarm): (Threshold, &AlarmConfig),
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Found> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        let line = self.threshold(threshold, config.detector)?;
        let known = self.reference(kind);
        let mut reference = known.cloned().unwrap_or_default();
        let (scores, located_by) = match self.load(kind, generator)? {
            Loaded::Series(evidence) => {
                generator.normaliser.check(series)?;
                let scored = evidence.score_with_ends(series, config, control)?;
                (scored.scores, Some((evidence, scored.ends)))
            }
            Loaded::Windows(detector) => {
                (window_scores(&*detector, generator, series, config, control)?, None)
            }
        };
        let window = generator.config.window;
        let distances = distances(kind, &scores);
        let followed = match threshold {
            Threshold::Auto if known.is_some() => {
                let rule = FollowRule::new(alarm, &reference, window, series.rows_per_day())?;
                reference.follow(&distances, &rule)
            }
            _ => Followed {
                p: reference.p_values(&distances),
                runs: runs_above(&scores, line, alarm.join.unwrap_or(0), alarm.cooldown),
            },
        };
        let located_by = match located_by {
            Some((evidence, shares))
                if !followed.runs.is_empty()
                    && (threshold == Threshold::Auto || alarm.min_change.is_some()) =>
            {
                Some((evidence.scaled(series)?, shares))
            }
            _ => None,
        };
        let make = |run: &AlarmRun| {
            let alarm_of = |rows: Range<usize>| alarm_of(rows, run.open, &scores, &followed.p);
            match &located_by {
                Some((scaled, shares)) => {
                    let part = taking_part(&scores, shares, &run.rows);
                    last_open(located(scaled, (&run.rows, part), alarm_of))
                }
                None => vec![alarm_of(run.rows.clone())],
            }
        };
        let kept = |found: &Alarm| {
            found.rows.len() >= alarm.min_rows.unwrap_or(1)
                && alarm.min_change.is_none_or(|least| found.change.is_none_or(|c| c > least))
        };
        let alarms: Vec<Alarm> = followed.runs.iter().flat_map(make).filter(kept).collect();
        let labels = labels(&scores, alarms.iter().map(|alarm| alarm.rows.clone()));
        Ok(Found { scores, p: followed.p, labels, alarms, reference })
    }

    /// The p-values of [`Detectors::alarms`] only.
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

    /// Reference scores of normal rows for a detector.
    fn reference(&self, kind: DetectorKind) -> Option<&Reference> {
        self.calibrations.get(&kind)?.reference.as_ref()
    }
}

/// Distances of rows from normal rows, from their scores.
fn distances(kind: DetectorKind, scores: &[Option<f32>]) -> Vec<Option<f32>> {
    let spec = spec(kind);
    scores.iter().map(|score| score.map(|score| spec.distance(score))).collect()
}

/// An alarm of some rows, from scores and p-values only.
fn alarm_of(rows: Range<usize>, open: bool, scores: &[Option<f32>], p: &[Option<f64>]) -> Alarm {
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
        open,
    }
}

/// Of the alarms of a run that continues, only the last one continues.
fn last_open(mut alarms: Vec<Alarm>) -> Vec<Alarm> {
    if let Some((_, ended)) = alarms.split_last_mut() {
        ended.iter_mut().for_each(|alarm| alarm.open = false);
    }
    alarms
}

/// From the first to the last row of `run` with a sufficient share in the distances of its windows.
fn taking_part(scores: &[Option<f32>], shares: &RowShares, run: &Range<usize>) -> Range<usize> {
    let share = |t: usize| scores[t].map_or(0.0, |_| shares.get(t));
    let most = run.clone().map(share).fold(0.0, f64::max);
    let takes_part = |t: &usize| share(*t) >= PART * most;
    let ends = (run.clone().find(takes_part), run.clone().rfind(takes_part));
    ends.0.zip(ends.1).map_or(run.clone(), |(first, last)| first..last + 1)
}

fn labels(scores: &[Option<f32>], alarms: impl Iterator<Item = Range<usize>>) -> Vec<Option<bool>> {
    let mut labels: Vec<Option<bool>> = scores.iter().map(|score| score.map(|_| false)).collect();
    let rows = alarms.flatten();
    rows.for_each(|t| labels[t] = labels[t].map(|_| true));
    labels
}
