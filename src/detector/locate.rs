//! Where within a run of high scores the odd rows are, which features are odd, and what they should
//! have been.
//!
//! A score is a mean over the windows that cover a row: it rises before an anomaly begins. The rows
//! themselves, beside those of the nearest normal windows ([`Scaled`]), are sharper.

use std::ops::Range;

use super::evidence::{LEAST_UNIT, Scaled};
use crate::alarm::{Alarm, Direction};

/// Deviation from which on a row is odd: in units of what is usual nearby, or of the [`QUANTILE`] of the
/// part of a run that takes part in what its windows differ by, whichever is more.
const ODD: f32 = 4.0;
const ODD_OF_HIGH: f32 = 0.2;
const QUANTILE: f32 = 0.9;
/// Largest deviation that counts, in units of the least odd one.
const MOST: f32 = 3.0;
/// Fewest rows that say what is usual.
const FEWEST: usize = 16;
/// Quantiles of the sizes of deviations, and what they are of a standard normal variable.
const QUANTILES: [(f32, f32); 3] = [(0.5, 0.6745), (0.9, 1.6449), (0.98, 2.3263)];
/// Share of the squared deviations of the part, less those of noise, that the odd rows must hold: else
/// the whole part is the alarm.
const CAPTURED: f32 = 0.5;
/// In that sum, a deviation up to [`NOISE`] counts nothing, and none counts for more than [`LARGEST`].
const NOISE: f32 = 2.0;
const LARGEST: f32 = 30.0;
/// Share of the largest sum that odd rows need to be part of an alarm, and to be one of their own.
const PART: f32 = 0.05;
const APART: f32 = 0.25;
/// Share of all movement that must go one way for an alarm to have a direction.
const ONE_WAY: f32 = 0.5;

/// Deviations from what was expected.
struct Deviations {
    rows: Range<usize>,
    expected: Vec<Vec<f32>>,
    /// [D][rows], in training ranges.
    differences: Vec<Vec<f32>>,
    /// What is usual for each feature.
    units: Vec<f32>,
    /// Half of the rows of a window.
    reach: usize,
}

/// The alarms within `run`, with their rows, features and expected values: its odd rows, else the `part`
/// of it that takes part in what windows differ by. `alarm_of` some rows is what scores say of them.
pub(super) fn located(
    series: &Scaled<'_>,
    run: &Range<usize>,
    part: Range<usize>,
    alarm_of: impl Fn(Range<usize>) -> Alarm,
) -> Vec<Alarm> {
    let Some(deviations) = Deviations::new(series, run) else { return vec![alarm_of(part)] };
    let odd = deviations.odd_rows(run, &part);
    let located = odd.into_iter().map(|rows| {
        let peak = deviations.oddest(&rows);
        deviations.explained(series, Alarm { peak, ..alarm_of(rows) })
    });
    let located: Vec<Alarm> = located.collect();
    match located.is_empty() {
        true => vec![deviations.explained(series, alarm_of(part))],
        false => located,
    }
}

impl Deviations {
    /// Of `run` and of as many rows on both sides as windows reach.
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

    /// Largest deviation of a row.
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

    /// The stretches of `run` with the largest sums of what deviates more than the least odd row, where they
    /// hold as much as most of what deviates in `part`; else none.
    fn odd_rows(&self, run: &Range<usize>, part: &Range<usize>) -> Vec<Range<usize>> {
        let odd = self.least_odd(part);
        let found = largest_sums(run.clone().map(|t| self.of_row(t).min(MOST * odd) - odd));
        let found = joined(found, self.reach);
        let kept: Vec<Range<usize>> =
            found.into_iter().map(|rows| rows.start + run.start..rows.end + run.start).collect();
        let energy = |rows: Range<usize>| -> f32 {
            rows.map(|t| self.of_row(t).clamp(NOISE, LARGEST).powi(2) - NOISE.powi(2)).sum()
        };
        let captured: f32 = kept.iter().cloned().map(energy).sum();
        if captured >= CAPTURED * energy(part.clone()) { kept } else { Vec::new() }
    }

    /// The deviation from which on a row is odd: where `part` is far off, larger than usual.
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

    /// Share of each feature in the squared deviations beyond 1, the largest first.
    fn shares(&self, rows: &Range<usize>) -> Vec<(usize, f64)> {
        let energy = |d: usize| -> f64 {
            let of_row = |t| f64::from((self.deviation(d, t).min(1e6).powi(2) - 1.0).max(0.0));
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
        let of = |d: usize| {
            let moved = rows.clone().map(|t| self.differences[d][t - self.rows.start].abs());
            series.change(d, moved.fold(0.0, f32::max))
        };
        (0..self.units.len()).map(of).reduce(f64::max)
    }
}

/// The usual size of a difference next to the rows `inside`, on the quieter side of them: the other side
/// may have changed, too.
fn usual(differences: &[f32], inside: &Range<usize>) -> f32 {
    let sides = [&differences[..inside.start], &differences[inside.end..]];
    let long = sides.into_iter().filter(|side| side.len() >= FEWEST);
    long.map(unit).reduce(f32::min).unwrap_or_else(|| unit(differences))
}

/// The largest of three quantiles of the sizes, each in units of a normal deviation: of counts and flags
/// that are seldom set, the median and the 90 % quantile may be 0.
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

/// Quantile of sorted values, the nearest; 0 of none.
fn quantile(sorted: &[f32], q: f32) -> f32 {
    let last = sorted.len().saturating_sub(1) as f32;
    sorted.get((q * last).round() as usize).copied().unwrap_or(0.0)
}

/// Stretches with fewer than `reach` rows between them as one, where they have enough of the largest sum.
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

/// The stretches that no longer or shorter one beats in its sum, each with its sum: all maximal scoring
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

/// Adds a stretch, joined with those before it from which on the sum is larger than its own.
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stretches_are_joined_where_that_pays() {
        // The example of the paper.
        let values = [4.0, -5.0, 3.0, -3.0, 1.0, 2.0, -2.0, 2.0, -2.0, 1.0, 5.0];
        let found = largest_sums(values.into_iter());
        assert_eq!(found, [(0..1, 4.0), (2..3, 3.0), (4..11, 7.0)]);
        assert_eq!(largest_sums([-1.0, 0.0].into_iter()), []);
    }

    proptest! {
        /// By the definition: the largest sum, then the same to the left and to the right of it.
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
        // Of equal sums the shortest, of these the first.
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
