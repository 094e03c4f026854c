//! Window-to-row overlap: the mean over the windows that cover a row.
//!
//! Sums are integers, so that they do not depend on where a series begins: a row far from both ends
//! has the same value in any slice, bit by bit.

use std::ops::Range;

/// Values are multiples of 2^-24, up to 1e12.
const STEP: f64 = (1u64 << 24) as f64;
const MOST: f64 = 1e12;

/// Sums over the windows that cover each row.
pub(super) struct RowMeans {
    sums: Vec<i128>,
    counts: Vec<u32>,
}

impl RowMeans {
    pub(super) fn new(rows: usize) -> Self {
        Self { sums: vec![0; rows], counts: vec![0; rows] }
    }

    /// Adds the windows of `size` rows of a stretch: `values` at `starts` (ascending, including its
    /// first and last window), linear in between.
    pub(super) fn add(
        &mut self,
        stretch: Range<usize>,
        size: usize,
        starts: &[usize],
        values: &[f64],
    ) {
        let totals = totals(starts, values);
        let windows = totals.len().saturating_sub(1);
        for t in stretch.clone() {
            let i = t - stretch.start;
            let covering = (i + 1).saturating_sub(size)..(i + 1).min(windows);
            if covering.is_empty() {
                continue;
            }
            self.sums[t] += totals[covering.end] - totals[covering.start];
            self.counts[t] += covering.len() as u32;
        }
    }

    /// The mean of a row; `None` without a window.
    pub(super) fn get(&self, row: usize) -> Option<f64> {
        let count = self.counts[row];
        (count > 0).then(|| self.sums[row] as f64 / STEP / f64::from(count))
    }
}

/// Sums of the values of all windows before each, with one more entry than windows.
fn totals(starts: &[usize], values: &[f64]) -> Vec<i128> {
    let mut totals = vec![0i128];
    let mut add = |value: f64| {
        let last = totals.last().copied().unwrap_or_default();
        totals.push(last + (value.clamp(-MOST, MOST) * STEP).round() as i128);
    };
    for (i, value) in values.iter().enumerate() {
        add(*value);
        let (Some(next), Some(to)) = (starts.get(i + 1), values.get(i + 1)) else { continue };
        let rows = next - starts[i];
        (1..rows).for_each(|t| add(value + (to - value) * (t as f64 / rows as f64)));
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_means_of_covering_windows() {
        let mut rows = RowMeans::new(9);
        // Windows of 3 rows at 1, 2, 3, 4 of rows 1..7: 0, 1, 2, 6.
        rows.add(1..7, 3, &[1, 3, 4], &[0.0, 2.0, 6.0]);
        let found: Vec<_> = (0..9).map(|t| rows.get(t)).collect();
        let some = [0.0, 0.5, 1.0, 3.0, 4.0, 6.0].map(Some);
        assert_eq!(found[1..7], some);
        assert_eq!([found[0], found[7], found[8]], [None; 3]);
    }
}
