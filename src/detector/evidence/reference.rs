//! The normal rows that windows are compared with.

use std::ops::Range;

use super::features::Values;

/// Minimum number of reference windows of one size, if there are as many; at most twice as many are
/// used.
const WINDOWS: usize = 2500;
/// Number of pieces of stored rows, if not all are stored.
const PIECES: usize = 32;

/// Scaled training rows, and the runs in which windows may lie.
#[derive(Clone)]
pub(super) struct ReferenceRows {
    pub values: std::sync::Arc<Values>,
    pub runs: Vec<Range<usize>>,
    /// Where the runs begin in the training series; empty where a model does not say it.
    pub origins: Vec<usize>,
}

impl ReferenceRows {
    /// The rows of `runs` of a series, at most `most` of them, as evenly spaced pieces.
    pub(super) fn new(values: &Values, runs: &[Range<usize>], most: usize) -> Self {
        let rows: usize = runs.iter().map(Range::len).sum();
        let pieces = match rows > most {
            true => pieces(runs, rows, most),
            false => runs.to_vec(),
        };
        let mut first = 0;
        let moved = |piece: &Range<usize>| {
            first += piece.len();
            first - piece.len()..first
        };
        let runs = pieces.iter().map(moved).collect();
        let origins = pieces.iter().map(|piece| piece.start).collect();
        Self { values: values.picked(&pieces).into(), runs, origins }
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Position of a stored row in the training series.
    pub(super) fn origin(&self, row: usize) -> Option<usize> {
        let run = self.runs.partition_point(|run| run.end <= row);
        Some(self.origins.get(run)? + (row - self.runs.get(run)?.start))
    }

    /// Possible starts of windows of `size` rows.
    pub(super) fn all(&self, size: usize) -> Vec<Range<usize>> {
        let long = self.runs.iter().filter(|run| run.len() >= size);
        long.map(|run| run.start..run.end + 1 - size).collect()
    }

    /// Starts of the reference windows of `size` rows.
    pub(super) fn starts(&self, size: usize) -> Vec<usize> {
        let all = self.all(size);
        let windows: usize = all.iter().map(Range::len).sum();
        all.into_iter().flatten().step_by((windows / WINDOWS).max(1)).collect()
    }
}

/// Evenly spaced parts of runs with `most` rows in total.
fn pieces(runs: &[Range<usize>], rows: usize, most: usize) -> Vec<Range<usize>> {
    let length = (most / PIECES).max(1);
    let spacing = rows / PIECES;
    let mut found = Vec::new();
    let mut before = 0;
    for run in runs {
        let kept = (0..PIECES).map(|i| i * spacing..i * spacing + length);
        let inside = kept.map(|piece| {
            let shift = |row: usize| (row.max(before) - before).min(run.len()) + run.start;
            shift(piece.start)..shift(piece.end)
        });
        found.extend(inside.filter(|piece| !piece.is_empty()));
        before += run.len();
    }
    found
}
