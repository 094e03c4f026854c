//! Exact nearest and furthest neighbours in representation space, without a matrix of all pairs.

use crate::error::Result;
use crate::kernels::{View, matmul};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::stats::centre;

/// Queries per task.
const ROWS: usize = 64;
/// Candidates per block product.
const COLUMNS: usize = 1024;

/// `k` nearest and `k` furthest neighbours of every point, flat [n, k], without the point itself,
/// by distance and then by index.
pub(super) struct Neighbours {
    k: usize,
    nearest: Vec<usize>,
    furthest: Vec<usize>,
}

/// The `k` smallest keys seen so far, ascending.
struct Smallest {
    k: usize,
    found: Vec<(f32, usize)>,
}

impl Smallest {
    fn new(k: usize) -> Self {
        Self { k, found: Vec::with_capacity(k + 1) }
    }

    /// Takes indices in ascending order, so that the lower index wins a tie.
    #[inline]
    fn add(&mut self, key: f32, index: usize) {
        if self.found.len() == self.k && !self.found.last().is_some_and(|(last, _)| key < *last) {
            return;
        }
        let at = self.found.partition_point(|(other, _)| *other <= key);
        self.found.insert(at, (key, index));
        self.found.truncate(self.k);
    }

    fn indices(self) -> impl Iterator<Item = usize> {
        self.found.into_iter().map(|(_, index)| index)
    }
}

impl Neighbours {
    /// Of `points` [n, width]; `k` is at most n - 1.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`].
    pub(super) fn find(
        points: &[f32],
        width: usize,
        k: usize,
        control: &dyn Control,
    ) -> Result<Self> {
        // Distances do not change, and products lose less precision.
        let mut points = points.to_vec();
        centre(&mut points, width);
        let n = points.len() / width;
        let k = k.min(n.saturating_sub(1));
        let squares: Vec<f32> =
            points.chunks_exact(width).map(|p| p.iter().map(|x| x * x).sum()).collect();
        let parts = spread_over_pool(n.div_ceil(ROWS), control, |block| {
            let rows = block * ROWS..((block + 1) * ROWS).min(n);
            search(&points, &squares, rows, k)
        })?;
        let (nearest, furthest): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok(Self { k, nearest: nearest.concat(), furthest: furthest.concat() })
    }

    /// Neighbours on each side.
    pub(super) fn k(&self) -> usize {
        self.k
    }

    /// The nearest of point `i`.
    pub(super) fn nearest(&self, i: usize) -> &[usize] {
        &self.nearest[i * self.k..(i + 1) * self.k]
    }

    /// The furthest from point `i`.
    pub(super) fn furthest(&self, i: usize) -> &[usize] {
        &self.furthest[i * self.k..(i + 1) * self.k]
    }
}

/// Nearest and furthest neighbours of the points in `rows`. The term |a|^2 of |a - b|^2 = |a|^2 +
/// |b|^2 - 2 a b is left out: it is the same for all candidates of a.
fn search(
    points: &[f32],
    squares: &[f32],
    rows: std::ops::Range<usize>,
    k: usize,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (n, count) = (squares.len(), rows.len());
    let width = points.len() / n.max(1);
    let view = |range: &std::ops::Range<usize>| {
        View::new(&points[range.start * width..range.end * width], range.len(), width)
    };
    let mut near: Vec<Smallest> = (0..count).map(|_| Smallest::new(k)).collect();
    let mut far: Vec<Smallest> = (0..count).map(|_| Smallest::new(k)).collect();
    for start in (0..n).step_by(COLUMNS) {
        let columns = start..(start + COLUMNS).min(n);
        let products = matmul(view(&rows), view(&columns).t())?;
        for (row, products) in products.chunks_exact(columns.len()).enumerate() {
            for (candidate, product) in columns.clone().zip(products) {
                if candidate != rows.start + row {
                    let key = squares[candidate] - 2.0 * product;
                    near[row].add(key, candidate);
                    far[row].add(-key, candidate);
                }
            }
        }
    }
    let indices = |found: Vec<Smallest>| found.into_iter().flat_map(Smallest::indices).collect();
    Ok((indices(near), indices(far)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::control::RunToEnd;

    /// All distances, sorted by (distance, index).
    fn naive(points: &[f32], width: usize, k: usize, sign: f64) -> Vec<usize> {
        let n = points.len() / width;
        let at = |i: usize| &points[i * width..(i + 1) * width];
        let distance = |i: usize, j: usize| -> f64 {
            at(i).iter().zip(at(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let sorted = |i: usize| {
            let mut all: Vec<usize> = (0..n).filter(|j| *j != i).collect();
            all.sort_by(|a, b| (sign * distance(i, *a)).total_cmp(&(sign * distance(i, *b))));
            all.truncate(k);
            all
        };
        (0..n).flat_map(sorted).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Small integers are exact in f32 and have many ties.
        #[test]
        fn equal_to_a_full_sort(
            half in prop::collection::vec(prop::collection::vec(-4i8..5, 3), 1..120),
            k in 1usize..8,
        ) {
            // Points and their negatives: the mean is exactly 0.
            let mirrored: Vec<f32> = half.iter().flatten().map(|x| f32::from(*x))
                .chain(half.iter().flatten().map(|x| -f32::from(*x))).collect();
            let found = Neighbours::find(&mirrored, 3, k, &RunToEnd).unwrap();
            let k = k.min(2 * half.len() - 1);
            prop_assert_eq!(found.k(), k);
            prop_assert_eq!(&found.nearest, &naive(&mirrored, 3, k, 1.0));
            prop_assert_eq!(&found.furthest, &naive(&mirrored, 3, k, -1.0));
        }
    }

    /// Several blocks of rows and columns, with f32 rounding: the same distances.
    #[test]
    fn many_points_in_blocks() {
        let width = 8;
        let mut rng =
            crate::runtime::rng::Rng::new(1, crate::runtime::rng::Purpose::Detector, [0, 0]);
        let points: Vec<f32> = rng.normals(1500 * width).iter().map(|x| x + 10.0).collect();
        let found = Neighbours::find(&points, width, 5, &RunToEnd).unwrap();
        let distance = |i: usize, j: usize| -> f64 {
            (0..width)
                .map(|c| f64::from(points[i * width + c] - points[j * width + c]).powi(2))
                .sum()
        };
        for (of, sign) in [(&found.nearest, 1.0), (&found.furthest, -1.0)] {
            let expected = naive(&points, width, 5, sign);
            for (at, (a, b)) in of.iter().zip(&expected).enumerate() {
                assert!((distance(at / 5, *a) - distance(at / 5, *b)).abs() < 1e-3);
            }
        }
        assert!((0..1500).all(|i| !found.nearest(i).contains(&i) && found.furthest(i).len() == 5));
    }

    #[test]
    fn one_point_has_no_neighbours() {
        let found = Neighbours::find(&[1.0, 2.0], 2, 5, &RunToEnd).unwrap();
        assert_eq!((found.k(), found.nearest(0).len()), (0, 0));
    }
}
