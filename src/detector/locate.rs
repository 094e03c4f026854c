//! Locates the anomalous rows within a run of high scores, the features that deviate, and their
//! expected values.
//!
//! A score is a mean over the windows that cover a row: it rises before an anomaly begins. The rows
//! themselves, compared with those of the nearest normal windows ([`Scaled`]), are more precise.

use std::ops::Range;

use super::evidence::{LEAST_UNIT, Scaled};
use crate::alarm::{Alarm, Direction};

/// Minimum deviation of an anomalous row: in units of the usual deviation nearby, or of the
/// [`QUANTILE`] of the rows with a share in the distances, whichever is larger.
const ODD: f32 = 4.0;
const ODD_OF_HIGH: f32 = 0.2;
const QUANTILE: f32 = 0.9;
/// Maximum deviation that counts, in units of the minimum deviation.
const MOST: f32 = 3.0;
/// Maximum deviation that counts in the shares of features, in units of the usual deviation.
pub(super) const MOST_BLAME: f32 = 10.0;
/// Minimum number of rows for the usual deviation.
const FEWEST: usize = 16;
/// Quantiles of absolute deviations, and the same of a standard normal variable.
const QUANTILES: [(f32, f32); 3] = [(0.5, 0.6745), (0.9, 1.6449), (0.98, 2.3263)];
/// Minimum share of the squared deviations, without those of noise, in the anomalous rows;
/// otherwise the alarm is the whole part.
const CAPTURED: f32 = 0.8;
/// The same for a run that its scores alone do not make an alarm; otherwise it is none.
const SEEN: f32 = 0.5;
/// Maximum share of the rows with high scores that are too far from the anomalous rows to be high
/// because of them, unless the anomalous rows are more than [`FEW`] of them. Otherwise the alarm is all rows
/// with high scores.
const BEYOND: f32 = 0.02;
const FEW: f32 = 0.6;
/// In that sum, deviations up to [`NOISE`] count 0, and larger ones count at most [`LARGEST`], or the minimum
/// deviation of an anomalous row if that is larger.
const NOISE: f32 = 2.0;
const LARGEST: f32 = 30.0;
/// Minimum sum of a stretch, as a share of the largest one, to join an alarm or to be one of its
/// own.
const PART: f32 = 0.05;
const APART: f32 = 0.25;
/// Minimum share of all deviation in one direction for an alarm to have that direction.
const ONE_WAY: f32 = 0.5;

/// Deviations from expected values.
struct Deviations {
    rows: Range<usize>,
    expected: Vec<Vec<f32>>,
    /// [D][rows], in training ranges.
    differences: Vec<Vec<f32>>,
    /// Usual deviation of each feature.
    units: Vec<f32>,
    /// Half of the rows of a window.
    reach: usize,
}

/// Anomalous rows.
struct OddRows {
    rows: Vec<Range<usize>>,
    /// Their share of all deviation; NaN if there is none.
    share: f32,
}

impl OddRows {
    fn have(&self, share: f32) -> bool {
        self.share >= share
    }
}

/// What the scores of a run say about its alarms.
pub(super) struct RunExtent {
    /// From the first to the last row with a share in the distances of its windows.
    pub part: Range<usize>,
    /// From the first to the last row with a high score.
    pub high: Range<usize>,
    /// How much of a change that stays is an alarm.
    pub change: Option<LastingChange>,
    /// Whether scores alone make it an alarm.
    pub by_scores: bool,
}

impl RunExtent {
    /// The rows of an alarm of all high scores.
    pub(super) fn of_high(&self) -> Range<usize> {
        self.limited(self.high.clone())
    }

    /// The rows of an alarm: of a change that stays, the first ones.
    fn limited(&self, rows: Range<usize>) -> Range<usize> {
        match &self.change {
            Some(change) if rows.end >= change.since => {
                rows.start..rows.end.min(rows.start + change.most)
            }
            _ => rows,
        }
    }
}

/// A run that became the new normal.
pub(super) struct LastingChange {
    /// An alarm that goes on until this row is the change.
    pub since: usize,
    /// Maximum number of rows of such an alarm.
    pub most: usize,
}

/// The alarms within `run`, with their rows, features and expected values: its anomalous rows, if they
/// have most of the deviation in the part of it with a share in the distances, else its rows with
/// high scores; none where neither scores nor rows make an alarm. `alarm_of` gives the alarm of some rows from
/// the scores alone.
pub(super) fn located(
    series: &Scaled<'_>,
    run: &Range<usize>,
    extent: &RunExtent,
    alarm_of: impl Fn(Range<usize>) -> Alarm,
) -> Vec<Alarm> {
    let of_high = || alarm_of(extent.of_high());
    let Some(deviations) = Deviations::new(series, run) else {
        return if extent.by_scores { vec![of_high()] } else { Vec::new() };
    };
    let odd = deviations.odd_rows(run, &extent.part);
    if !extent.by_scores && !odd.have(SEEN) {
        return Vec::new();
    }
    let has_them = odd.have(CAPTURED) && deviations.explain(&odd.rows, &extent.high);
    let located = odd.rows.into_iter().filter(|_| has_them).map(|rows| {
        let rows = extent.limited(rows);
        let peak = deviations.oddest(&rows);
        deviations.explained(series, Alarm { peak, ..alarm_of(rows) })
    });
    let located: Vec<Alarm> = located.collect();
    match located.is_empty() {
        true => vec![deviations.explained(series, of_high())],
        false => located,
    }
}

impl Deviations {
    /// Of `run`, and of as many rows on both sides as a window reaches.
    fn new(series: &Scaled<'_>, run: &Range<usize>) -> Option<Self> {
        let (part, reach) = (series.part(run.start), series.size() / 2);
        let rows = run.start.saturating_sub(reach).max(part.start)..(run.end + reach).min(part.end);
        let rows = rows.start..rows.end.max(run.end);
        let expected = series.expected(&rows)?;
        let differences: Vec<Vec<f32>> = expected
            .iter()
            .enumerate()
            .map(|(d, expected)| {
                let actual = series.actual(d, rows.clone()).iter();
                actual.zip(expected).map(|(x, y)| x - y).collect()
            })
            .collect();
        let inside = run.start - rows.start..run.end - rows.start;
        let units = differences.iter().map(|d| usual(d, &inside)).collect();
        Some(Self { rows, expected, differences, units, reach })
    }

    fn deviation(&self, d: usize, t: usize) -> f32 {
        self.differences[d][t - self.rows.start].abs() / self.units[d]
    }

    /// Largest deviation in a row.
    fn of_row(&self, t: usize) -> f32 {
        (0..self.units.len()).map(|d| self.deviation(d, t)).fold(0.0, f32::max)
    }

    /// `alarm` with its features and expected values.
    fn explained(&self, series: &Scaled<'_>, alarm: Alarm) -> Alarm {
        let features = self.shares(&alarm.rows);
        let direction = features.first().map(|(d, _)| self.direction(*d, &alarm.rows));
        let at = alarm.peak - self.rows.start;
        let expected = self.expected.iter().enumerate();
        let expected = expected.map(|(d, values)| series.in_unit(d, values[at])).collect();
        let change = self.change(series, &alarm.rows);
        Alarm { features, direction, expected: Some(expected), change, ..alarm }
    }

    /// The stretches of `run` with the largest sums of deviation beyond the minimum, and their share of
    /// the deviation in `part`.
    fn odd_rows(&self, run: &Range<usize>, part: &Range<usize>) -> OddRows {
        let odd = self.least_odd(part);
        let found = largest_sums(run.clone().map(|t| self.of_row(t).min(MOST * odd) - odd));
        let found = joined(found, self.reach);
        let kept: Vec<Range<usize>> =
            found.into_iter().map(|rows| rows.start + run.start..rows.end + run.start).collect();
        let energy = |rows: Range<usize>| -> f32 {
            rows.map(|t| self.of_row(t).clamp(NOISE, LARGEST.max(odd)).powi(2) - NOISE.powi(2))
                .sum()
        };
        let captured: f32 = kept.iter().cloned().map(energy).sum();
        OddRows { rows: kept, share: captured / energy(part.clone()) }
    }

    /// Whether the windows that contain `odd` rows are what raises the scores of the `high` rows. A
    /// window of the largest size reaches half of its size beyond them on each side, but the mean over
    /// windows of all sizes is high for about half of that, or farther between two stretches of odd rows.
    fn explain(&self, odd: &[Range<usize>], high: &Range<usize>) -> bool {
        let within = |rows: &Range<usize>, t: usize, reach: usize| {
            t + reach >= rows.start && t < rows.end + reach
        };
        let near = |t: usize| {
            odd.iter().any(|rows| within(rows, t, self.reach / 2))
                || odd.windows(2).any(|pair| pair.iter().all(|rows| within(rows, t, self.reach)))
        };
        let beyond = high.clone().filter(|t| !near(*t)).count();
        let found: usize = odd.iter().map(Range::len).sum();
        found as f32 > FEW * high.len() as f32 || beyond as f32 <= BEYOND * high.len() as f32
    }

    /// The minimum deviation of an anomalous row; larger than usual if `part` is extreme.
    fn least_odd(&self, part: &Range<usize>) -> f32 {
        let deviations = sorted(part.clone().map(|t| self.of_row(t)));
        ODD.max(ODD_OF_HIGH * quantile(&deviations, QUANTILE))
    }

    fn oddest(&self, rows: &Range<usize>) -> usize {
        let sum = |t: usize| -> f32 { (0..self.units.len()).map(|d| self.deviation(d, t)).sum() };
        let first = (rows.start, f32::NEG_INFINITY);
        let larger = |best: (usize, f32), t| if sum(t) > best.1 { (t, sum(t)) } else { best };
        rows.clone().fold(first, larger).0
    }

    /// Share of each feature in the squared deviations beyond 1, in descending order. As in `explain`,
    /// no deviation counts for more than [`MOST_BLAME`].
    fn shares(&self, rows: &Range<usize>) -> Vec<(usize, f64)> {
        let energy = |d: usize| -> f64 {
            let of_row =
                |t| f64::from((self.deviation(d, t).min(MOST_BLAME).powi(2) - 1.0).max(0.0));
            rows.clone().map(of_row).sum()
        };
        let mut shares: Vec<(usize, f64)> =
            (0..self.units.len()).map(|d| (d, energy(d))).filter(|(_, e)| *e > 0.0).collect();
        let sum: f64 = shares.iter().map(|(_, e)| e).sum();
        shares.iter_mut().for_each(|(_, e)| *e /= sum);
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    fn direction(&self, d: usize, rows: &Range<usize>) -> Direction {
        let moved = || rows.clone().map(|t| self.differences[d][t - self.rows.start]);
        let (net, all) = (moved().sum::<f32>(), moved().map(f32::abs).sum::<f32>());
        match net {
            net if net > ONE_WAY * all => Direction::Up,
            net if net < -ONE_WAY * all => Direction::Down,
            _ => Direction::Both,
        }
    }

    fn change(&self, series: &Scaled<'_>, rows: &Range<usize>) -> Option<f64> {
        let largest = |d: usize| {
            let moved = rows.clone().map(|t| self.differences[d][t - self.rows.start].abs());
            series.change(d, moved.fold(0.0, f32::max))
        };
        (0..self.units.len()).map(largest).reduce(f64::max)
    }
}

/// The usual difference next to the rows `inside`, on the quieter side: the other side may have
/// changed, too.
fn usual(differences: &[f32], inside: &Range<usize>) -> f32 {
    let sides = [&differences[..inside.start], &differences[inside.end..]];
    let long = sides.into_iter().filter(|side| side.len() >= FEWEST);
    long.map(unit).reduce(f32::min).unwrap_or_else(|| unit(differences))
}

/// The largest of three quantiles of absolute values, each in units of the same quantile of a
/// normal variable: for counts and rare flags, the median and the 90 % quantile may be 0.
fn unit(differences: &[f32]) -> f32 {
    let sizes = sorted(differences.iter().map(|x| x.abs()));
    let at = |(q, normal): (f32, f32)| quantile(&sizes, q) / normal;
    QUANTILES.into_iter().map(at).fold(LEAST_UNIT, f32::max)
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    values
}

/// Quantile of sorted values, the nearest; 0 if there are none.
fn quantile(sorted: &[f32], q: f32) -> f32 {
    let last = sorted.len().saturating_sub(1) as f32;
    sorted.get((q * last).round() as usize).copied().unwrap_or(0.0)
}

/// Joins stretches with fewer than `reach` rows between them, if their sums are large enough.
fn joined(stretches: Vec<(Range<usize>, f32)>, reach: usize) -> Vec<Range<usize>> {
    let largest = |found: &[(Range<usize>, f32)]| found.iter().map(|x| x.1).fold(0.0, f32::max);
    let least = PART * largest(&stretches);
    let mut found: Vec<(Range<usize>, f32)> = Vec::new();
    for (rows, sum) in stretches.into_iter().filter(|x| x.1 >= least) {
        match found.last_mut() {
            Some(last) if rows.start < last.0.end + reach => {
                *last = (last.0.start..rows.end, last.1 + sum);
            }
            _ => found.push((rows, sum)),
        }
    }
    let least = APART * largest(&found);
    found.into_iter().filter(|x| x.1 >= least).map(|x| x.0).collect()
}

/// A stretch of values, and the sums of all values before it and up to its end.
struct OddStretch {
    rows: Range<usize>,
    before: f32,
    up_to: f32,
    /// The last stretch with a smaller sum before it.
    lower: Option<usize>,
}

/// The stretches whose sum no shorter or longer one exceeds, with their sums: all maximal scoring
/// subsequences (Ruzzo & Tompa, ISMB 1999), in linear time.
fn largest_sums(values: impl Iterator<Item = f32>) -> Vec<(Range<usize>, f32)> {
    let mut found: Vec<OddStretch> = Vec::new();
    let mut sum = 0.0;
    for (t, value) in values.enumerate() {
        let before = sum;
        sum += value;
        if value > 0.0 {
            append(&mut found, OddStretch { rows: t..t + 1, before, up_to: sum, lower: None });
        }
    }
    found.into_iter().map(|found| (found.rows, found.up_to - found.before)).collect()
}

/// Adds a stretch, joined with the previous ones that increase its sum.
fn append(found: &mut Vec<OddStretch>, mut new: OddStretch) {
    loop {
        let mut lower = found.len().checked_sub(1);
        while let Some(i) = lower.filter(|i| found[*i].before >= new.before) {
            lower = found[i].lower;
        }
        match lower {
            Some(i) if found[i].up_to < new.up_to => {
                new.rows.start = found[i].rows.start;
                new.before = found[i].before;
                found.truncate(i);
            }
            _ => {
                found.push(OddStretch { lower, ..new });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Parts are ranges of rows.

    use proptest::prelude::*;

    use super::*;

    /// Windows of 80 rows make scores high for about 20 rows beyond what is odd.
    #[test]
    fn odd_rows_are_the_reason_for_high_scores_near_them() {
        let (expected, differences, units) = (Vec::new(), Vec::new(), Vec::new());
        let of = Deviations { rows: 0..400, expected, differences, units, reach: 40 };
        // One row, and the scores that its windows raise.
        assert!(of.explain(&[200..201], &(182..219)));
        // One row in the middle of 200 high ones, or at their end: something else is there, too.
        assert!(!of.explain(&[200..201], &(100..300)) && !of.explain(&[290..300], &(100..300)));
        // Most of them.
        assert!(of.explain(&[140..270], &(100..300)));
        assert!(of.explain(&[110..170, 220..290], &(100..300)));
    }

    #[test]
    fn stretches_are_joined_where_that_pays() {
        // The example of the paper.
        let values = [4.0, -5.0, 3.0, -3.0, 1.0, 2.0, -2.0, 2.0, -2.0, 1.0, 5.0];
        let found = largest_sums(values.into_iter());
        assert_eq!(found, [(0..1, 4.0), (2..3, 3.0), (4..11, 7.0)]);
        assert_eq!(largest_sums([-1.0, 0.0].into_iter()), []);
    }

    proptest! {
        /// By definition: the largest sum, then recursively to the left and to the right of it.
        #[test]
        fn stretches_are_those_of_the_definition(values in prop::collection::vec(-4i8..5, 0..40)) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let found: Vec<f32> = largest_sums(values.iter().copied()).iter().map(|x| x.1).collect();
            prop_assert_eq!(found, by_definition(&values));
        }
    }

    fn by_definition(values: &[f32]) -> Vec<f32> {
        let n = values.len();
        let ranges = (0..n).flat_map(|start| (start + 1..=n).map(move |end| (start, end)));
        let sum = |(start, end): (usize, usize)| values[start..end].iter().sum::<f32>();
        // Of equal sums the shortest, then the first.
        let best = ranges.map(|range| (sum(range), range)).reduce(|best, next| {
            let shorter = next.1.1 - next.1.0 < best.1.1 - best.1.0;
            if next.0 > best.0 || (next.0 == best.0 && shorter) { next } else { best }
        });
        match best {
            Some((sum, (start, end))) if sum > 0.0 => {
                [by_definition(&values[..start]), vec![sum], by_definition(&values[end..])].concat()
            }
            _ => Vec::new(),
        }
    }
}
