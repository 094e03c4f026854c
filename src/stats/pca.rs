//! Principal components of the training windows: initial values of the linear path, and reference
//! for the reconstruction.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::Result;
use crate::kernels::{View, matmul, matmul_into};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::{centre, sum_of};

/// Largest Gram matrix that is decomposed exactly; larger ones use subspace iteration.
const EXACT: usize = 256;
/// Vectors beyond the rank in the subspace iteration.
const OVERSAMPLING: usize = 16;
/// Rounds of the subspace iteration, of two products each; and where what the components miss by
/// that is measured as a residual.
const ROUNDS: usize = 4;
pub(crate) const FEW_ROUNDS: usize = 2;
/// Columns of a Gram matrix that are computed together, and rows whose products are added in 32 bits.
const BLOCK: usize = 64;
const ROWS: usize = 256;

/// Principal components of a set of windows, in descending order of variance.
#[derive(Clone, Debug)]
pub struct Pca {
    /// Mean of the windows, [F].
    pub mean: Vec<f64>,
    /// Orthonormal components, each [F].
    pub components: Vec<Vec<f64>>,
    /// Variance (divided by n) along each.
    pub variances: Vec<f64>,
}

impl Pca {
    /// Components of `n` windows of `width` values, row-major; at most `rank` of them.
    ///
    /// # Errors
    /// If the sizes do not agree.
    pub fn fit(windows: &[f32], n: usize, width: usize, rank: usize) -> Result<Self> {
        let mut centred = windows.to_vec();
        let mean = centre(&mut centred, width);
        Self::of_centred(View::new(&centred, n, width), mean, rank, ROUNDS)
    }

    /// As [`Pca::fit`], of windows [n, F] without their mean `mean`, in `rounds` of the iteration.
    ///
    /// # Errors
    /// As [`Pca::fit`].
    pub(crate) fn of_centred(
        data: View<'_>,
        mean: Vec<f64>,
        rank: usize,
        rounds: usize,
    ) -> Result<Self> {
        let (n, width) = (data.rows(), data.cols());
        let by_feature = width <= n;
        let gram = gram(if by_feature { data } else { data.t() })?;
        let (values, vectors) = leading(gram, rank, rounds);
        let mut pca = Self { mean, components: Vec::new(), variances: Vec::new() };
        // Directions whose variance is rounding noise of the first one are dropped.
        let floor = values.first().copied().unwrap_or(0.0) * 1e-7;
        let kept = values.iter().take_while(|value| **value > floor).count();
        pca.variances = values[..kept].iter().map(|value| value / n as f64).collect();
        pca.components = if by_feature {
            vectors.into_iter().take(kept).collect()
        } else {
            project(data, &vectors[..kept], &values)?
        };
        Ok(pca)
    }

    /// Total squared error of the reconstruction of some windows, each [F].
    ///
    /// # Errors
    /// If the sizes do not agree.
    pub fn squared_errors(&self, windows: &[f32]) -> Result<f64> {
        let (width, rank) = (self.mean.len(), self.components.len());
        let n = windows.len() / width.max(1);
        let mean = self.mean.iter().cycle();
        let mut centred: Vec<f32> =
            windows.iter().zip(mean).map(|(x, mean)| x - *mean as f32).collect();
        if rank == 0 {
            return Ok(sum_of(&centred, |x| x * x));
        }
        let components = single(&self.components);
        let components = View::new(&components, rank, width);
        let scores = matmul(View::new(&centred, n, width), components.t())?;
        let found = matmul(View::new(&scores, n, rank), components)?;
        centred.iter_mut().zip(&found).for_each(|(x, y)| *x -= y);
        Ok(sum_of(&centred, |x| x * x))
    }
}

/// X^T X of `data` X, in 64 bits from sums of a few rows in 32 bits. It is symmetric: only the blocks
/// on and above its diagonal are computed.
fn gram(data: View<'_>) -> Result<DMatrix<f64>> {
    let side = data.cols();
    let mut gram = DMatrix::zeros(side, side);
    let mut products = vec![0.0; BLOCK * side];
    for first in (0..data.rows()).step_by(ROWS) {
        let rows = data.t().columns(first, ROWS.min(data.rows() - first)).t();
        for at in (0..side).step_by(BLOCK) {
            let (height, width) = (BLOCK.min(side - at), side - at);
            let left = rows.columns(at, height).t();
            matmul_into(left, rows.columns(at, width), &mut products, width)?;
            for (i, row) in products.chunks_exact(width).take(height).enumerate() {
                let mut column = gram.view_mut((at, at + i), (width, 1));
                column.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        }
    }
    gram.fill_upper_triangle_with_lower_triangle();
    Ok(gram)
}

/// X^T u / s: the components for the left singular vectors `u`; `squares` holds the squared s.
fn project(data: View<'_>, vectors: &[Vec<f64>], squares: &[f64]) -> Result<Vec<Vec<f64>>> {
    if vectors.is_empty() {
        return Ok(Vec::new());
    }
    let left = single(vectors);
    let side = vectors.first().map_or(0, Vec::len);
    let products = matmul(View::new(&left, vectors.len(), side), data)?;
    let width = products.len() / vectors.len().max(1);
    let rows = products.chunks_exact(width.max(1)).zip(squares);
    Ok(rows.map(|(row, s)| row.iter().map(|x| f64::from(*x) / s.sqrt()).collect()).collect())
}

/// Concatenated rows in 32 bits.
fn single(rows: &[Vec<f64>]) -> Vec<f32> {
    rows.iter().flatten().map(|x| *x as f32).collect()
}

/// The `rank` largest eigenvalues of a symmetric matrix and their vectors, in descending order.
fn leading(gram: DMatrix<f64>, rank: usize, rounds: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let side = gram.nrows();
    let carried = rank + OVERSAMPLING;
    let (values, vectors) = if side <= EXACT || carried >= side {
        let eigen = SymmetricEigen::new(gram);
        (eigen.eigenvalues, eigen.eigenvectors)
    } else {
        let mut rng = Rng::new(0, Purpose::Subspace, [0, 0]);
        let start = rng.normals(side * carried).into_iter().map(f64::from);
        let mut basis = DMatrix::from_iterator(side, carried, start);
        let mut moved = DMatrix::zeros(side, carried);
        for _ in 0..rounds {
            moved.gemm(1.0, &gram, &basis, 0.0);
            basis.gemm(1.0, &gram, &moved, 0.0);
            basis = basis.qr().q();
        }
        let eigen = SymmetricEigen::new(basis.transpose() * &gram * &basis);
        (eigen.eigenvalues, basis * eigen.eigenvectors)
    };
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    order.truncate(rank);
    let column = |&i: &usize| signed(vectors.column(i).iter().copied().collect());
    (order.iter().map(|&i| values[i]).collect(), order.iter().map(column).collect())
}

/// The sign of an eigenvector is arbitrary: its largest entry is made positive.
fn signed(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector
        .iter()
        .copied()
        .fold(0.0, |best: f64, x| if x.abs() > best.abs() { x } else { best });
    if largest < 0.0 { vector.into_iter().map(|x| -x).collect() } else { vector }
}
