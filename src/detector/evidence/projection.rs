//! Projects embedded windows onto a few coordinates: principal components, and the norm of the
//! residual.

use crate::error::Result;
use crate::kernels::{View, matmul, matmul_add};
use crate::stats::pca::Pca;

/// Maximum number of principal components; a shorter embedding is only centred.
pub(super) const COMPONENTS: usize = 32;
/// Minimum number of training windows for the components, if there are as many.
const ROWS: usize = 1200;

/// e -> (V^T c, ||c - V V^T c||), c = e - mean.
#[derive(Clone, Debug)]
pub(super) struct Projection {
    pub mean: Vec<f32>,
    /// V, [width, rank]; empty if the embedding is only centred.
    pub directions: Vec<f32>,
    pub rank: usize,
}

impl Projection {
    /// Fits embedded windows [n, width].
    pub(super) fn fit(embedded: &[f32], width: usize) -> Result<Self> {
        let n = embedded.len() / width.max(1);
        let mut mean = vec![0f64; width];
        for row in embedded.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let mean = mean.into_iter().map(|sum| (sum / n.max(1) as f64) as f32).collect();
        if width <= COMPONENTS {
            return Ok(Self { mean, directions: Vec::new(), rank: 0 });
        }
        let sample = embedded.chunks_exact(width).step_by((n / ROWS).max(1));
        let sample: Vec<f32> = sample.flatten().copied().collect();
        let pca = Pca::fit(&sample, sample.len() / width, width, COMPONENTS)?;
        let rank = pca.components.len();
        let entry = |i: usize| pca.components[i % rank][i / rank] as f32;
        Ok(Self { mean, directions: (0..rank * width).map(entry).collect(), rank })
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
        if self.is_centring() {
            return Ok(embedded);
        }
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
    values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32
}
