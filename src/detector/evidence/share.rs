//! Which rows of a window its distance comes from.
//!
//! A distance counts for all rows of a window, so also for the rows beside an anomaly in it. Row by row,
//! e_t = sum_d min(((x_td - y_td) / u_d)^2, 100), x the window, y the nearest normal one, and u_d the root mean square
//! of x_td - y_td between normal windows. With q = sum_t e_t^2 / sum_t e_t (the mean of e where its energy
//! lies), a row takes part by min(1, e_t / q): by 1 where all rows differ alike, by about 0 where others
//! differ far more. Rows between two that take part do so by the lesser of both at least: an anomaly may
//! pass through usual values.
//!
//! The share of a row in what is said of it is the mean of this over the windows that cover it, each
//! weighted by max(z, 0). A row without any part keeps 0.7 of its score: it still says that
//! something is near, and labels that are wider than what they mark find it there.
//!
//! Where an alarm begins and ends is said by shares without the bound of 100: beside rows that are far
//! off, rows that are odd by chance have no part.

use std::collections::VecDeque;
use std::ops::Range;

use super::features::Values;

/// Least of what a feature is taken to differ by usually, in training ranges.
pub(crate) const LEAST_UNIT: f32 = 2e-3;
/// No squared difference counts for more in scores, in units of u: however far one row is off, others may be
/// odd.
const MOST_ENERGY: f32 = 100.0;
/// z are counted in steps of 2^-20, up to 1e6.
const STEP: f64 = (1u64 << 20) as f64;
const MOST: f64 = 1e6;
/// What is left of the score of a row that takes no part.
const LEFT: f64 = 0.7;
/// A mean z far below this says too little to tell rows apart.
const LITTLE: f64 = 1.0;

/// Windows of one size of some features, and the normal ones that they are compared with.
#[derive(Clone, Copy)]
pub(super) struct Compared<'a> {
    pub values: &'a Values,
    pub reference: &'a Values,
    pub chosen: &'a [usize],
    pub size: usize,
    /// Whether windows are compared without their level: then it is the median difference that is usual.
    pub level_free: bool,
    /// No squared difference counts for more, in units of u.
    pub most: f32,
}

impl Compared<'_> {
    /// u of every feature, from pairs of a window and its nearest.
    pub(super) fn units(&self, pairs: &[(usize, usize)]) -> Vec<f32> {
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

    /// How much each row of a window takes part in its distance to the nearest, in [0, 1].
    pub(super) fn shares(&self, pair: (usize, usize), units: &[f32]) -> Vec<f32> {
        let (mut energy, mut differences) = (vec![0f32; self.size], vec![0f32; self.size]);
        for (&d, unit) in self.chosen.iter().zip(units) {
            self.differ(d, pair, &mut differences);
            let rows = energy.iter_mut().zip(&differences);
            rows.for_each(|(sum, x)| *sum += (x / unit).powi(2).min(self.most));
        }
        let sum: f64 = energy.iter().map(|e| f64::from(*e)).sum();
        let squares: f64 = energy.iter().map(|e| f64::from(*e).powi(2)).sum();
        if squares <= 0.0 {
            return vec![1.0; self.size];
        }
        let part = |e: &f32| (f64::from(*e) * sum / squares).min(1.0) as f32;
        envelope(&energy.iter().map(part).collect::<Vec<f32>>())
    }

    /// x - y of feature `d`.
    fn differ(&self, d: usize, (start, nearest): (usize, usize), out: &mut [f32]) {
        let window = self.values.window(d, start, self.size);
        let normal = self.reference.window(d, nearest, self.size);
        let pairs = window.iter().zip(normal);
        out.iter_mut().zip(pairs).for_each(|(slot, (x, y))| *slot = x - y);
        if self.level_free {
            let median = *out.to_vec().select_nth_unstable_by(self.size / 2, f32::total_cmp).1;
            out.iter_mut().for_each(|x| *x -= median);
        }
    }

    /// What windows of these z say of the rows that they cover; each is given with its nearest.
    pub(super) fn add(&self, pairs: &[(usize, usize)], z: &[f64], units: &[f32]) -> Said {
        let first = pairs.iter().map(|pair| pair.0).min().unwrap_or(0);
        let end = pairs.iter().map(|pair| pair.0 + self.size).max().unwrap_or(0);
        let mut said = Said { rows: first..end, sums: vec![Sums::default(); end - first] };
        for (&pair, z) in pairs.iter().zip(z) {
            let z = z.clamp(0.0, MOST) * STEP;
            let sums = said.sums[pair.0 - first..].iter_mut().take(self.size);
            if z == 0.0 {
                sums.for_each(|sum| sum.windows += 1);
                continue;
            }
            for (sum, share) in sums.zip(self.shares(pair, units)) {
                sum.windows += 1;
                sum.all += z as i64;
                sum.own += (z * f64::from(share)) as i64;
            }
        }
        said
    }
}

/// Of every value the largest that is reached both up to it and from it on.
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

/// Sums over the windows that cover a row, of integers: their order does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    windows: u32,
    /// max(z, 0), and the row's share of it.
    all: i64,
    own: i64,
}

/// What some windows say of the rows that they cover.
pub(super) struct Said {
    rows: Range<usize>,
    sums: Vec<Sums>,
}

/// The share of some rows in what is said of them.
pub(crate) struct RowShares {
    /// The first of the rows.
    from: usize,
    /// Weighted means over windows, summed over members: of max(z, 0), and of the row's part.
    all: Vec<f64>,
    own: Vec<f64>,
    weights: f64,
    /// No squared difference counts for more, in units of u.
    most: f32,
}

impl RowShares {
    /// For the scores of rows.
    pub(super) fn of_scores(rows: usize) -> Self {
        Self::bounded(0..rows, MOST_ENERGY)
    }

    /// For where an alarm begins and ends.
    pub(super) fn of_ends(rows: Range<usize>) -> Self {
        Self::bounded(rows, f32::INFINITY)
    }

    fn bounded(rows: Range<usize>, most: f32) -> Self {
        let zeros = || vec![0.0; rows.len()];
        Self { from: rows.start, all: zeros(), own: zeros(), weights: 0.0, most }
    }

    /// Counts a member of weight `weight` that says nothing of these rows.
    pub(super) fn add_silent(&mut self, weight: f64) {
        self.weights += weight;
    }

    /// Adds what the windows of a member of weight `weight` say.
    pub(super) fn adding(&mut self, weight: f64) -> Adding<'_> {
        Adding { shares: self, weight, first: 0, sums: VecDeque::new() }
    }

    /// How much a row takes part, in [0, 1].
    pub(crate) fn get(&self, row: usize) -> f64 {
        let row = row - self.from;
        let little = LITTLE * self.weights.max(1.0);
        (little + self.own[row]) / (little + self.all[row])
    }

    /// The score of a row of which windows say `score`.
    pub(super) fn score(&self, row: usize, score: f32) -> f32 {
        score * (LEFT + (1.0 - LEFT) * self.get(row)) as f32
    }
}

/// What the windows of one member say, as it comes in. Sums are held only of rows that windows yet to
/// come may cover.
pub(super) struct Adding<'a> {
    shares: &'a mut RowShares,
    weight: f64,
    /// The row of the first of the sums.
    first: usize,
    sums: VecDeque<Sums>,
}

impl Adding<'_> {
    /// No squared difference counts for more, in units of u.
    pub(super) fn most(&self) -> f32 {
        self.shares.most
    }

    /// Adds the next windows; none begins before those of the last call do.
    pub(super) fn add(&mut self, said: Said) {
        self.settle(said.rows.start);
        if self.sums.is_empty() {
            self.first = said.rows.start;
        }
        let rows = self.sums.len().max(said.rows.end - self.first);
        self.sums.resize(rows, Sums::default());
        for (sum, more) in self.sums.iter_mut().skip(said.rows.start - self.first).zip(said.sums) {
            sum.windows += more.windows;
            sum.all += more.all;
            sum.own += more.own;
        }
    }

    /// Ends with the windows of the member.
    pub(super) fn finish(mut self) {
        if !self.sums.is_empty() {
            self.shares.weights += self.weight;
        }
        self.settle(usize::MAX);
    }

    /// Counts the rows before `end`, which no window to come covers.
    fn settle(&mut self, end: usize) {
        let settled = end.saturating_sub(self.first).min(self.sums.len());
        let rows = self.first.saturating_sub(self.shares.from)..self.shares.all.len();
        let before = self.shares.from.saturating_sub(self.first);
        for (row, sum) in rows.zip(self.sums.drain(..settled).skip(before)) {
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
        let of = |odd: Range<usize>, level_free: bool| {
            let value = |t| if odd.contains(&t) { 1.0 } else { 0.005 };
            let values = Values::new(vec![(0..12).map(value).collect()]);
            let compared = Compared {
                values: &values,
                reference: &normal,
                chosen: &[0],
                size: 10,
                level_free,
                most: f32::INFINITY,
            };
            compared.shares((2, 0), &[0.01])
        };
        for (start, level_free) in [(4, false), (5, true)] {
            let shares = of(start..start + 3, level_free);
            let odd = |i: usize| (start..start + 3).contains(&(i + 2));
            let right =
                |(i, share): (usize, &f32)| if odd(i) { *share > 0.99 } else { *share < 0.01 };
            assert!(shares.iter().enumerate().all(right), "{shares:?}");
        }
        assert_eq!(of(0..12, false), [1.0; 10]);
    }
}
