//! Window-to-row overlap: combines the values of the windows that cover a row.

use std::ops::Range;

use super::series::Series;
use crate::config::Aggregate;

/// Values per row from overlapping windows.
pub(crate) struct Overlap {
    values: Vec<f32>,
    counts: Vec<u32>,
    width: usize,
    aggregate: Aggregate,
}

impl Overlap {
    pub(crate) fn new(rows: usize, width: usize, aggregate: Aggregate) -> Self {
        Self { values: vec![0.0; rows * width], counts: vec![0; rows], width, aggregate }
    }

    /// Adds the values of a window over `rows`, [rows, width]; windows come in order.
    pub(crate) fn add(&mut self, rows: Range<usize>, values: &[f32]) {
        let width = self.width.max(1);
        let slots = &mut self.values[rows.start * self.width..rows.end * self.width];
        let counts = &mut self.counts[rows];
        let rows = slots.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((slots, values), count) in rows.zip(&mut *counts) {
            for (slot, value) in slots.iter_mut().zip(values) {
                *slot = match self.aggregate {
                    _ if *count == 0 => *value,
                    Aggregate::Mean => *slot + value,
                    Aggregate::Max => slot.max(*value),
                    // The first window that contains a row contains it as its last row.
                    Aggregate::Last => *slot,
                };
            }
        }
        counts.iter_mut().for_each(|count| *count += 1);
    }

    /// Value `i` of a row.
    pub(crate) fn get(&self, row: usize, i: usize) -> Option<f32> {
        let count = self.counts[row];
        let value = || self.values[row * self.width + i];
        (count > 0).then(|| match self.aggregate {
            Aggregate::Mean => value() / count as f32,
            _ => value(),
        })
    }

    /// Value `i` of a row as a finite 32-bit score; `None` if the row lacks a value.
    pub(crate) fn score(&self, series: &Series<'_>, row: usize, i: usize) -> Option<f32> {
        self.get(row, i).filter(|_| series.is_usable(row)).map(finite)
    }

    /// Rows that a window covers.
    pub(crate) fn covered(&self) -> Vec<bool> {
        self.counts.iter().map(|count| *count > 0).collect()
    }
}

/// Limits scores to finite 32-bit floats.
fn finite(score: f32) -> f32 {
    if score.is_nan() { f32::MAX } else { score.clamp(f32::MIN, f32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_windows_are_put_together() {
        let rows = |aggregate| {
            let mut rows = Overlap::new(5, 1, aggregate);
            rows.add(0..3, &[1.0, 2.0, 3.0]);
            rows.add(1..4, &[4.0, -5.0, 6.0]);
            (0..5).map(|t| rows.get(t, 0)).collect::<Vec<_>>()
        };
        assert_eq!(rows(Aggregate::Mean), [Some(1.0), Some(3.0), Some(-1.0), Some(6.0), None]);
        assert_eq!(rows(Aggregate::Max), [Some(1.0), Some(4.0), Some(3.0), Some(6.0), None]);
        assert_eq!(rows(Aggregate::Last), [Some(1.0), Some(2.0), Some(3.0), Some(6.0), None]);
    }
}
