//! Projects embedded windows onto a few coordinates: principal components, and the norm of the
//! residual.

use crate::error::Result;
use crate::kernels::{View, matmul, matmul_add};
use crate::stats::pca::{FEW_ROUNDS, Pca};
use crate::stats::{centre, sum_of};

/// Maximum number of principal components; a shorter embedding is only centred.
pub(super) const COMPONENTS: usize = 32;
/// Minimum number of training windows for the components, if there are as many.
const ROWS: usize = 1200;

/// e -> (V^T c, ||c - V V^T c||), c = e - mean.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Projection {
    pub mean: Vec<f32>,
    /// V, [width, rank]; empty if the embedding is only centred.
    pub directions: Vec<f32>,
    pub rank: usize,
}

impl Projection {
    /// Fits embedded windows [n, width], and projects them: [n, coordinates].
    pub(super) fn fit(mut embedded: Vec<f32>, width: usize) -> Result<(Self, Vec<f32>)> {
        let means = centre(&mut embedded, width);
        let mean = means.iter().map(|mean| *mean as f32).collect();
        let mut projection = Self { mean, directions: Vec::new(), rank: 0 };
        if width > COMPONENTS {
            let n = embedded.len() / width;
            let step = (n / ROWS).max(1);
            let sample = View::strided(&embedded, n.div_ceil(step), width, step * width);
            let pca = Pca::of_centred(sample, means, COMPONENTS, FEW_ROUNDS)?;
            projection.set_directions(&pca);
        }
        let coordinates = projection.of_centred(embedded)?;
        Ok((projection, coordinates))
    }

    fn set_directions(&mut self, pca: &Pca) {
        let (rank, width) = (pca.components.len(), self.mean.len());
        let entry = |i: usize| pca.components[i % rank][i / rank] as f32;
        (self.directions, self.rank) = ((0..rank * width).map(entry).collect(), rank);
    }

    /// Number of coordinates of a projected window.
    pub(super) fn coordinates(&self) -> usize {
        if self.is_centring() { self.mean.len() } else { self.rank + 1 }
    }

    fn is_centring(&self) -> bool {
        self.mean.len() <= COMPONENTS
    }

    /// Embedded windows [n, width] -> [n, coordinates].
    pub(super) fn apply(&self, mut embedded: Vec<f32>) -> Result<Vec<f32>> {
        let width = self.mean.len();
        for row in embedded.chunks_exact_mut(width) {
            row.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean);
        }
        self.of_centred(embedded)
    }

    /// As [`Projection::apply`], of windows without the mean.
    fn of_centred(&self, mut embedded: Vec<f32>) -> Result<Vec<f32>> {
        if self.is_centring() {
            return Ok(embedded);
        }
        let width = self.mean.len();
        let n = embedded.len() / width;
        if self.rank == 0 {
            return Ok(embedded.chunks_exact(width).map(norm).collect());
        }
        let directions = View::new(&self.directions, width, self.rank);
        let components = matmul(View::new(&embedded, n, width), directions)?;
        let opposite: Vec<f32> = components.iter().map(|x| -x).collect();
        let opposite = View::new(&opposite, n, self.rank);
        matmul_add(opposite, directions.t(), &mut embedded, width)?;
        let mut projected = Vec::with_capacity(n * (self.rank + 1));
        for (i, rest) in embedded.chunks_exact(width).enumerate() {
            projected.extend_from_slice(&components[i * self.rank..(i + 1) * self.rank]);
            projected.push(norm(rest));
        }
        Ok(projected)
    }
}

fn norm(values: &[f32]) -> f32 {
    sum_of(values, |x| x * x).sqrt() as f32
}
