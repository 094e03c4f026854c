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
        let found: Vec<(usize, usize)> =
            starts.filter_map(|start| Some((start, self.nearest(start, size)?))).collect();
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

    /// Start of the nearest reference window.
    fn nearest(&self, start: usize, size: usize) -> Option<usize> {
        let reference = &self.evidence.reference;
        let starts = reference.starts(size);
        let step = match starts[..] {
            [first, second, ..] => second - first,
            _ => 1,
        };
        let near = self.least(start, size, starts.into_iter())?;
        let run = reference.runs.iter().find(|run| run.contains(&near))?;
        let low = near.saturating_sub(step - 1).max(run.start);
        let high = (near + step).min(run.end + 1 - size);
        self.least(start, size, low..high)
    }

    /// The nearest of some reference windows to the window at `start`.
    fn least(
        &self,
        start: usize,
        size: usize,
        references: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        let width = self.evidence.features.len();
        let step = (size * width).div_ceil(COMPARED);
        let mut best = (None, f32::INFINITY);
        for reference in references {
            let mut sum = 0.0;
            for d in 0..width {
                let ours = self.values.window(d, start, size).iter().step_by(step);
                let theirs = self.evidence.reference.values.window(d, reference, size);
                let difference = |(a, b): (&f32, &f32)| (a - b).abs().min(MOST);
                sum += ours.zip(theirs.iter().step_by(step)).map(difference).sum::<f32>();
                if sum >= best.1 {
                    break;
                }
            }
            if sum < best.1 {
                best = (Some(reference), sum);
            }
        }
        best.0
    }
}
