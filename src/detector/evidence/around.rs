//! What rows should have been, by what is around them.
//!
//! A block of m/16 rows, m the largest window size, and 3 m/32 rows on both sides of it are hidden. The
//! rows beyond, up to 3 m/4 from the middle of the block where training rows have room for it, else m/2,
//! are pieces of 1, 1, 2, 2, 4, 4, ... rows, of which the means x are compared with those around places of
//! the normal rows, y:
//!
//! ```text
//! sum_p w_p sum_d min(|x_pd - y_pd - l_d|, 2 u_d) / u_d / sum_p w_p + sum_d min(|l_d|, 2 u_d) / u_d / 12
//! ```
//!
//! with w_p the root of a piece's rows, u_d what rows usually differ by over so many rows, and l_d the
//! difference of the levels, which are medians over pieces weighted by their rows. A level is followed (l_d
//! is not 0) where that makes the errors on normal rows a third smaller. What is expected of a row is the
//! median over the rows at the nearest places, moved by l_d.
//!
//! What is odd in less than half of the rows around hardly moves a level or changes the nearest places: a
//! row is expected to be what it would have been without an anomaly, not to go on with it.

use std::ops::Range;

use super::features::{FeatureKind, Features, Values};
use super::neighbours::Excluded;
use super::reference::ReferenceRows;
use super::share::LEAST_UNIT;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::stats::{median, rms};

/// Blocks of a window, and hidden rows on both sides of a block per window.
const BLOCKS: usize = 16;
const HIDDEN: f64 = 3.0 / 32.0;
/// What the rows around reach over, in windows; windows that training rows need to have room for then.
const REACH: f64 = 1.5;
const ROOM: usize = 6;
/// A level is followed where errors are smaller than this share of those without.
const FOLLOWED: f32 = 2.0 / 3.0;
/// Places that an expected value is the median of.
const NEAREST: usize = 8;
/// No difference counts for more, in units of u.
const MOST: f32 = 2.0;
/// What a difference of levels counts for, beside those of all pieces.
const LEVEL: f32 = 1.0 / 12.0;
/// Blocks of normal rows that errors are measured on, at most.
const MEASURED: usize = 600;
/// Quantile of errors that says what is usual, and what it is of a standard normal variable.
const USUAL: (f64, f64) = (0.9, 1.6449);

/// The rows around a block.
#[derive(Clone, Debug)]
struct Layout {
    /// Rows of a window, and of the block in its middle.
    size: usize,
    block: usize,
    /// Rows of a window before its block.
    lead: usize,
    /// Rows from the beginning of a window on.
    pieces: Vec<Range<usize>>,
    rows: Vec<f32>,
    weights: Vec<f32>,
}

/// What is around one block: means of pieces in units of u, [D][pieces]; 0 where one is missing.
struct Surroundings {
    means: Vec<f32>,
    levels: Vec<f32>,
    /// Weights of the pieces that are there.
    weights: Vec<f32>,
    complete: bool,
}

/// The normal rows as places to look at, and how well they tell what rows are.
pub(super) struct Places {
    layout: Layout,
    /// u of every feature; and whether its level is followed.
    units: Vec<f32>,
    follows: Vec<bool>,
    /// Where the windows of the places begin, and what is around them.
    starts: Vec<usize>,
    places: Vec<Surroundings>,
    reference: ReferenceRows,
    /// Errors of every feature on normal rows, ascending.
    errors: Vec<Vec<f32>>,
    usual: Vec<f32>,
}

impl Layout {
    /// Around blocks of windows of `window` rows, over `size` rows.
    fn new(window: usize, size: usize) -> Self {
        let block = (window / BLOCKS).max(1);
        let lead = (size - block) / 2;
        let hidden = ((HIDDEN * window as f64) as usize).clamp(1, lead.max(1));
        let mut pieces = Vec::new();
        let (mut near, mut length) = (hidden, 1);
        while near < lead {
            let far = (near + length).min(lead);
            pieces.push(lead - far..lead - near);
            pieces.push(lead + block + near..lead + block + far);
            near = far;
            length = if pieces.len() % 4 == 0 { 2 * length } else { length };
        }
        let rows: Vec<f32> = pieces.iter().map(|piece| piece.len() as f32).collect();
        let weights = rows.iter().map(|rows| rows.sqrt()).collect();
        Self { size, block, lead, pieces, rows, weights }
    }

    /// What is around the block at `start`, of the rows of `part`.
    fn describe(
        &self,
        values: &Values,
        part: &Range<usize>,
        start: usize,
        units: &[f32],
    ) -> Surroundings {
        let inside = |piece: &Range<usize>| {
            let first = (start + piece.start).checked_sub(self.lead)?;
            (part.start <= first && first + piece.len() <= part.end).then_some(first)
        };
        let firsts: Vec<Option<usize>> = self.pieces.iter().map(inside).collect();
        let of_feature = |(d, unit): (usize, &f32)| {
            let mean = |(piece, first): (&Range<usize>, &Option<usize>)| match first {
                Some(first) => {
                    let sum: f32 = values.window(d, *first, piece.len()).iter().sum();
                    sum / piece.len() as f32 / unit
                }
                None => 0.0,
            };
            self.pieces.iter().zip(&firsts).map(mean).collect::<Vec<f32>>()
        };
        let means: Vec<f32> = units.iter().enumerate().flat_map(of_feature).collect();
        let weight = |(weight, first): (&f32, &Option<usize>)| first.map_or(0.0, |_| *weight);
        let weights: Vec<f32> = self.weights.iter().zip(&firsts).map(weight).collect();
        let complete = firsts.iter().all(Option::is_some);
        let levels = match complete {
            true => self.features(&means).map(|means| self.median(means)).collect(),
            false => self.features(&means).map(|means| self.mean(means, &weights)).collect(),
        };
        Surroundings { means, levels, weights, complete }
    }

    /// The means of every feature.
    fn features<'a>(&self, means: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        means.chunks_exact(self.pieces.len().max(1))
    }

    /// The median of a feature over pieces weighted by their rows.
    fn median(&self, means: &[f32]) -> f32 {
        let mut sorted: Vec<(f32, f32)> =
            means.iter().copied().zip(self.rows.iter().copied()).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = 0.5 * self.rows.iter().sum::<f32>();
        let mut sum = 0.0;
        let reaches = |(_, rows): &&(f32, f32)| {
            sum += rows;
            sum >= half
        };
        sorted.iter().find(reaches).map_or(0.0, |(mean, _)| *mean)
    }

    /// Its mean over the pieces that are there.
    fn mean(&self, means: &[f32], weights: &[f32]) -> f32 {
        let rows_present =
            || self.rows.iter().zip(weights).map(|(rows, w)| if *w > 0.0 { *rows } else { 0.0 });
        let sum: f32 = means.iter().zip(rows_present()).map(|(mean, rows)| mean * rows).sum();
        sum / rows_present().sum::<f32>().max(1.0)
    }
}

impl Places {
    /// Of the normal rows, of which the largest windows have `window` rows.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub(super) fn new(
        reference: &ReferenceRows,
        features: &Features,
        window: usize,
        control: &dyn Control,
    ) -> Result<Self> {
        let wide = (REACH * window as f64) as usize;
        let room: usize = reference.all(wide).iter().map(Range::len).sum();
        let layout = Layout::new(window, if room >= ROOM * window { wide } else { window });
        let moved = layout.block + 2 * (layout.pieces.first().map_or(1, |p| layout.lead - p.end));
        let indices = 0..features.len();
        let units: Vec<f32> = indices.clone().map(|d| unit(reference, d, moved)).collect();
        let measured = features.of(|kind| kind == FeatureKind::Measurement);
        let follows = indices.map(|d| measured.contains(&d)).collect();
        let starts = reference.starts(layout.size);
        let whole = 0..reference.rows();
        let place = |w: &usize| layout.describe(&reference.values, &whole, w + layout.lead, &units);
        let places = starts.iter().map(place).collect();
        let (reference, errors, usual) = (reference.clone(), Vec::new(), Vec::new());
        let around = Self { layout, units, follows, starts, places, reference, errors, usual };
        around.chosen(control)
    }

    /// With the levels followed for which that pays, and the errors then.
    fn chosen(mut self, control: &dyn Control) -> Result<Self> {
        let may = self.follows.clone();
        let followed = self.measured(control)?;
        self.errors = if may.contains(&true) {
            self.follows.fill(false);
            let still = self.measured(control)?;
            let pays = |(d, may): (usize, &bool)| {
                *may && usual(&followed[d]) < FOLLOWED * usual(&still[d])
            };
            self.follows = may.iter().enumerate().map(pays).collect();
            match self.follows.contains(&true) {
                false => still,
                true if self.follows == may => followed,
                true => self.measured(control)?,
            }
        } else {
            followed
        };
        self.usual = self.errors.iter().map(|errors| usual(errors)).collect();
        Ok(self)
    }

    /// Errors of every feature on normal rows, ascending, each expected from places that do not share rows
    /// with its window.
    fn measured(&self, control: &dyn Control) -> Result<Vec<Vec<f32>>> {
        let Layout { size, block, lead, .. } = self.layout;
        let runs = self.reference.runs.iter().filter(|run| run.len() >= block);
        let blocks: Vec<(&Range<usize>, usize)> = runs
            .flat_map(|run| (run.start..run.end + 1 - block).step_by(block).map(move |s| (run, s)))
            .collect();
        let some: Vec<_> = blocks.iter().step_by(blocks.len().div_ceil(MEASURED).max(1)).collect();
        let found = spread_over_pool(some.len(), control, |i| {
            let &(run, start) = some[i];
            let first = self.starts.partition_point(|w| w + lead + size <= start);
            let end = self.starts.partition_point(|w| w + lead < start + size);
            let values = &self.reference.values;
            let expected = self.block(values, run, start, &[first..end, 0..0]);
            let error = |(d, expected): (usize, Vec<f32>)| {
                let actual = values.window(d, start, block).iter();
                actual.zip(expected).map(|(x, e)| x - e).collect::<Vec<f32>>()
            };
            Ok(expected.map(|all| all.into_iter().enumerate().map(error).collect::<Vec<_>>()))
        })?;
        let found: Vec<Vec<Vec<f32>>> = found.into_iter().flatten().collect();
        let of_feature = |d: usize| {
            let mut errors: Vec<f32> = found.iter().flat_map(|block| &block[d]).copied().collect();
            errors.sort_by(f32::total_cmp);
            errors
        };
        Ok((0..self.units.len()).map(of_feature).collect())
    }

    /// Rows of a block.
    pub(super) fn block_rows(&self) -> usize {
        self.layout.block
    }

    /// Rows of a window before its block.
    pub(super) fn lead(&self) -> usize {
        self.layout.lead
    }

    /// Where the windows of the places begin.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts
    }

    /// What feature `d` is usually off by, in training ranges.
    pub(super) fn usual(&self, d: usize) -> f32 {
        self.usual[d]
    }

    /// The errors between which a share `coverage` of those on normal rows lies, as many below as above;
    /// `None` where nothing was measured.
    pub(super) fn band(&self, d: usize, coverage: f64) -> Option<(f32, f32)> {
        let errors = &self.errors[d];
        let outside = (1.0 - coverage) / 2.0 * (errors.len() + 1) as f64;
        let low = (outside.floor() as usize).max(1) - 1;
        Some((*errors.get(low)?, *errors.get(errors.len().checked_sub(low + 1)?)?))
    }

    /// What the rows of the block at `start` of a part of a series should have been, feature by feature;
    /// `None` where there is nothing around, or no place but those `excluded`.
    pub(super) fn block(
        &self,
        values: &Values,
        part: &Range<usize>,
        start: usize,
        excluded: &Excluded,
    ) -> Option<Vec<Vec<f32>>> {
        let around = self.layout.describe(values, part, start, &self.units);
        if around.weights.iter().all(|weight| *weight == 0.0) {
            return None;
        }
        let nearest = self.nearest(&around, excluded);
        if nearest.is_empty() {
            return None;
        }
        let moves_of = |i: &usize| {
            let mut moves = vec![0.0; self.units.len()];
            self.moves(&around, *i, &mut moves);
            moves
        };
        let moves: Vec<Vec<f32>> = nearest.iter().map(moves_of).collect();
        let of_feature = |d: usize| {
            let row = |t: usize| {
                let place = |(i, moves): (&usize, &Vec<f32>)| {
                    let row = self.starts[*i] + self.layout.lead + t;
                    f64::from(self.reference.values.window(d, row, 1)[0] + moves[d] * self.units[d])
                };
                median(nearest.iter().zip(&moves).map(place).collect()) as f32
            };
            (0..self.layout.block).map(row).collect()
        };
        Some((0..self.units.len()).map(of_feature).collect())
    }

    /// l of every feature, in units of u.
    fn moves(&self, around: &Surroundings, i: usize, moves: &mut [f32]) {
        let place = &self.places[i];
        for (d, means) in self.layout.features(&place.means).enumerate() {
            moves[d] = match (self.follows[d], around.complete) {
                (false, _) => 0.0,
                (true, true) => around.levels[d] - place.levels[d],
                (true, false) => around.levels[d] - self.layout.mean(means, &around.weights),
            };
        }
    }

    /// The nearest places, but for those that are `excluded`.
    fn nearest(&self, around: &Surroundings, excluded: &Excluded) -> Vec<usize> {
        let allowed = |i: &usize| !excluded.iter().any(|range| range.contains(i));
        let mut moves = vec![0.0; self.units.len()];
        let weights: f32 = around.weights.iter().sum();
        let mut found: Vec<(f32, usize)> = (0..self.places.len())
            .filter(allowed)
            .map(|i| (self.distance(around, i, weights, &mut moves), i))
            .collect();
        let nearer = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if found.len() > NEAREST {
            found.select_nth_unstable_by(NEAREST - 1, nearer);
            found.truncate(NEAREST);
        }
        found.into_iter().map(|(_, i)| i).collect()
    }

    /// From place `i`; `weights` is the sum of those around.
    fn distance(&self, around: &Surroundings, i: usize, weights: f32, moves: &mut [f32]) -> f32 {
        self.moves(around, i, moves);
        let ours = self.layout.features(&around.means);
        let theirs = self.layout.features(&self.places[i].means);
        let shapes: f32 = ours
            .zip(theirs)
            .zip(&*moves)
            .map(|((x, y), l)| bounded(x, y, *l, &around.weights))
            .sum();
        let levels: f32 = moves.iter().map(|l| l.abs().min(MOST)).sum();
        shapes / weights + LEVEL * levels
    }
}

/// sum of w min(|x - y - l|, MOST), in eight lanes, which the compiler vectorises.
fn bounded(x: &[f32], y: &[f32], l: f32, w: &[f32]) -> f32 {
    let term = |x: f32, y: f32, w: f32| w * (x - y - l).abs().min(MOST);
    let mut lanes = [0f32; 8];
    let ((xs, x), (ys, y), (ws, w)) = (x.as_chunks::<8>(), y.as_chunks::<8>(), w.as_chunks::<8>());
    for ((x, y), w) in xs.iter().zip(ys).zip(ws) {
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane += term(x[j], y[j], w[j]);
        }
    }
    let rest = x.iter().zip(y).zip(w).map(|((x, y), w)| term(*x, *y, *w));
    lanes.iter().sum::<f32>() + rest.sum::<f32>()
}

/// What feature `d` usually differs by between rows that are `moved` apart.
fn unit(reference: &ReferenceRows, d: usize, moved: usize) -> f32 {
    let of_run = |run: &Range<usize>| {
        let values = reference.values.window(d, run.start, run.len());
        let pairs = values.iter().zip(values.get(moved..).unwrap_or_default());
        pairs.map(|(a, b)| (a - b).abs()).collect::<Vec<f32>>()
    };
    let mut sizes: Vec<f32> = reference.runs.iter().flat_map(of_run).collect();
    if sizes.is_empty() {
        return 1.0;
    }
    let rms = rms(&sizes);
    let half = sizes.len() / 2;
    let median = *sizes.select_nth_unstable_by(half, f32::total_cmp).1;
    (1.4826 * median).max(0.25 * rms).max(LEAST_UNIT)
}

/// What errors, ascending, usually are in size: as of normal noise, and at least half of their root mean
/// square.
fn usual(errors: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = errors.iter().map(|x| x.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let high = sizes.get((USUAL.0 * sizes.len() as f64) as usize).copied().unwrap_or(0.0);
    (high / USUAL.1 as f32).max(0.5 * rms(&sizes)).max(LEAST_UNIT)
}
