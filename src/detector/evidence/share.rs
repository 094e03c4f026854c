//! The share of each row of a window in its distance.
//!
//! A distance counts for all rows of a window, and so also for the rows next to an anomaly in it.
//! Row by row, e_t = sum_d min(((x_td - y_td) / u_d)^2, 100), with x the window, y the nearest
//! normal window, and u_d the root mean square of x_td - y_td between normal windows. With q =
//! sum_t e_t^2 / sum_t e_t (the energy-weighted mean of e), the share of a row is min(1, e_t / q):
//! 1 if all rows differ equally, about 0 if others differ far more. The share of a row between two
//! others is at least the smaller one of theirs: an anomaly may pass through usual values.
//!
//! The final share of a row is the mean over the windows that cover it, each weighted by max(z, 0).
//! A row with share 0 keeps 0.7 of its score: something is near, and labels that are wider than the
//! anomaly still match.
//!
//! Where an alarm begins and ends is determined by shares without the bound of 100: next to extreme
//! rows, rows that deviate by chance have no share.

use std::collections::VecDeque;
use std::ops::Range;

use super::features::Values;
use crate::stats::sum_of;

/// Minimum usual difference of a feature, in training ranges.
pub(crate) const LEAST_UNIT: f32 = 2e-3;
/// Maximum squared difference in scores, in units of u: one extreme row must not hide the others.
const MOST_ENERGY: f32 = 100.0;
/// z is counted in multiples of 2^-20, up to 1e6.
const STEP: f64 = (1u64 << 20) as f64;
const MOST: f64 = 1e6;
/// Factor of the score of a row with share 0.
const LEFT: f64 = 0.7;
/// With a mean z far below this, rows are not distinguished.
const LITTLE: f64 = 1.0;

/// Windows of one size over some features, and the normal ones that they are compared with.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    pub values: &'a Values,
    pub reference: &'a Values,
    pub chosen: &'a [usize],
    pub size: usize,
    /// Whether windows are compared without their level, relative to the median difference.
    pub level_free: bool,
}

/// A window, and its nearest normal one.
#[derive(Clone, Copy)]
pub(super) struct Match {
    pub start: usize,
    /// Start of the normal window, in the reference rows.
    pub nearest: usize,
}

impl Compared<'_> {
    /// u of every feature, from pairs of a window and its nearest reference.
    pub(super) fn units(&self, pairs: &[Match]) -> Vec<f32> {
        let mut differences = vec![0.0; self.size];
        let mut unit = |d: &usize| {
            let mut squares = 0.0;
            for pair in pairs {
                self.differ(*d, *pair, &mut differences);
                squares += differences.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            }
            let count = (pairs.len() * self.size).max(1);
            (squares / count as f64).sqrt().max(f64::from(LEAST_UNIT)) as f32
        };
        self.chosen.iter().map(&mut unit).collect()
    }

    /// The share of each row of a window in its distance to the nearest reference, in [0, 1]; once per
    /// bound `most` of squared differences, in units of u.
    pub(super) fn shares(&self, pair: Match, units: &[f32], most: &[f32]) -> Vec<Vec<f32>> {
        let mut energies = vec![vec![0f32; self.size]; most.len()];
        let mut differences = vec![0f32; self.size];
        for (&d, unit) in self.chosen.iter().zip(units) {
            self.differ(d, pair, &mut differences);
            differences.iter_mut().for_each(|x| *x = (*x / unit).powi(2));
            for (energy, most) in energies.iter_mut().zip(most) {
                let rows = energy.iter_mut().zip(&differences);
                rows.for_each(|(sum, square)| *sum += square.min(*most));
            }
        }
        energies.iter().map(|energy| of_energy(energy)).collect()
    }

    /// The difference x - y of feature `d`.
    fn differ(&self, d: usize, pair: Match, out: &mut [f32]) {
        let window = self.values.window(d, pair.start, self.size);
        let normal = self.reference.window(d, pair.nearest, self.size);
        let pairs = window.iter().zip(normal);
        out.iter_mut().zip(pairs).for_each(|(slot, (x, y))| *slot = x - y);
        if self.level_free {
            let median = *out.to_vec().select_nth_unstable_by(self.size / 2, f32::total_cmp).1;
            out.iter_mut().for_each(|x| *x -= median);
        }
    }

    /// Contributions of windows with these z to the rows that they cover, once per bound in `most`.
    pub(super) fn contributions(
        &self,
        pairs: &[Match],
        z: &[f64],
        units: &[f32],
        most: &[f32],
    ) -> Vec<Contributions> {
        let first = pairs.iter().map(|pair| pair.start).min().unwrap_or(0);
        let end = pairs.iter().map(|pair| pair.start + self.size).max().unwrap_or(0);
        let none = || Contributions { rows: first..end, sums: vec![Sums::default(); end - first] };
        let mut contributions: Vec<Contributions> = most.iter().map(|_| none()).collect();
        for (&pair, z) in pairs.iter().zip(z) {
            let z = z.clamp(0.0, MOST) * STEP;
            let shares = match z > 0.0 {
                true => self.shares(pair, units, most),
                false => vec![vec![0.0; self.size]; most.len()],
            };
            for (of_bound, shares) in contributions.iter_mut().zip(shares) {
                let sums = of_bound.sums[pair.start - first..].iter_mut();
                for (sum, share) in sums.zip(shares) {
                    sum.windows += 1;
                    sum.all += z as i64;
                    sum.own += (z * f64::from(share)) as i64;
                }
            }
        }
        contributions
    }
}

/// The share of each row in a distance, from its squared differences.
fn of_energy(energy: &[f32]) -> Vec<f32> {
    let (sum, squares) = (sum_of(energy, |e| e), sum_of(energy, |e| e * e));
    if squares <= 0.0 {
        return vec![1.0; energy.len()];
    }
    let part = |e: &f32| (f64::from(*e) * sum / squares).min(1.0) as f32;
    envelope(&energy.iter().map(part).collect::<Vec<f32>>())
}

/// For every value, the smaller one of the maxima up to it and from it.
fn envelope(values: &[f32]) -> Vec<f32> {
    let running = |most: &mut f32, x: &f32| {
        *most = most.max(*x);
        Some(*most)
    };
    let mut found: Vec<f32> = values.iter().scan(0.0, running).collect();
    let mut most = 0f32;
    for (slot, x) in found.iter_mut().zip(values).rev() {
        most = most.max(*x);
        *slot = slot.min(most);
    }
    found
}

/// Integer sums over the windows that cover a row: their order does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    windows: u32,
    /// max(z, 0), and the row's share of it.
    all: i64,
    own: i64,
}

/// Contributions of some windows to the rows that they cover.
pub(super) struct Contributions {
    rows: Range<usize>,
    sums: Vec<Sums>,
}

/// The share of every row in the distances.
pub(crate) struct RowShares {
    /// Weighted means over windows, summed over members: of max(z, 0), and of the row's share of
    /// it.
    all: Vec<f64>,
    own: Vec<f64>,
    weights: f64,
    /// Maximum squared difference, in units of u.
    most: f32,
}

impl RowShares {
    /// For the scores of rows.
    pub(super) fn of_scores(rows: usize) -> Self {
        Self::bounded(rows, MOST_ENERGY)
    }

    /// For the ends of alarms.
    pub(super) fn of_ends(rows: usize) -> Self {
        Self::bounded(rows, f32::INFINITY)
    }

    fn bounded(rows: usize, most: f32) -> Self {
        Self { all: vec![0.0; rows], own: vec![0.0; rows], weights: 0.0, most }
    }

    /// Adds the windows of a member with weight `weight`.
    pub(super) fn accumulator(&mut self, weight: f64) -> ShareAccumulator<'_> {
        ShareAccumulator { shares: self, weight, first: 0, sums: VecDeque::new() }
    }

    /// The share of a row, in [0, 1].
    pub(crate) fn get(&self, row: usize) -> f64 {
        let little = LITTLE * self.weights.max(1.0);
        (little + self.own[row]) / (little + self.all[row])
    }

    /// The score of a row with the combined score `score`.
    pub(super) fn score(&self, row: usize, score: f32) -> f32 {
        score * self.factor(row, LEFT) as f32
    }

    /// The factor of the score of a row, which is `left` for a row with share 0.
    pub(super) fn factor(&self, row: usize, left: f64) -> f64 {
        left + (1.0 - left) * self.get(row)
    }
}

/// Collects the contributions of one member's windows. Only the sums of rows that later windows can
/// cover are in memory.
pub(super) struct ShareAccumulator<'a> {
    shares: &'a mut RowShares,
    weight: f64,
    /// First row of the sums.
    first: usize,
    sums: VecDeque<Sums>,
}

impl ShareAccumulator<'_> {
    /// Maximum squared difference, in units of u.
    pub(super) fn most(&self) -> f32 {
        self.shares.most
    }

    /// Adds the next windows; none begins before those of the previous call.
    pub(super) fn add(&mut self, windows: Contributions) {
        self.settle(windows.rows.start);
        if self.sums.is_empty() {
            self.first = windows.rows.start;
        }
        let rows = self.sums.len().max(windows.rows.end - self.first);
        self.sums.resize(rows, Sums::default());
        for (sum, more) in
            self.sums.iter_mut().skip(windows.rows.start - self.first).zip(windows.sums)
        {
            sum.windows += more.windows;
            sum.all += more.all;
            sum.own += more.own;
        }
    }

    /// Finishes the windows of the member.
    pub(super) fn finish(mut self) {
        if !self.sums.is_empty() {
            self.shares.weights += self.weight;
        }
        self.settle(usize::MAX);
    }

    /// Moves the rows before `end`, which no later window covers, into the result.
    fn settle(&mut self, end: usize) {
        let settled = end.saturating_sub(self.first).min(self.sums.len());
        for (row, sum) in (self.first..).zip(self.sums.drain(..settled)) {
            let scale = self.weight / STEP / f64::from(sum.windows.max(1));
            self.shares.all[row] += scale * sum.all as f64;
            self.shares.own[row] += scale * sum.own as f64;
        }
        self.first += settled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_between_two_take_part() {
        assert_eq!(envelope(&[0.1, 0.0, 0.5, 0.2, 1.0, 0.3]), [0.1, 0.1, 0.5, 0.5, 1.0, 0.3]);
    }

    #[test]
    fn few_odd_rows_have_all_of_a_distance() {
        let normal = Values::new(vec![vec![0.0; 12]]);
        let shares_of = |odd: Range<usize>, level_free: bool| {
            let value = |t| if odd.contains(&t) { 1.0 } else { 0.005 };
            let values = Values::new(vec![(0..12).map(value).collect()]);
            let compared = Compared {
                values: &values,
                reference: &normal,
                chosen: &[0],
                size: 10,
                level_free,
            };
            compared.shares(Match { start: 2, nearest: 0 }, &[0.01], &[f32::INFINITY]).concat()
        };
        for (start, level_free) in [(4, false), (5, true)] {
            let shares = shares_of(start..start + 3, level_free);
            let odd = |i: usize| (start..start + 3).contains(&(i + 2));
            let right =
                |(i, share): (usize, &f32)| if odd(i) { *share > 0.99 } else { *share < 0.01 };
            assert!(shares.iter().enumerate().all(right), "{shares:?}");
        }
        assert_eq!(shares_of(0..12, false), [1.0; 10]);
    }
}
