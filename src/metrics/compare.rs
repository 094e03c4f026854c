//! Detectors on the same events, at the same rate of false alarms.
//!
//! In every series, each detector has the line that at most a share of the normal rows passes. An event, a
//! run of anomalous rows, is caught where one of its rows passes the line. Intervals are those of events
//! drawn with replacement, the same ones for all detectors, so that differences are paired.

use std::ops::Range;

use super::operation::line;
use super::range::runs;
use crate::config::CompareConfig;
use crate::error::{Error, Result};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::median;

/// Ends of an interval of 95 %.
const ENDS: [f64; 2] = [0.025, 0.975];

/// One series: its true labels, and the scores of every detector, `None` where a row has none.
#[derive(Clone, Debug, Default)]
pub struct ScoredSeries {
    /// Whether a row is anomalous.
    pub labels: Vec<bool>,
    /// [detectors][rows].
    pub scores: Vec<Vec<Option<f64>>>,
}

/// What a detector catches, and how that differs from the first one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Number of events.
    pub events: usize,
    /// How many of them it catches.
    pub caught: usize,
    /// Share of the events that it catches, with a 95 % interval; `None` without events.
    pub recall: Option<Estimate>,
    /// The same less that of the first detector.
    pub difference: Option<Estimate>,
    /// Probability of as large a difference between two detectors that catch alike, by the events that
    /// only one of them catches (McNemar's exact test).
    pub p: Option<f64>,
    /// Median rows from the beginning of an event to the first row above the line, where it is caught.
    pub delay: Option<f64>,
    /// Share of the normal rows above the line.
    pub false_alarm_rate: f64,
}

/// A number and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Delay of every event by one detector, `None` where it is missed; and its false alarms.
#[derive(Default)]
struct FoundEvents {
    delays: Vec<Option<usize>>,
    flagged: usize,
    normal: usize,
}

/// Compares detectors on the events of some series; the first one is what the others are compared with.
///
/// # Errors
/// [`Error::Parameter`] for an option out of range, [`Error::Length`] for scores of another length than the
/// labels.
pub fn compare(series: &[ScoredSeries], config: &CompareConfig) -> Result<Vec<Comparison>> {
    config.validate()?;
    let detectors = series.iter().map(|of| of.scores.len()).max().unwrap_or(0);
    let mut found: Vec<FoundEvents> = (0..detectors).map(|_| FoundEvents::default()).collect();
    for of in series {
        let events: Vec<Range<usize>> = runs(of.labels.iter().copied());
        for (found, scores) in found.iter_mut().zip(&of.scores) {
            if scores.len() != of.labels.len() {
                let (found, expected) = (scores.len(), of.labels.len());
                return Err(Error::Length { column: "scores".into(), found, expected });
            }
            found.add(of, scores, &events, config.false_alarm_rate);
        }
    }
    let caught: Vec<Vec<bool>> = found.iter().map(FoundEvents::caught).collect();
    let draws = draws(caught.first().map_or(0, Vec::len), config);
    let row = |(detector, found): (usize, &FoundEvents)| {
        let (own, first) = (&caught[detector], &caught[0]);
        let delays: Vec<f64> = found.delays.iter().flatten().map(|rows| *rows as f64).collect();
        let recall = |i: usize| f64::from(u8::from(own[i]));
        let difference = |i: usize| recall(i) - f64::from(u8::from(first[i]));
        Comparison {
            events: own.len(),
            caught: delays.len(),
            recall: estimate(own.len(), recall, &draws),
            difference: (detector > 0).then(|| estimate(own.len(), difference, &draws)).flatten(),
            p: (detector > 0 && !own.is_empty()).then(|| mcnemar(own, first)),
            delay: (!delays.is_empty()).then(|| median(delays)),
            false_alarm_rate: found.flagged as f64 / found.normal.max(1) as f64,
        }
    };
    Ok(found.iter().enumerate().map(row).collect())
}

impl FoundEvents {
    fn add(
        &mut self,
        of: &ScoredSeries,
        scores: &[Option<f64>],
        events: &[Range<usize>],
        rate: f64,
    ) {
        let normal = scores.iter().zip(&of.labels).filter(|(_, label)| !**label);
        let mut normal: Vec<f64> = normal.filter_map(|(score, _)| *score).collect();
        let line = line(&mut normal, rate);
        self.flagged += normal.iter().filter(|score| **score > line).count();
        self.normal += normal.len();
        let delay = |event: &Range<usize>| {
            event.clone().position(|t| scores[t].is_some_and(|score| score > line))
        };
        self.delays.extend(events.iter().map(delay));
    }

    fn caught(&self) -> Vec<bool> {
        self.delays.iter().map(Option::is_some).collect()
    }
}

/// Events drawn with replacement.
fn draws(events: usize, config: &CompareConfig) -> Vec<Vec<usize>> {
    let mut rng = Rng::new(config.seed, Purpose::Bootstrap, [events as u64, 0]);
    let draws = if events == 0 { 0 } else { config.draws };
    (0..draws).map(|_| (0..events).map(|_| rng.below(events)).collect()).collect()
}

/// The mean of a number over all events, and its interval over the draws.
fn estimate(events: usize, value: impl Fn(usize) -> f64, draws: &[Vec<usize>]) -> Option<Estimate> {
    if events == 0 {
        return None;
    }
    let mean =
        |some: &mut dyn Iterator<Item = usize>| some.map(&value).sum::<f64>() / events as f64;
    let mut means: Vec<f64> = draws.iter().map(|draw| mean(&mut draw.iter().copied())).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (means.len() - 1) as f64).round() as usize];
    let [low, high] = ENDS.map(at);
    Some(Estimate { value: mean(&mut (0..events)), low, high })
}

/// Probability of as uneven a division of the events that one of two detectors catches alone.
fn mcnemar(own: &[bool], first: &[bool]) -> f64 {
    let pairs = || own.iter().zip(first);
    let gained = pairs().filter(|(own, first)| **own && !**first).count();
    let lost = pairs().filter(|(own, first)| !**own && **first).count();
    let (n, less) = (gained + lost, gained.min(lost));
    // Binomial probabilities of one half, from that of none on.
    let (mut log, mut tail) = (-(n as f64) * std::f64::consts::LN_2, 0.0);
    for k in 0..=less {
        tail += f64::exp(log);
        log += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[u8], scores: &[&[f64]]) -> ScoredSeries {
        ScoredSeries {
            labels: labels.iter().map(|label| *label == 1).collect(),
            scores: scores.iter().map(|s| s.iter().copied().map(Some).collect()).collect(),
        }
    }

    #[test]
    fn each_detector_has_a_line_of_its_own() {
        let labels = [0, 0, 1, 1, 0, 0, 1, 0];
        let all = [series(
            &labels,
            &[&[0.0, 0.1, 0.2, 0.9, 0.3, 0.1, 0.2, 0.0], &[5.0, 4.0, 9.0, 1.0, 3.0, 2.0, 6.0, 1.0]],
        )];
        let config = CompareConfig { false_alarm_rate: 0.0, ..CompareConfig::default() };
        let found = compare(&all, &config).unwrap();
        let facts: Vec<_> =
            found.iter().map(|of| (of.events, of.caught, of.delay, of.false_alarm_rate)).collect();
        assert_eq!(facts, [(2, 1, Some(1.0), 0.0), (2, 2, Some(0.0), 0.0)]);
        assert_eq!((found[0].p, found[0].difference, found[1].p), (None, None, Some(1.0)));
        assert_eq!(found[1].difference.unwrap().value, 0.5);
        // One normal row of five may pass.
        let config = CompareConfig { false_alarm_rate: 0.2, ..config };
        let found = compare(&all, &config).unwrap();
        assert_eq!((found[0].caught, found[0].false_alarm_rate), (2, 0.2));
    }

    #[test]
    fn differences_are_paired() {
        // The second catches what the first does, and 8 events more of 40.
        let labels: Vec<u8> = (0..80).map(|t| u8::from(t % 2 == 1)).collect();
        let caught = |most: usize| -> Vec<f64> {
            (0..80).map(|t| if t % 2 == 1 && t / 2 < most { 1.0 } else { 0.0 }).collect()
        };
        let all = [series(&labels, &[&caught(16), &caught(24)])];
        let found = &compare(&all, &CompareConfig::default()).unwrap()[1];
        let Estimate { value, low, high } = found.difference.unwrap();
        assert!((value - 0.2).abs() < 1e-12 && low > 0.05 && high < 0.35, "{low} {high}");
        let recall = found.recall.unwrap();
        assert!(recall.high - recall.low > high - low);
        // scipy.stats.binomtest(0, 8).pvalue.
        assert!((found.p.unwrap() - 0.007_812_5).abs() < 1e-12);
        assert!((mcnemar(&[true; 5], &[false; 5]) - 0.0625).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let found = compare(&[series(&[0, 0], &[&[1.0, 2.0]])], &CompareConfig::default()).unwrap();
        assert_eq!((found[0].events, found[0].recall, found[0].delay), (0, None, None));
        assert!(compare(&[], &CompareConfig::default()).unwrap().is_empty());
        let short = ScoredSeries { labels: vec![true], scores: vec![vec![]] };
        assert!(compare(&[short], &CompareConfig::default()).is_err());
        let config = CompareConfig { false_alarm_rate: 1.0, ..CompareConfig::default() };
        assert!(compare(&[], &config).is_err());
    }
}
