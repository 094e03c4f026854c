//! Exact nearest-neighbour search by block products.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::{View, matmul_into};

/// Queries per block, and references per block: their products fit the cache of a core.
pub(super) const QUERIES: usize = 128;
const REFERENCES: usize = 512;

/// Numbers of the references that a query must not find.
pub(super) type Excluded = [Range<usize>; 2];

/// Reference windows in coordinates.
#[derive(Clone, Debug)]
pub(super) struct References {
    /// [n, width].
    rows: Vec<f32>,
    width: usize,
    /// The rows as columns, and ||r||^2 below them: [width + 1, n].
    columns: Vec<f32>,
}

/// The nearest reference of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Neighbour {
    /// Euclidean distance; infinite where no reference is allowed.
    pub distance: f32,
    pub index: usize,
}

/// The nearest references of a reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftOutNeighbours {
    /// But for those near it.
    pub apart: Neighbour,
    /// But for those of its part.
    pub elsewhere: Neighbour,
}

impl References {
    pub(super) fn new(rows: Vec<f32>, width: usize) -> Self {
        let n = rows.len() / width.max(1);
        let mut columns = vec![0.0; (width + 1) * n];
        for (i, row) in rows.chunks_exact(width.max(1)).enumerate() {
            row.iter().enumerate().for_each(|(j, x)| columns[j * n + i] = *x);
            columns[width * n + i] = row.iter().map(|x| x * x).sum();
        }
        Self { rows, width, columns }
    }

    /// Number of references.
    pub(super) fn len(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// Coordinates of reference `i`.
    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.rows[i * self.width..(i + 1) * self.width]
    }

    /// The nearest reference of every query, [n, width]; `excluded` holds those that query `i` must
    /// not find.
    pub(super) fn nearest(
        &self,
        queries: &[f32],
        excluded: impl Fn(usize) -> Excluded,
    ) -> Result<Vec<Neighbour>> {
        let mut found = Vec::with_capacity(queries.len() / self.width.max(1));
        for (i, block) in queries.chunks(QUERIES * self.width).enumerate() {
            found.extend(self.nearest_of_block(block, |query| excluded(i * QUERIES + query))?);
        }
        Ok(found)
    }

    /// Finds the minimum of ||r||^2 - 2 q r, then computes the distance from the differences: the
    /// products alone lose the digits of a small distance.
    fn nearest_of_block(
        &self,
        queries: &[f32],
        excluded: impl Fn(usize) -> Excluded,
    ) -> Result<Vec<Neighbour>> {
        let count = queries.len() / self.width;
        let augmented = augmented(queries, self.width);
        let augmented = View::new(&augmented, count, self.width + 1);
        let mut best = vec![Least::NONE; count];
        let mut tile = vec![0.0; count * REFERENCES.min(self.len())];
        for first in (0..self.len()).step_by(REFERENCES) {
            let cols = self.products(augmented, first, &mut tile)?;
            for (i, row) in tile.chunks_exact_mut(cols).take(count).enumerate() {
                excluded(i).into_iter().for_each(|range| exclude(row, first, range));
                best[i].improve(row, first);
            }
        }
        let queries = queries.chunks_exact(self.width);
        Ok(best.into_iter().zip(queries).map(|(best, query)| self.neighbour(best, query)).collect())
    }

    /// ||r||^2 - 2 q r of queries and the references from number `first` on, row by row; returns how
    /// many references these are.
    fn products(&self, augmented: View<'_>, first: usize, tile: &mut [f32]) -> Result<usize> {
        let cols = REFERENCES.min(self.len() - first);
        let columns = &self.columns[first..];
        let columns = View::strided(columns, self.width + 1, cols, self.len());
        matmul_into(augmented, columns, tile, cols)?;
        Ok(cols)
    }

    /// For every reference, the nearest one that is not near it, and the nearest one that is not in
    /// its part either: near reference `i` are those of `near(i)`, and its part is `part(i)`, which
    /// contains these.
    pub(super) fn nearest_of_own(
        &self,
        near: impl Fn(usize) -> Range<usize>,
        part: impl Fn(usize) -> Range<usize>,
    ) -> Result<Vec<LeftOutNeighbours>> {
        let mut found = Vec::with_capacity(self.len());
        let mut tile = vec![0.0; QUERIES * REFERENCES.min(self.len())];
        for block in (0..self.len()).step_by(QUERIES) {
            let count = QUERIES.min(self.len() - block);
            let queries = &self.rows[block * self.width..(block + count) * self.width];
            let augmented = augmented(queries, self.width);
            let augmented = View::new(&augmented, count, self.width + 1);
            let mut best = vec![(Least::NONE, Least::NONE); count];
            for first in (0..self.len()).step_by(REFERENCES) {
                let cols = self.products(augmented, first, &mut tile)?;
                for (i, row) in tile.chunks_exact_mut(cols).take(count).enumerate() {
                    let (inside, outside) = &mut best[i];
                    exclude(row, first, near(block + i));
                    let part = within(row, first, part(block + i));
                    outside.improve(&row[..part.start], first);
                    outside.improve(&row[part.end..], first + part.end);
                    inside.improve(&row[part.clone()], first + part.start);
                }
            }
            let queries = queries.chunks_exact(self.width);
            found.extend(best.into_iter().zip(queries).map(|((inside, outside), query)| {
                let elsewhere = self.neighbour(outside, query);
                let is_inside = inside.is_before(outside);
                let apart = if is_inside { self.neighbour(inside, query) } else { elsewhere };
                LeftOutNeighbours { apart, elsewhere }
            }));
        }
        Ok(found)
    }

    fn neighbour(&self, Least { value, index }: Least, query: &[f32]) -> Neighbour {
        if value == f32::INFINITY {
            return Neighbour { distance: f32::INFINITY, index };
        }
        let square = |(q, r): (&f32, &f32)| f64::from(q - r).powi(2);
        let squares: f64 = query.iter().zip(self.row(index)).map(square).sum();
        Neighbour { distance: squares.sqrt() as f32, index }
    }
}

/// The smallest of some values, and where it is.
#[derive(Clone, Copy)]
struct Least {
    value: f32,
    index: usize,
}

/// (-2 q, 1) of every query.
fn augmented(queries: &[f32], width: usize) -> Vec<f32> {
    let row = |query: &[f32]| query.iter().map(|x| -2.0 * x).chain([1.0]).collect::<Vec<f32>>();
    queries.chunks_exact(width).flat_map(row).collect()
}

fn exclude(row: &mut [f32], first: usize, excluded: Range<usize>) {
    let excluded = within(row, first, excluded);
    row[excluded].fill(f32::INFINITY);
}

/// The positions of some references in a row that begins with reference `first`.
fn within(row: &[f32], first: usize, references: Range<usize>) -> Range<usize> {
    let end = references.end.saturating_sub(first).min(row.len());
    references.start.saturating_sub(first).min(end)..end
}

impl Least {
    const NONE: Self = Self { value: f32::INFINITY, index: 0 };

    /// Whether it is smaller than another one, or as small and found earlier.
    fn is_before(self, other: Self) -> bool {
        self.value < other.value || (self.value == other.value && self.index < other.index)
    }

    /// Continues with a row of values, the first one of which has the number `first`; of equal values,
    /// the first counts.
    fn improve(&mut self, row: &[f32], first: usize) {
        let mut lanes = [f32::INFINITY; 16];
        let (whole, rest) = row.as_chunks::<16>();
        for chunk in whole {
            let pairs = lanes.iter_mut().zip(chunk);
            pairs.for_each(|(lane, x)| *lane = if x < lane { *x } else { *lane });
        }
        let least = lanes.iter().chain(rest).fold(f32::INFINITY, |least, x| least.min(*x));
        if least < self.value {
            let at = row.iter().position(|x| *x == least).unwrap_or(0);
            *self = Self { value: least, index: first + at };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    #[test]
    fn nearest_is_what_comparing_all_finds() {
        let draw = |n: usize, key| Rng::new(7, Purpose::Detector, [key, 0]).normals(n);
        for (n, queries, width) in [(1, 3, 2), (700, 300, 33), (1030, 129, 5)] {
            let references = References::new(draw(n * width, 0), width);
            let queries_of = draw(queries * width, 1);
            let excluded = |i: usize| [(i % n)..(i % n + 40).min(n), (i / 2)..(i / 2 + 3)];
            let found = references.nearest(&queries_of, excluded).unwrap();
            for (i, query) in queries_of.chunks_exact(width).enumerate() {
                let distance = |r: usize| -> f64 {
                    let square = |(a, b): (&f32, &f32)| f64::from(a - b).powi(2);
                    query.iter().zip(references.row(r)).map(square).sum::<f64>().sqrt()
                };
                let allowed = (0..n).filter(|r| !excluded(i).iter().any(|range| range.contains(r)));
                let least = allowed.map(distance).fold(f64::INFINITY, f64::min);
                let close = (f64::from(found[i].distance) - least).abs() <= 1e-5 * least;
                assert!(close || f64::from(found[i].distance) == least, "{i}");
            }
        }
    }

    #[test]
    fn left_out_neighbours_are_those_of_two_searches() {
        let n = 700;
        let rows = Rng::new(7, Purpose::Detector, [2, 0]).normals(n * 5);
        let references = References::new(rows.iter().map(|x| (2.0 * x).round()).collect(), 5);
        let near = |i: usize| i.saturating_sub(20)..(i + 20).min(n);
        let part = |i: usize| (i / 200 * 200).saturating_sub(20)..(i / 200 * 200 + 220).min(n);
        let found = references.nearest_of_own(near, part).unwrap();
        let apart = references.nearest(&references.rows, |i| [near(i), 0..0]).unwrap();
        let elsewhere = references.nearest(&references.rows, |i| [part(i), 0..0]).unwrap();
        assert!(found.iter().map(|found| found.apart).eq(apart));
        assert!(found.iter().map(|found| found.elsewhere).eq(elsewhere));
    }
}
