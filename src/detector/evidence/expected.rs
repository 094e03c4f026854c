//! Expected values of rows: the rows of the normal windows nearest to the windows that cover them.
//!
//! Windows are compared by the sum of absolute differences, each at most [`MOST`]: an anomaly in
//! less than half of a window then barely affects which window is the nearest.

use std::ops::Range;

use super::detector::Evidence;
use super::features::Values;
use crate::data::series::Series;
use crate::error::Result;
use crate::stats::median;

/// Windows of the largest size per window length.
const OVERLAP: usize = 8;
/// Maximum difference that counts, in training ranges.
const MOST: f32 = 2.0;
/// Maximum number of values that are compared per window.
const COMPARED: usize = 2048;
/// Values between two looks at whether a window is still nearer than the nearest so far.
const BLOCK: usize = 64;
/// Sums side by side.
const LANES: usize = 8;

/// A series in the scale of the evidence, and the stretches that windows may lie in.
pub(crate) struct Scaled<'a> {
    evidence: &'a Evidence,
    values: Values,
    /// First rows of the parts between gaps, and the number of rows.
    edges: Vec<usize>,
}

impl Evidence {
    /// Prepares a series for [`Scaled::expected`].
    pub(crate) fn scaled(&self, series: &Series<'_>) -> Result<Scaled<'_>> {
        let values = self.features.apply(series)?;
        let edges = [&[0], series.gaps(), &[series.len()]].concat();
        Ok(Scaled { evidence: self, values, edges })
    }
}

impl Scaled<'_> {
    /// Rows of the windows that expected values come from.
    pub(crate) fn size(&self) -> usize {
        self.evidence.members.iter().map(|member| member.plan.size).max().unwrap_or(1)
    }

    /// The values of feature `d` at some rows: difference from the training mean, in training
    /// ranges.
    pub(crate) fn actual(&self, d: usize, rows: Range<usize>) -> &[f32] {
        self.values.window(d, rows.start, rows.len())
    }

    /// The part of the series between gaps that contains `row`.
    pub(crate) fn part(&self, row: usize) -> Range<usize> {
        let next = self.edges.partition_point(|edge| *edge <= row).clamp(1, self.edges.len() - 1);
        self.edges[next - 1]..self.edges[next]
    }

    /// A scaled value in the unit of feature `d`.
    pub(crate) fn in_unit(&self, d: usize, scaled: f32) -> f64 {
        self.evidence.features.restored(d, scaled)
    }

    /// A scaled difference in the unit of feature `d`.
    pub(crate) fn change(&self, d: usize, scaled: f32) -> f64 {
        f64::from(scaled) * self.evidence.features.divisor(d)
    }

    /// Expected values of `rows`, of one part, by feature: the median over the windows that cover a
    /// row. `None` if no window fits.
    pub(crate) fn expected(&self, rows: &Range<usize>) -> Option<Vec<Vec<f32>>> {
        let (part, size) = (self.part(rows.start), self.size());
        let last = part.end.checked_sub(size).filter(|last| *last >= part.start)?;
        let first = (rows.start + size / OVERLAP).saturating_sub(size).clamp(part.start, last);
        let end = rows.end.saturating_sub(size / OVERLAP).clamp(first, last);
        let step = (size / OVERLAP).max(1);
        let starts = (first..end).step_by(step).chain([end]);
        let mut found: Vec<(usize, usize)> = Vec::new();
        for start in starts {
            let next = found.last().map(|(before, nearest)| nearest + start - before);
            found.extend(self.nearest(start, size, next).map(|nearest| (start, nearest)));
        }
        let features = 0..self.evidence.features.len();
        features.map(|d| self.medians(d, rows, size, &found)).collect()
    }

    /// The medians of feature `d`; `found` holds windows and the nearest reference of each.
    fn medians(
        &self,
        d: usize,
        rows: &Range<usize>,
        size: usize,
        found: &[(usize, usize)],
    ) -> Option<Vec<f32>> {
        let reference = &self.evidence.reference.values;
        let expected = |t: usize| {
            let covering = found.iter().filter(|(start, _)| (*start..start + size).contains(&t));
            let values = covering
                .map(|(start, nearest)| f64::from(reference.window(d, nearest + t - start, 1)[0]));
            let value = median(values.collect());
            (!value.is_nan()).then_some(value as f32)
        };
        rows.clone().map(expected).collect()
    }

    /// Where the nearest reference window begins; near `guess`, as a rule.
    fn nearest(&self, start: usize, size: usize, guess: Option<usize>) -> Option<usize> {
        let reference = &self.evidence.reference;
        let starts = reference.starts(size);
        let step = match starts[..] {
            [first, second, ..] => second - first,
            _ => 1,
        };
        let guess = starts.partition_point(|start| guess.is_some_and(|guess| *start <= guess));
        let first = starts.get(guess.saturating_sub(1)).copied();
        let query = self.query(start, size);
        let near = self.least(&query, size, first.into_iter().chain(starts))?;
        let run = reference.runs.iter().find(|run| run.contains(&near))?;
        let low = near.saturating_sub(step - 1).max(run.start);
        let high = (near + step).min(run.end + 1 - size);
        self.least(&query, size, low..high)
    }

    /// The values of a window that are compared, feature after feature.
    fn query(&self, start: usize, size: usize) -> Vec<f32> {
        let width = self.evidence.features.len();
        let compared = |d| self.values.window(d, start, size).iter().step_by(step(width, size));
        (0..width).flat_map(compared).copied().collect()
    }

    /// Which of some windows of the reference is the nearest to a query; of equals the first in the reference.
    fn least(
        &self,
        query: &[f32],
        size: usize,
        references: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        let mut best: Option<(f32, usize)> = None;
        for reference in references {
            let most = best.map_or(f32::INFINITY, |best| best.0);
            let Some(sum) = self.distance(query, reference, size, most) else { continue };
            if best.is_none_or(|best| (sum, reference) < best) {
                best = Some((sum, reference));
            }
        }
        best.map(|best| best.1)
    }

    /// The distance of a window of the reference from a query, unless it is more than `most`.
    fn distance(&self, query: &[f32], reference: usize, size: usize, most: f32) -> Option<f32> {
        let width = self.evidence.features.len();
        let step = step(width, size);
        let (mut sum, mut thinned) = (0.0, [0.0; BLOCK]);
        for (d, ours) in query.chunks(size.div_ceil(step)).enumerate() {
            let theirs = self.evidence.reference.values.window(d, reference, size);
            for (ours, theirs) in ours.chunks(BLOCK).zip(theirs.chunks(BLOCK * step)) {
                sum += match step {
                    1 => difference(ours, theirs),
                    _ => {
                        let kept = theirs.iter().step_by(step);
                        thinned.iter_mut().zip(kept).for_each(|(slot, x)| *slot = *x);
                        difference(ours, &thinned[..ours.len()])
                    }
                };
                if sum > most {
                    return None;
                }
            }
        }
        Some(sum)
    }
}

/// Rows from one that is compared to the next.
fn step(width: usize, size: usize) -> usize {
    (size * width).div_ceil(COMPARED)
}

/// Sum of the absolute differences of two sequences of one length, each at most [`MOST`].
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let bounded = |a: f32, b: f32| {
        let size = (a - b).abs();
        if size < MOST { size } else { MOST }
    };
    let mut sums = [0.0; LANES];
    let (whole, rest) = (a.chunks_exact(LANES), a.chunks_exact(LANES).remainder());
    for (a, b) in whole.zip(b.chunks_exact(LANES)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += bounded(*a, *b);
        }
    }
    let rest =
        rest.iter().zip(&b[a.len() - rest.len()..]).map(|(a, b)| bounded(*a, *b)).sum::<f32>();
    sums.iter().sum::<f32>() + rest
}
