//! Metrics of predicted labels, per row and per run of rows.
//!
//! A run is a maximal stretch of consecutive anomalous rows: an event in true labels, an alarm in
//! predicted ones. Every metric of this module works on the two lists of runs, in time linear in
//! their number.

use std::ops::Range;

use rayon::prelude::*;

use super::input::same_length;
use crate::error::Result;

/// Consecutive anomalous rows `start..end`.
pub type Run = Range<usize>;

/// The runs of a column of labels, in order.
pub fn runs(labels: impl IntoIterator<Item = bool>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = None;
    let mut rows = 0;
    for label in labels {
        match (label, open) {
            (true, None) => open = Some(rows),
            (false, Some(start)) => {
                runs.push(start..rows);
                open = None;
            }
            _ => {}
        }
        rows += 1;
    }
    runs.extend(open.map(|start| start..rows));
    runs
}

/// Counts of predicted and of true rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Anomalous rows that were predicted.
    pub true_positives: usize,
    /// Normal rows that were predicted.
    pub false_positives: usize,
    /// Anomalous rows that were not predicted.
    pub false_negatives: usize,
}

impl Counts {
    /// Counts rows.
    ///
    /// # Errors
    /// If lengths differ.
    pub fn new(predicted: &[bool], labels: &[bool]) -> Result<Self> {
        same_length(predicted.len(), labels)?;
        let mut counts = Self::default();
        for pair in predicted.iter().zip(labels) {
            match pair {
                (true, true) => counts.true_positives += 1,
                (true, false) => counts.false_positives += 1,
                (false, true) => counts.false_negatives += 1,
                (false, false) => {}
            }
        }
        Ok(counts)
    }

    /// TP / (TP + FP); `None` without predictions.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// TP / (TP + FN); `None` without an anomalous row.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// 2 TP / (2 TP + FP + FN); `None` if no row is anomalous or predicted.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Harmonic mean of a precision and a recall; 0 if both are 0.
pub(crate) fn harmonic(precision: f64, recall: f64) -> f64 {
    let sum = precision + recall;
    if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 }
}

/// F1 of the rows after point adjustment: every row of an event counts as predicted if one of them
/// is (Xu et al., "Unsupervised Anomaly Detection via Variational Auto-Encoder", 2018).
///
/// **Inflated**: a random score often exceeds every detector (Kim et al., "Towards a Rigorous
/// Evaluation of Time-Series Anomaly Detection", 2022). `None` without an event.
///
/// # Errors
/// If lengths differ.
pub fn point_adjusted_f1(predicted: &[bool], labels: &[bool]) -> Result<Option<f64>> {
    of_runs(predicted, labels, point_adjusted_f1_of)
}

/// Harmonic mean of the share of events with a predicted row and of the precision per row (as
/// "Event-based-F1" of TSB-AD; Garg et al., "An Evaluation of Anomaly Detection and Diagnosis in
/// Multivariate Time Series", 2021, composite F). `None` without an event.
///
/// # Errors
/// If lengths differ.
pub fn event_f1(predicted: &[bool], labels: &[bool]) -> Result<Option<f64>> {
    of_runs(predicted, labels, event_f1_of)
}

/// Range-based F1 (Tatbul et al., "Precision and Recall for Time Series", 2018), with flat bias and
/// cardinality factor 1 / (number of runs that overlap).
///
/// Recall is the mean over events of alpha * (1 if any row is predicted) + (1 - alpha) * share of
/// predicted rows * cardinality factor; precision is the mean over alarms of share of anomalous
/// rows * cardinality factor. `None` without an event.
///
/// # Errors
/// If lengths differ.
pub fn range_f1(predicted: &[bool], labels: &[bool], alpha: f64) -> Result<Option<f64>> {
    of_runs(predicted, labels, |events, alarms| range_f1_of(events, alarms, alpha))
}

fn of_runs(
    predicted: &[bool],
    labels: &[bool],
    metric: impl FnOnce(&[Run], &[Run]) -> f64,
) -> Result<Option<f64>> {
    same_length(predicted.len(), labels)?;
    let [predicted, labels] = [predicted, labels].map(|flags| runs(flags.iter().copied()));
    Ok((!labels.is_empty()).then(|| metric(&labels, &predicted)))
}

/// [`point_adjusted_f1`] of events (at least one) and alarms.
pub(crate) fn point_adjusted_f1_of(events: &[Run], alarms: &[Run]) -> f64 {
    let mut counts = Counts { false_positives: rows(alarms), ..Counts::default() };
    for (event, overlap) in events.iter().zip(overlaps(events, alarms)) {
        counts.false_positives -= overlap.rows;
        match overlap.runs {
            0 => counts.false_negatives += event.len(),
            _ => counts.true_positives += event.len(),
        }
    }
    counts.f1().unwrap_or(0.0)
}

/// [`event_f1`] of events (at least one) and alarms.
pub(crate) fn event_f1_of(events: &[Run], alarms: &[Run]) -> f64 {
    let (mut hit, mut correct) = (0, 0);
    for overlap in overlaps(events, alarms) {
        hit += usize::from(overlap.runs > 0);
        correct += overlap.rows;
    }
    let recall = hit as f64 / events.len() as f64;
    harmonic(ratio(correct, rows(alarms)).unwrap_or(0.0), recall)
}

/// [`range_f1`] of events (at least one) and alarms.
pub(crate) fn range_f1_of(events: &[Run], alarms: &[Run], alpha: f64) -> f64 {
    harmonic(range_reward(alarms, events, 0.0), range_reward(events, alarms, alpha))
}

/// Mean reward of `runs`; 0 if there are none.
fn range_reward(runs: &[Run], others: &[Run], alpha: f64) -> f64 {
    let reward = |(run, overlap): (&Run, RunOverlap)| {
        if overlap.runs == 0 {
            return 0.0;
        }
        let share = overlap.rows as f64 / run.len() as f64;
        alpha + (1.0 - alpha) * share / overlap.runs as f64
    };
    let sum: f64 = runs.iter().zip(overlaps(runs, others)).map(reward).sum();
    if runs.is_empty() { 0.0 } else { sum / runs.len() as f64 }
}

fn rows(runs: &[Run]) -> usize {
    runs.iter().map(Range::len).sum()
}

/// Overlap of a run with the runs of another list.
pub(super) struct RunOverlap {
    /// Rows in both.
    rows: usize,
    /// Runs of the other list that it touches.
    pub runs: usize,
}

/// The overlap of each run with `others`.
pub(super) fn overlaps<'a>(
    runs: &'a [Run],
    others: &'a [Run],
) -> impl Iterator<Item = RunOverlap> + 'a {
    let mut first = 0;
    runs.iter().map(move |run| {
        while others.get(first).is_some_and(|other| other.end <= run.start) {
            first += 1;
        }
        let touching = others[first..].iter().take_while(|other| other.start < run.end);
        touching.fold(RunOverlap { rows: 0, runs: 0 }, |sum, other| RunOverlap {
            rows: sum.rows + other.end.min(run.end) - other.start.max(run.start),
            runs: sum.runs + 1,
        })
    })
}

/// The best of `evaluate(alarms)` over evenly spaced thresholds between the smallest and the
/// largest score; rows with a score **above** the threshold are predicted. `f1` ranks the results,
/// and the lowest threshold wins a tie. The thresholds are those of TSB-AD. `None` without a score.
///
/// An **oracle**, like [`super::ranking::best_f1`].
pub(crate) fn best_over_thresholds<T: Send>(
    scores: &[f64],
    thresholds: usize,
    evaluate: impl Fn(&[Run]) -> T + Sync,
    f1: impl Fn(&T) -> f64,
) -> Option<T> {
    let (low, high) = scores
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    if scores.is_empty() {
        return None;
    }
    let step = (high - low) / (thresholds - 1) as f64;
    let results: Vec<T> = (0..thresholds)
        .into_par_iter()
        .map(|i| {
            let threshold = if i + 1 == thresholds { high } else { i as f64 * step + low };
            evaluate(&runs(scores.iter().map(|score| *score > threshold)))
        })
        .collect();
    results.into_iter().reduce(|best, next| if f1(&next) > f1(&best) { next } else { best })
}
