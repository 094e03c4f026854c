//! Scores in time order -> p-values and runs of rows that are no longer normal, against a reference
//! that is kept up to date.
//!
//! A run starts above a high threshold and continues above a low one. Rows outside of runs join the
//! reference, which drops its oldest scores. Rows of runs are left out, but without them the reference would
//! lose its tail, and thresholds would fall with every update. As many rows of runs as normal rows are
//! expected to have above the low threshold therefore join it as scores at the high one. A run that lasts
//! for `settle` rows ends, unless its scores fall: from then on, they are the reference. If scores then
//! stay as low as before the run for `settle` rows, the reference from before the run is restored.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::lengths::{RunLengths, runs_between};
use super::rule::{AGAIN, FollowRule};
use super::tail::Tail;
use crate::config::is_default;

/// Rows between two updates of the reference.
const EVERY: usize = 32;
/// Minimum score at the end of a run that is the new normal, in units of the run's median.
const HALF: f64 = 0.5;
/// Maximum number of scores in a reference.
pub(crate) const MEMORY: usize = 4096;
/// Maximum number of scores in a stored reference: earlier models have up to this many.
const MOST_STORED: usize = 8192;

/// State after following the scores of a series: the scores of normal rows, and the position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Scores of normal rows that the thresholds are computed from, oldest first.
    scores: Vec<f32>,
    /// Scores of normal rows since then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<f32>,
    /// Rows since the thresholds were computed.
    #[serde(default, skip_serializing_if = "is_default")]
    since: usize,
    /// Expected number of normal rows in runs, without those that have joined the reference.
    #[serde(default, skip_serializing_if = "is_default")]
    expected: f64,
    /// Scores of the current run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) run: Vec<f32>,
    /// Rows below the low threshold at the end of the run.
    #[serde(default, skip_serializing_if = "is_default")]
    quiet: usize,
    /// Remaining rows in which no run starts.
    #[serde(default, skip_serializing_if = "is_default")]
    cooling: usize,
    /// Remaining rows in which scores alone make no alarm of a run, and whether the current one began there.
    #[serde(default, skip_serializing_if = "is_default")]
    repeating: usize,
    #[serde(default, skip_serializing_if = "is_default")]
    repeats: bool,
    /// The reference before the last lasting change, and the number of consecutive rows as low as
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    before: Vec<f32>,
    #[serde(default, skip_serializing_if = "is_default")]
    calm: usize,
    /// When the current run began, where times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run_since: Option<i64>,
    /// When the last row was that has been followed, where times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<i64>,
    /// How long runs were when rows were followed first, where times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lengths: Option<RunLengths>,
    /// The rows after it, which later rows can still give another score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) pending: Vec<PendingRow>,
}

/// A row whose score may change, because windows that cover it reach beyond the last row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendingRow {
    pub time: i64,
    pub score: Option<f32>,
}

/// Result of following a stretch of scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Followed {
    /// Probability of a score at least as high in a normal row.
    pub p: Vec<Option<f64>>,
    pub runs: Vec<AlarmRun>,
    /// Number of rows in front that had been followed before, and are in no run that goes on.
    pub seen: usize,
}

/// Rows of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlarmRun {
    pub rows: Range<usize>,
    /// Whether it began before the first row.
    pub continued: bool,
    /// Whether it continues after the last row.
    pub open: bool,
    /// Whether it became the new normal.
    pub stays: bool,
    /// Whether it began so soon after another one that its rows must deviate as well.
    pub repeats: bool,
}

impl AlarmRun {
    pub(super) fn new(t: usize) -> Self {
        Self { rows: t..t + 1, continued: false, open: false, stays: false, repeats: false }
    }
}

impl Reference {
    /// From scores of normal rows in time order.
    pub(crate) fn new(scores: &[f32]) -> Self {
        let scores = scores[scores.len().saturating_sub(MEMORY)..].to_vec();
        Self { scores, ..Self::default() }
    }

    /// Median of the scores; 0 without any.
    pub(crate) fn median(&self) -> f64 {
        self.tail().quantile(0.5)
    }

    /// p-values and thresholds of the current reference.
    pub(crate) fn tail(&self) -> Tail {
        Tail::fit(&self.scores)
    }

    /// How long its runs are, for runs that start above the score that a share `p` exceeds, and go on above
    /// the one that a share `factor * p` exceeds, over gaps of `join` rows: as when rows were followed first,
    /// so that it makes no difference in what parts they are.
    pub(crate) fn lengths(&self, p: f64, factor: f64, join: usize) -> RunLengths {
        if let Some(known) = self.lengths.filter(|known| known.join == join) {
            return known;
        }
        let tail = self.tail();
        let (high, low) = (tail.quantile(1.0 - p), tail.quantile(1.0 - factor * p));
        let rows: usize = runs_between(&self.scores, high, low, join).iter().map(Range::len).sum();
        let above = self.scores.iter().filter(|score| f64::from(**score) > high).count();
        let per_high_row = if above == 0 { 1.0 } else { rows as f64 / above as f64 };
        RunLengths { join, per_high_row, excursion: tail.cluster() }
    }

    /// Whether following scores can have produced this state.
    pub(crate) fn is_sound(&self) -> bool {
        let all = [&self.scores, &self.recent, &self.run, &self.before];
        all.iter().all(|part| part.iter().all(|score| score.is_finite()))
            && [&self.scores, &self.recent, &self.before]
                .iter()
                .all(|part| part.len() <= MOST_STORED)
            && self.lengths.is_none_or(|of| of.per_high_row >= 1.0 && of.excursion >= 1.0)
            && self.pending.iter().all(|row| row.score.is_none_or(f32::is_finite))
            && self.since <= EVERY
            && (0.0..=MOST_STORED as f64).contains(&self.expected)
    }

    /// Follows the scores of a series in time order. Following them in parts, each from the state
    /// after the last one, gives the same result.
    pub(crate) fn follow(&mut self, scores: &[Option<f32>], rule: &FollowRule) -> Followed {
        let mut follower = Follower::new(self, rule);
        let mut row = |(t, score): (usize, &Option<f32>)| {
            let score = (*score)?;
            let p = follower.tail.p(f64::from(score));
            follower.step(t, score);
            Some(p)
        };
        let p = scores.iter().enumerate().map(&mut row).collect();
        Followed { p, runs: follower.into_runs(), seen: 0 }
    }

    /// p-values by the current reference; `None` without one.
    pub(crate) fn p_values(&self, scores: &[Option<f32>]) -> Vec<Option<f64>> {
        let tail = (!scores.is_empty() && !self.scores.is_empty()).then(|| self.tail());
        let p = |score: &Option<f32>| Some(tail.as_ref()?.p(f64::from((*score)?)));
        scores.iter().map(p).collect()
    }
}

/// Goes through the scores of a series row by row.
struct Follower<'a> {
    reference: &'a mut Reference,
    rule: &'a FollowRule,
    tail: Tail,
    high: f64,
    low: f64,
    /// Above this line, a run is no repeat.
    again: f64,
    /// The low line of the reference before.
    low_before: Option<f64>,
    /// Whether another reference has taken the place of the one that the lines are drawn from.
    replaced: bool,
    runs: Vec<AlarmRun>,
}

impl<'a> Follower<'a> {
    fn new(reference: &'a mut Reference, rule: &'a FollowRule) -> Self {
        let tail = reference.tail();
        let low_before = low_before(reference, rule);
        let repeats = reference.repeats;
        let goes_on = AlarmRun { rows: 0..0, continued: true, open: true, stays: false, repeats };
        let runs = if reference.run.is_empty() { Vec::new() } else { vec![goes_on] };
        let (high, low) = (tail.line(rule.start), tail.line(rule.go_on));
        let again = tail.line(AGAIN);
        Self { reference, rule, tail, high, low, again, low_before, replaced: false, runs }
    }

    /// The runs; of one that went on in the first rows only by joining nothing is left.
    fn into_runs(mut self) -> Vec<AlarmRun> {
        self.runs.retain(|run| !run.rows.is_empty());
        self.runs
    }

    fn follows(&self) -> bool {
        self.rule.memory.is_some()
    }

    fn step(&mut self, t: usize, score: f32) {
        self.reference.since += usize::from(self.follows());
        self.expect_rows();
        if !self.reference.run.is_empty() {
            self.go_on(t, score);
        } else if f64::from(score) > self.high && self.reference.cooling == 0 {
            self.reference.run = vec![score];
            self.reference.repeats = self.reference.repeating > 0;
            self.runs.push(AlarmRun { open: true, ..AlarmRun::new(t) });
            self.judge(score);
        } else {
            self.reference.cooling = self.reference.cooling.saturating_sub(1);
            self.reference.repeating = self.reference.repeating.saturating_sub(1);
            self.accept(score);
        }
        self.look_back(f64::from(score));
        self.draw_again();
    }

    /// Whether the run is a repeat, now that it has a row with this score.
    fn judge(&mut self, score: f32) {
        self.reference.repeats &= f64::from(score) <= self.again;
        let repeats = self.reference.repeats;
        self.runs.last_mut().into_iter().for_each(|run| run.repeats = repeats);
    }

    /// A row after the first of a run: it belongs to it, is bridged, or ends it.
    fn go_on(&mut self, t: usize, score: f32) {
        if f64::from(score) > self.low {
            self.reference.quiet = 0;
            self.reference.run.push(score);
            self.judge(score);
            if let Some(run) = self.runs.last_mut() {
                run.rows = if run.rows.is_empty() { t..t + 1 } else { run.rows.start..t + 1 };
            }
        } else {
            self.reference.quiet += 1;
            self.accept(score);
        }
        let settled = self.follows() && self.stays(f64::from(score));
        if settled {
            self.settle();
            if let Some(run) = self.runs.last_mut() {
                run.stays = true;
            }
        }
        if self.reference.quiet > self.rule.join && !settled {
            self.accept_expected();
        }
        if settled || self.reference.quiet > self.rule.join {
            self.end();
        }
    }

    /// Whether a run is long enough for the new normal, and is not about to end: its scores are not
    /// below half of their median, above the median of normal rows. Of two incidents whose windows overlap,
    /// scores are high for long, but fall after the second one.
    fn stays(&self, score: f64) -> bool {
        let run = &self.reference.run;
        if run.len() < self.rule.settle {
            return false;
        }
        let mut sorted = run.clone();
        let middle = sorted.len() / 2;
        let of_run = f64::from(*sorted.select_nth_unstable_by(middle, f32::total_cmp).1);
        let usual = self.tail.quantile(0.5);
        score - usual >= HALF * (of_run - usual)
    }

    /// Adds what is expected of one row, up to the size of the reference.
    fn expect_rows(&mut self) {
        if let Some(memory) = self.rule.memory {
            let expected = self.reference.expected + self.rule.go_on;
            self.reference.expected = expected.min(memory as f64);
        }
    }

    /// The expected number of rows of a run joins the reference, as scores at the high threshold.
    fn accept_expected(&mut self) {
        let rows = self.reference.run.len().min(self.reference.expected as usize);
        self.reference.expected -= rows as f64;
        self.reference.recent.extend(std::iter::repeat_n(self.high as f32, rows));
    }

    /// The run is the new normal.
    fn settle(&mut self) {
        self.reference.before = std::mem::take(&mut self.reference.scores);
        let run = std::mem::take(&mut self.reference.run);
        self.replace(run);
    }

    /// Replaces the scores of the reference; thresholds are recomputed after this row.
    fn replace(&mut self, scores: Vec<f32>) {
        self.reference.scores = scores;
        self.reference.recent.clear();
        (self.reference.since, self.reference.calm) = (EVERY, 0);
        self.reference.expected = 0.0;
        self.replaced = true;
    }

    fn end(&mut self) {
        self.reference.run.clear();
        (self.reference.quiet, self.reference.cooling) = (0, self.rule.cooldown);
        (self.reference.repeating, self.reference.repeats) = (self.rule.repeats, false);
        if let Some(run) = self.runs.last_mut() {
            run.open = false;
        }
    }

    fn accept(&mut self, score: f32) {
        if self.follows() {
            self.reference.recent.push(score);
        }
    }

    /// Restores the reference from before a change where scores are as they were then.
    fn look_back(&mut self, score: f64) {
        let Some(low) = self.low_before else { return };
        self.reference.calm = if score <= low { self.reference.calm + 1 } else { 0 };
        if self.reference.calm >= self.rule.settle {
            let before = std::mem::take(&mut self.reference.before);
            self.replace(before);
        }
    }

    /// Moves what is recent into the reference, every so many rows, and draws the lines from it.
    fn draw_again(&mut self) {
        let Some(memory) = self.rule.memory.filter(|_| self.reference.since >= EVERY) else {
            return;
        };
        self.reference.since = 0;
        let new = std::mem::take(&mut self.reference.recent);
        let scores = &mut self.reference.scores;
        scores.extend(&new);
        let old: Vec<f32> = scores.drain(..scores.len().saturating_sub(memory)).collect();
        if std::mem::take(&mut self.replaced) {
            self.tail = self.reference.tail();
            self.low_before = low_before(self.reference, self.rule);
        } else {
            self.tail.slide(&old, &new, &self.reference.scores);
        }
        (self.high, self.low) = (self.tail.line(self.rule.start), self.tail.line(self.rule.go_on));
        self.again = self.tail.line(AGAIN);
    }
}

/// The low line of the reference before the last change that stayed.
fn low_before(reference: &Reference, rule: &FollowRule) -> Option<f64> {
    let before = &reference.before;
    (!before.is_empty()).then(|| Tail::fit(before).line(rule.go_on))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use super::super::example::{RULE, normal, runs, some};
    use super::*;

    #[test]
    fn an_incident_is_one_run_and_is_left_out() {
        let mut scores = normal(1, 1000);
        scores[500..540].fill(30.0);
        scores[520..522].fill(0.0);
        let mut reference = Reference::new(&normal(0, 3000));
        let found = reference.follow(&some(scores), &RULE);
        assert_eq!((runs(&found).len(), &found.runs[0].rows), (1, &(500..540)));
        assert!(!found.runs[0].open && found.p[510].unwrap() < 1e-3 && found.p[521].unwrap() > 0.1);
        assert!(reference.is_sound() && reference.scores.iter().all(|score| *score < 30.0));
        let expected = (540.0 * RULE.go_on) as usize;
        let joined = reference.scores.len() + reference.recent.len();
        assert_eq!(joined, 3000 + 1000 - 38 + expected);
    }

    #[test]
    fn a_change_that_stays_is_one_run_and_then_normal() {
        let mut scores = normal(1, 4000);
        scores[1000..].iter_mut().for_each(|score| *score += 20.0);
        let found = Reference::new(&normal(0, 3000)).follow(&some(scores.clone()), &RULE);
        assert_eq!(found.runs[0].rows, 1000..1100);
        let later: usize = runs(&found)[1..].iter().map(Range::len).sum();
        assert!(later < 30, "{:?}", found.runs);
        // A later incident as long as that is still found.
        scores[1100..].iter_mut().for_each(|score| *score -= 20.0);
        scores[3900..3905].fill(20.0);
        let found = Reference::new(&normal(0, 3000)).follow(&some(scores), &RULE);
        assert_eq!(found.runs[0].rows, 1000..1100);
        assert_eq!(found.runs.last().unwrap().rows, 3900..3905);
    }

    #[test]
    fn off_stays_as_it_is() {
        let rule = FollowRule { memory: None, ..RULE };
        let mut reference = Reference::new(&normal(0, 3000));
        let (before, scores) =
            (reference.clone(), normal(1, 1000).iter().map(|s| s + 20.0).collect());
        let found = reference.follow(&some(scores), &rule);
        assert_eq!(runs(&found).first(), Some(&(0..1000)));
        assert!(found.runs[0].open);
        assert_eq!(reference.scores, before.scores);
    }

    #[test]
    fn memory_is_bounded() {
        let mut reference = Reference::new(&normal(0, 3 * MEMORY));
        reference.follow(&some(normal(1, 3 * MEMORY)), &RULE);
        assert_eq!(reference.scores.len(), MEMORY);
        let rule = FollowRule { memory: Some(500), ..RULE };
        reference.follow(&some(normal(2, 100)), &rule);
        assert!(reference.scores.len() == 500 && reference.is_sound());
    }

    #[test]
    fn two_incidents_are_no_change_that_stays() {
        let mut scores = normal(1, 1500);
        let hump = |t: usize, at: usize| 40.0 * (1.0 - t.abs_diff(at) as f32 / 60.0).max(0.2);
        (300..420).for_each(|t| scores[t] = hump(t, 340).max(hump(t, 380)));
        (396..420).for_each(|t| scores[t] = 10.0);
        let rule = FollowRule { settle: 100, ..RULE };
        scores[1000..1020].fill(9.0);
        let found = Reference::new(&normal(0, 3000)).follow(&some(scores), &rule);
        assert_eq!(runs(&found).last(), Some(&(1000..1020)));
    }

    /// Rows of runs leave the reference, but thresholds do not fall because of that: after forty times the
    /// memory, normal rows are in as few runs as at first.
    #[test]
    fn the_share_of_normal_rows_in_runs_stays() {
        let rule = FollowRule { start: 4e-3, go_on: 0.02, memory: Some(2000), ..RULE };
        let mut shares = [0.0; 2];
        for seed in 0..6 {
            let mut reference = Reference::new(&normal(seed, 4000));
            for (part, share) in shares.iter_mut().enumerate() {
                let scores = some(normal(100 + 10 * part as u64 + seed, 40_000));
                let found = reference.follow(&scores, &rule);
                let rows: usize = runs(&found).iter().map(Range::len).sum();
                *share += rows as f64 / 240_000.0;
            }
        }
        assert!(shares[1] < 1.3 * shares[0] && shares[1] < 0.01, "{shares:?}");
    }

    #[test]
    fn runs_soon_after_another_one_are_repeats_unless_they_are_severe() {
        let mut scores = vec![1.0; 1500];
        // p of 12 is about 1e-5, that of 60 less than 1e-9.
        [(100, 30.0), (200, 12.0), (700, 12.0), (1300, 12.0), (1400, 60.0)]
            .iter()
            .for_each(|(t, score)| scores[*t..t + 20].fill(*score));
        let rule = FollowRule { repeats: 400, memory: None, ..RULE };
        let found = Reference::new(&normal(0, 3000)).follow(&some(scores), &rule);
        let repeats: Vec<_> = found.runs.iter().map(|run| run.repeats).collect();
        assert_eq!(repeats, [false, true, false, false, false]);
    }

    #[test]
    fn nothing_starts_while_it_cools_down() {
        let mut scores = normal(1, 1000);
        [100, 150, 400].iter().for_each(|t| scores[*t..t + 5].fill(30.0));
        let follow = |cooldown| {
            let rule = FollowRule { cooldown, ..RULE };
            runs(&Reference::new(&normal(0, 3000)).follow(&some(scores.clone()), &rule))
        };
        assert_eq!(follow(0), [100..105, 150..155, 400..405]);
        assert_eq!(follow(100), [100..105, 400..405]);
    }
}
