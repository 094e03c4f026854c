//! The rows of a series beside what they should have been.

use std::ops::Range;

use super::around::Places;
use super::detector::{Evidence, within};
use super::features::Values;
use super::neighbours::Excluded;
use super::own::{OwnWindows, RowHashes};
use crate::data::series::Series;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Least distance of a bound, in training ranges.
const LEAST: f32 = 1e-5;
/// Step of the bounds after a row, of the largest deviations of late.
const STEP: f32 = 0.05;
/// The quantile of late deviations that stands for the largest; rows after which it is found anew.
const LARGEST: f32 = 0.95;
const ANEW: usize = 16;
/// Blocks of half a window, the largest: rows of late.
const HALF: usize = 8;
/// Deviations beyond this many bounds say nothing of the bounds, unless most of late do.
const FAR: f32 = 3.0;
/// Narrowest bounds, in those of training.
const NARROWEST: f32 = 1e-3;

/// What the rows of a series should have been, by what is around them.
pub(crate) struct Expected<'a> {
    evidence: &'a Evidence,
    around: &'a Places,
    values: Values,
    /// [D][T], in training ranges; NaN where nothing is expected.
    expected: Vec<Vec<f32>>,
}

impl Evidence {
    /// What every row should have been.
    ///
    /// # Errors
    /// [`crate::Error::Parameter`] for another number of features, [`crate::Error::Interrupted`].
    pub(crate) fn expect(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<Expected<'_>> {
        let values = self.features.apply(series)?;
        let around = self.around(control)?;
        let block = around.block_rows();
        let edges = [&[0], series.gaps(), &[series.len()]].concat();
        let parts: Vec<_> = edges.windows(2).map(|edge| edge[0]..edge[1]).collect();
        let long: Vec<_> = parts.iter().filter(|part| part.len() >= block).cloned().collect();
        let mut starts = series.scored_starts(&long, block, block);
        starts.dedup();
        let near = self.near_own(around, &RowHashes::new(&values, &self.reference));
        let found = spread_over_pool(starts.len(), control, |i| {
            let start = starts[i];
            let part = &long[long.partition_point(|part| part.end <= start)];
            let excluded = near(part, start);
            Ok(around.block(&values, part, start, &excluded))
        })?;
        let mut expected = vec![vec![f32::NAN; series.len()]; self.features.len()];
        for (start, block) in starts.iter().zip(found) {
            for (column, rows) in expected.iter_mut().zip(block.unwrap_or_default()) {
                column[*start..start + rows.len()].copy_from_slice(&rows);
            }
        }
        Ok(Expected { evidence: self, around, values, expected })
    }

    /// The numbers of the places that lie near the block at a row of a part of the series, where that is
    /// one of the kept rows: these are recognised by windows of the smallest size.
    fn near_own<'a>(
        &'a self,
        around: &'a Places,
        hashes: &RowHashes<'_>,
    ) -> impl Fn(&Range<usize>, usize) -> Excluded + 'a {
        let size = self.members.iter().map(|member| member.plan.size).min().unwrap_or(1);
        let before = size.saturating_sub(around.block_rows()) / 2;
        let own = OwnWindows::find(hashes, size, self.reach());
        move |part, start| {
            let last = part.end.saturating_sub(size).max(part.start);
            let window = start.saturating_sub(before).clamp(part.start, last);
            let place = |row: usize| (row + before).saturating_sub(around.lead());
            own.near(window)
                .map(|rows| within(around.starts(), &(place(rows.start)..place(rows.end))))
        }
    }

    fn around(&self, control: &dyn Control) -> Result<&Places> {
        if let Some(around) = self.around.get() {
            return Ok(around);
        }
        let size = self.members.iter().map(|member| member.plan.size).max().unwrap_or(1);
        let around = Places::new(&self.reference, &self.features, size, control)?;
        Ok(self.around.get_or_init(|| around))
    }
}

impl Expected<'_> {
    /// Rows of a block, over which expected values are found together.
    pub(crate) fn block(&self) -> usize {
        self.around.block_rows()
    }

    /// What feature `d` should have been at row `t`, in its unit.
    pub(crate) fn value(&self, d: usize, t: usize) -> Option<f64> {
        self.moved(d, t, 0.0)
    }

    /// Between which values feature `d` should have been in each row, with probability `coverage`.
    pub(crate) fn bands(&self, d: usize, coverage: f64) -> Vec<Option<(f64, f64)>> {
        let Some((low, high)) = self.around.band(d, coverage) else {
            return vec![None; self.values.rows()];
        };
        let (low, high) = (low.min(-LEAST), high.max(LEAST));
        let actual = self.values.window(d, 0, self.values.rows());
        let off = actual.iter().zip(&self.expected[d]).map(|(x, e)| x - e);
        let widths = widths(off, (low, high), coverage, HALF * self.around.block_rows());
        let band = |(t, [below, above]): (usize, [f32; 2])| {
            Some((self.moved(d, t, below * low)?, self.moved(d, t, above * high)?))
        };
        widths.into_iter().enumerate().map(band).collect()
    }

    fn moved(&self, d: usize, t: usize, by: f32) -> Option<f64> {
        let expected = self.expected[d][t];
        (!expected.is_nan()).then(|| self.evidence.features.restored(d, expected + by))
    }

    /// How far feature `d` is from what it should have been at row `t`, in units of what is usual.
    pub(crate) fn deviation(&self, d: usize, t: usize) -> Option<f64> {
        let expected = self.expected[d][t];
        let actual = self.values.window(d, t, 1)[0];
        let deviation = (actual - expected).abs() / self.around.usual(d);
        (!expected.is_nan()).then_some(f64::from(deviation))
    }
}

/// By what factors the lower and the upper bound of each row are farther away than those of training: each
/// follows the rows on its side, so that a share `coverage` of them lies within (quantile tracking;
/// Angelopoulos, Candes & Tibshirani, NeurIPS 2023). `off` is how far rows are from what is expected, NaN
/// where nothing is.
fn widths(
    off: impl Iterator<Item = f32>,
    (low, high): (f32, f32),
    coverage: f64,
    late: usize,
) -> Vec<[f32; 2]> {
    let outside = (1.0 - coverage) as f32;
    let mut sides = [Side::new(late), Side::new(late)];
    let next = |off: f32| {
        let widths = [sides[0].width, sides[1].width];
        match off < 0.0 {
            _ if off.is_nan() => {}
            true => sides[0].follow(off / low, outside),
            false => sides[1].follow(off / high, outside),
        }
        widths
    };
    off.map(next).collect()
}

/// A bound that follows the rows on its side. What is far beyond it is no normal row, unless more than half
/// of the last ones are.
struct Side {
    width: f32,
    /// The last deviations in units of the bound of training, whether they were far, and how many there
    /// were.
    ratios: Vec<f32>,
    far: Vec<bool>,
    rows: usize,
    largest: f32,
}

impl Side {
    fn new(late: usize) -> Self {
        let late = late.max(ANEW);
        Self { width: 1.0, ratios: vec![0.0; late], far: vec![false; late], rows: 0, largest: 0.0 }
    }

    fn follow(&mut self, ratio: f32, outside: f32) {
        let (at, is_far) = (self.rows % self.ratios.len(), ratio > FAR * self.width);
        (self.ratios[at], self.far[at]) = (ratio, is_far);
        self.rows += 1;
        if self.rows.is_multiple_of(ANEW) {
            self.largest = self.quantile(LARGEST);
        }
        let are_far = || 2 * self.far.iter().filter(|far| **far).count() > self.far.len();
        if !is_far || are_far() {
            let missed = if ratio > self.width { 1.0 } else { 0.0 };
            let step = STEP * self.largest.max(self.width);
            self.width = (self.width + step * (missed - outside)).max(NARROWEST);
        }
    }

    fn quantile(&self, q: f32) -> f32 {
        let mut sorted = self.ratios.clone();
        let at = (q * (sorted.len() - 1) as f32) as usize;
        *sorted.select_nth_unstable_by(at, f32::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn share_inside(off: &[f32], widths: &[[f32; 2]]) -> f64 {
        let inside =
            |(off, [below, above]): &(&f32, &[f32; 2])| -*below <= **off && **off <= *above;
        off.iter().zip(widths).filter(inside).count() as f64 / off.len() as f64
    }

    #[test]
    fn bounds_follow_rows_but_no_short_anomaly() {
        let normals = Rng::new(3, Purpose::Detector, [0, 0]).normals(6000);
        for scale in [0.2, 1.0, 40.0] {
            let off: Vec<f32> = normals.iter().map(|x| scale * x / 1.96).collect();
            let widths = widths(off.iter().copied(), (-1.0, 1.0), 0.95, 128);
            let share = share_inside(&off, &widths);
            assert!((0.91..=0.97).contains(&share), "{scale}: {share}");
        }
        let mut off: Vec<f32> = normals[..2000].iter().map(|x| x / 1.96).collect();
        off[1000..1050].fill(20.0);
        let widths = widths(off.iter().copied(), (-1.0, 1.0), 0.95, 128);
        assert!(widths.iter().flatten().all(|width| *width < 3.5), "{widths:?}");
    }

    #[test]
    fn one_side_does_not_move_the_other() {
        let normals = Rng::new(4, Purpose::Detector, [0, 0]).normals(3000);
        let off: Vec<f32> = normals.iter().map(|x| 500.0 * x.abs()).collect();
        let widths = widths(off.iter().copied(), (-1.0, 1.0), 0.95, 128);
        assert!(widths.iter().all(|[below, _]| *below == 1.0));
        assert!((0.93..=0.97).contains(&share_inside(&off[500..], &widths[500..])));
    }
}
