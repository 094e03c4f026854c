//! Scores -> p-values, alarms and labels.

use std::ops::Range;
use std::sync::OnceLock;

use super::collection::{Detectors, window_scores};
use super::evidence::{RowShares, ScoredRows};
use super::kinds::spec;
use super::locate::{LastingChange, RunExtent, located};
use super::row_scores::{RowScores, ScoresView};
use super::spec::Loaded;
use crate::alarm::{Alarm, AlarmRun, FollowRule, Followed, Reference, p_of_any, runs_above};
use crate::config::{AlarmConfig, DetectorKind, ScoreConfig, Threshold};
use crate::data::series::Series;
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// Minimum share of a row in an alarm, in units of the largest share in its run.
const PART: f64 = 0.6;
/// Minimum score of the first and the last row of an alarm, above the median of normal rows and in
/// units of the highest score of its run.
const HALF: f64 = 0.5;

/// Results of `label` and `alarms` for a series.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Scores of every row.
    pub scores: RowScores,
    /// Probability of a score as high in a normal row.
    pub p: Vec<Option<f64>>,
    /// Whether every row lies in an alarm; `None` without a score, and for rows that were labelled before.
    pub labels: Vec<Option<bool>>,
    /// The alarms, in time order.
    pub alarms: Vec<Alarm>,
    /// Probability that as many normal rows contain an alarm as improbable; 1 without alarms.
    pub p_of_any: f64,
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
        threshold: Threshold,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Labelled> {
        let labeller = Labeller::new(self, generator, threshold, alarm, config)?;
        let scored = labeller.scored(series, control)?;
        labeller.labelled(series, scored)
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
        if self.reference(kind).is_none() {
            return Err(self.without_thresholds(kind));
        }
        let scores = self.score(generator, series, config, control)?;
        self.p_values_of(generator, series, &scores, alarm, config)
    }

    /// [`Detectors::p_values`] of rows whose scores are known.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for a detector without scores of normal rows.
    pub(crate) fn p_values_of(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        scores: &RowScores,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
    ) -> Result<Vec<Option<f64>>> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        let Some(mut reference) = self.reference(kind).cloned() else {
            return Err(self.without_thresholds(kind));
        };
        let rule = rule(kind, alarm, &reference, generator.config.window, series)?;
        Ok(reference.follow(&distances(kind, scores.own()), &rule).p)
    }

    /// Reference scores of normal rows for a detector.
    fn reference(&self, kind: DetectorKind) -> Option<&Reference> {
        self.calibrations.get(&kind)?.reference.as_ref()
    }
}

/// What the rows of a series score.
pub(crate) struct SeriesScores {
    pub scores: RowScores,
    /// Where alarms begin and end; `None` where the detector cannot say.
    pub ends: Option<RowShares>,
}

impl From<ScoredRows> for SeriesScores {
    fn from(scored: ScoredRows) -> Self {
        Self { scores: scored.scores, ends: Some(scored.ends) }
    }
}

impl SeriesScores {
    /// How much row `t` takes part in what its windows differ by.
    pub(crate) fn end(&self, t: usize) -> f64 {
        self.ends.as_ref().map_or(1.0, |ends| ends.get(t))
    }
}

/// Makes labels of the scores of a detector.
pub(crate) struct Labeller<'a> {
    generator: &'a Generator,
    kind: DetectorKind,
    pub(super) loaded: Loaded<'a>,
    known: Option<&'a Reference>,
    /// Median distance of normal rows, once an alarm needs it.
    median: OnceLock<f64>,
    threshold: Threshold,
    /// The threshold as a score.
    line: f64,
    alarm: &'a AlarmConfig,
    config: &'a ScoreConfig,
}

impl<'a> Labeller<'a> {
    /// # Errors
    /// As [`Detectors::alarms`].
    pub(crate) fn new(
        detectors: &'a Detectors,
        generator: &'a Generator,
        threshold: Threshold,
        alarm: &'a AlarmConfig,
        config: &'a ScoreConfig,
    ) -> Result<Self> {
        let kind = config.detector.unwrap_or_else(|| detectors.default_kind());
        let line = detectors.threshold(threshold, config.detector)?;
        let known = detectors.reference(kind);
        let loaded = detectors.load(kind, generator)?;
        let median = OnceLock::new();
        Ok(Self { generator, kind, loaded, known, median, threshold, line, alarm, config })
    }

    /// Alarms, labels and p-values from the scores of a series.
    ///
    /// # Errors
    /// As [`Detectors::alarms`].
    pub(super) fn labelled(&self, series: &Series<'_>, scored: SeriesScores) -> Result<Labelled> {
        let mut reference = self.reference();
        let rule = self.rule(series)?;
        let followed = match (&rule, series.times()) {
            (Some(rule), Some(times)) => {
                reference.follow_new(&distances(self.kind, scored.scores.own()), times, rule)
            }
            _ => self.followed(scored.scores.view(), rule.as_ref(), &mut reference),
        };
        let end = |t: usize| scored.end(t);
        let alarms = self.alarms(series, scored.scores.own(), &end, &followed)?;
        let scores = scored.scores;
        let mut labels = labels(scores.own(), alarms.iter().map(|alarm| alarm.rows.clone()));
        labels[..followed.seen].fill(None);
        let rows = scores.own()[followed.seen..].iter().flatten().count();
        let p_of_any = self.p_of_any(&alarms, rows);
        Ok(Labelled { scores, p: followed.p, labels, alarms, p_of_any, reference })
    }

    /// Scores of normal rows, before any of a series.
    pub(crate) fn reference(&self) -> Reference {
        self.known.cloned().unwrap_or_default()
    }

    /// # Errors
    /// As [`Detectors::score`].
    pub(crate) fn scored(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<SeriesScores> {
        match &self.loaded {
            Loaded::Series(evidence) => {
                self.generator.normaliser.check(series)?;
                evidence.score_with_ends(series, self.config, control).map(SeriesScores::from)
            }
            Loaded::Windows(detector) => {
                let scores =
                    window_scores(&**detector, self.generator, series, self.config, control)?;
                Ok(SeriesScores { scores: RowScores::same(scores), ends: None })
            }
        }
    }

    /// How scores are followed; `None` where each stands for itself.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for `alarms_per_day` where times are not known.
    pub(crate) fn rule(&self, series: &Series<'_>) -> Result<Option<FollowRule>> {
        let follows = |_: &&Reference| self.threshold == Threshold::Auto;
        let window = self.generator.config.window;
        let with_reach = |known| {
            let rule = rule(self.kind, self.alarm, known, window, series)?;
            Ok(FollowRule { reach: self.reach(), ..rule })
        };
        self.known.filter(follows).map(with_reach).transpose()
    }

    /// Rows before and after a row that its score and the extent of its alarm depend on: those of the windows
    /// that cover it, and of the windows beside these.
    fn reach(&self) -> usize {
        let window = self.generator.config.window;
        let largest = match &self.loaded {
            Loaded::Series(evidence) => evidence.largest(),
            Loaded::Windows(_) => window,
        };
        largest + self.config.score_stride.unwrap_or(0).max(largest / 2)
    }

    /// The runs of high scores, compared with `reference`, which follows them; with a fixed threshold, those
    /// of the scores that rank rows, as users see only these.
    pub(crate) fn followed(
        &self,
        scores: ScoresView<'_>,
        rule: Option<&FollowRule>,
        reference: &mut Reference,
    ) -> Followed {
        let distances = distances(self.kind, scores.own);
        match rule {
            Some(rule) => reference.follow(&distances, rule),
            None => Followed {
                p: reference.p_values(&distances),
                runs: runs_above(
                    scores.ranking,
                    self.line,
                    self.alarm.join.unwrap_or(0),
                    self.alarm.cooldown,
                ),
                seen: 0,
            },
        }
    }

    /// The alarms in some runs of high scores, from the scores of rows by themselves; `end` says how much
    /// each row takes part in what its windows differ by.
    ///
    /// # Errors
    /// As [`Detectors::score`].
    pub(crate) fn alarms(
        &self,
        series: &Series<'_>,
        scores: &[Option<f32>],
        end: &dyn Fn(usize) -> f64,
        followed: &Followed,
    ) -> Result<Vec<Alarm>> {
        let alarm = self.alarm;
        let locates = !followed.runs.is_empty()
            && (self.threshold == Threshold::Auto || alarm.min_change.is_some());
        let scaled = match &self.loaded {
            Loaded::Series(evidence) if locates => Some(evidence.scaled(series)?),
            _ => None,
        };
        let make = |run: &AlarmRun| {
            let alarm_of = |rows: Range<usize>| alarm_of(rows, run.open, scores, &followed.p);
            let extent = || RunExtent {
                part: taking_part(scores, end, &run.rows),
                high: self.high(scores, &run.rows),
                change: run.stays.then(|| self.change(&run.rows)),
                by_scores: !run.repeats,
            };
            match &scaled {
                Some(scaled) => last_open(located(scaled, &run.rows, &extent(), alarm_of)),
                None if self.threshold == Threshold::Auto => {
                    vec![alarm_of(extent().of_high())]
                }
                None => vec![alarm_of(run.rows.clone())],
            }
        };
        let kept = |found: &Alarm| {
            found.rows.len() >= alarm.min_rows.unwrap_or(1)
                && alarm.min_change.is_none_or(|least| found.change.is_none_or(|c| c > least))
        };
        Ok(followed.runs.iter().flat_map(make).filter(kept).collect())
    }
}

impl Labeller<'_> {
    /// Probability that `rows` normal rows contain an alarm as improbable as the most improbable of
    /// `alarms`.
    fn p_of_any(&self, alarms: &[Alarm], rows: usize) -> f64 {
        let Some(p) = alarms.iter().map(|alarm| alarm.p).reduce(f64::min) else { return 1.0 };
        let excursions = self.known.map_or(1.0, |known| rows as f64 / known.tail().cluster());
        p_of_any(p, excursions)
    }

    /// Of a change that stays, the first quarter of a window is an alarm. Scores are high for about half a
    /// window after the last odd row, so that an alarm that ends earlier is no part of the change.
    fn change(&self, run: &Range<usize>) -> LastingChange {
        let window = self.generator.config.window;
        LastingChange { since: run.end.saturating_sub(window / 2), most: window / 4 }
    }

    /// The rows of `run` with high scores.
    fn high(&self, scores: &[Option<f32>], run: &Range<usize>) -> Range<usize> {
        let median = *self.median.get_or_init(|| self.known.map_or(0.0, Reference::median));
        let high = high_part(&distances(self.kind, &scores[run.clone()]), median);
        run.start + high.start..run.start + high.end
    }
}

/// From the first to the last row with at least half of the largest distance, above the `median` of normal
/// rows. A score is a mean over the windows that cover a row, so half of it is where half of the windows
/// reach what the run is about.
fn high_part(distances: &[Option<f32>], median: f64) -> Range<usize> {
    let rows = 0..distances.len();
    let above = |t: usize| distances[t].map_or(0.0, f64::from) - median;
    let most = rows.clone().map(above).fold(0.0, f64::max);
    let is_high = |t: &usize| above(*t) >= HALF * most;
    let ends = rows.clone().find(is_high).zip(rows.clone().rfind(is_high));
    ends.map_or(rows, |(first, last)| first..last + 1)
}

/// How the scores of a detector are followed. Of `"evidence"`, the rows of alarms that deviate are known.
fn rule(
    kind: DetectorKind,
    alarm: &AlarmConfig,
    reference: &Reference,
    window: usize,
    series: &Series<'_>,
) -> Result<FollowRule> {
    let rule = FollowRule::new(alarm, reference, window, series.rows_per_day())?;
    Ok(if kind == DetectorKind::Evidence { rule.with_rows(window) } else { rule })
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
fn taking_part(
    scores: &[Option<f32>],
    end: &dyn Fn(usize) -> f64,
    run: &Range<usize>,
) -> Range<usize> {
    let share = |t: usize| scores[t].map_or(0.0, |_| end(t));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn high_rows_have_half_of_the_largest_distance() {
        let distances = [0.5, 2.4, 2.6, 1.0, 4.0, 2.5, 2.0].map(Some);
        assert_eq!(high_part(&distances, 1.0), 2..6);
        assert_eq!(high_part(&distances, 0.0), 1..7);
        assert_eq!(high_part(&[None, Some(3.0), None], 0.0), 1..2);
        assert_eq!(high_part(&[Some(1.0); 3], 2.0), 0..3);
    }
}
