//! Matrices in memory and their single-threaded products.

use candle_core::{Result, bail};
use gemm::Parallelism;

/// Values in the longest vector registers.
const VECTOR: usize = 16;
/// Vectors that gemm computes side by side.
const PANEL: usize = 4;

/// A matrix in memory: steps between rows and between columns, from the first value.
///
/// Rows may overlap: the windows of a convolution are a view of its input.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
    col_step: usize,
}

impl<'a> View<'a> {
    /// Row-major [rows, cols].
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// [rows, cols] with `row_step` values from one row to the next.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_step: usize) -> Self {
        Self { data, rows, cols, row_step, col_step: 1 }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The transpose, without a copy.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_step: self.col_step,
            col_step: self.row_step,
            ..self
        }
    }

    /// `cols` of its columns from column `at`.
    pub(crate) fn columns(self, at: usize, cols: usize) -> Self {
        let data = self.data.get(at * self.col_step..).unwrap_or_default();
        Self { data, cols, ..self }
    }

    fn is_inside(&self) -> bool {
        reach(self.rows, self.cols, self.row_step, self.col_step) <= self.data.len()
    }
}

/// Values from the first to the last of a matrix.
fn reach(rows: usize, cols: usize, row_step: usize, col_step: usize) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_step + (cols - 1) * col_step + 1 }
}

/// `a` * `b`, row-major [a.rows, b.cols].
pub(crate) fn matmul(a: View<'_>, b: View<'_>) -> Result<Vec<f32>> {
    let size = a.rows * b.cols;
    let mut out = Vec::with_capacity(size);
    check(a, b)?;
    // SAFETY: `out` has room for `size` values, all of which `product` writes.
    unsafe {
        product(a, b, out.as_mut_ptr(), b.cols, Target::Overwrite);
        out.set_len(size);
    }
    Ok(out)
}

/// `a` * `b` into `out`, whose rows are `row_step` apart.
pub(crate) fn matmul_into(
    a: View<'_>,
    b: View<'_>,
    out: &mut [f32],
    row_step: usize,
) -> Result<()> {
    check_output(a, b, out, row_step)?;
    // SAFETY: the last value written is inside `out`.
    unsafe { product(a, b, out.as_mut_ptr(), row_step, Target::Overwrite) };
    Ok(())
}

/// `a` * `b` added to `out`, whose rows are `row_step` apart.
pub(crate) fn matmul_add(a: View<'_>, b: View<'_>, out: &mut [f32], row_step: usize) -> Result<()> {
    check_output(a, b, out, row_step)?;
    // SAFETY: the last value written is inside `out`.
    unsafe { product(a, b, out.as_mut_ptr(), row_step, Target::Add) };
    Ok(())
}

fn check_output(a: View<'_>, b: View<'_>, out: &[f32], row_step: usize) -> Result<()> {
    check(a, b)?;
    if out.len() < reach(a.rows, b.cols, row_step, 1) || row_step < b.cols {
        bail!("matmul: {} values for {}x{}", out.len(), a.rows, b.cols);
    }
    Ok(())
}

fn check(a: View<'_>, b: View<'_>) -> Result<()> {
    if a.cols != b.rows || !a.is_inside() || !b.is_inside() {
        bail!("matmul: {}x{} by {}x{}", a.rows, a.cols, b.rows, b.cols);
    }
    Ok(())
}

/// What a product does with the values of its output.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Overwrite,
    Add,
}

/// Writes all values of `a` * `b`, even if the inner size is 0.
///
/// # Safety
/// `out` points to a.rows rows of b.cols values, `row_step` apart, that nothing else accesses; with
/// [`Target::Add`] they are initialised. `check` holds: every value of a view lies within its data.
unsafe fn product(a: View<'_>, b: View<'_>, out: *mut f32, row_step: usize, target: Target) {
    let add = target == Target::Add;
    let (m, n, k) = (a.rows, b.cols, a.cols);
    // gemm reads whole vectors of `b` in place if its number of columns is a multiple of the vector
    // length, and otherwise copies all of `b`.
    let whole = n / VECTOR * VECTOR;
    // SAFETY: guaranteed by the caller.
    unsafe {
        // Whole vectors up to the last column overlap with those before, but are faster than a
        // narrow rest.
        let tail = (whole / VECTOR % PANEL + 1) * VECTOR;
        if b.col_step == 1 && whole < n && tail <= n && !add {
            let head = whole + VECTOR - tail;
            product(a, b.columns(0, head), out, row_step, target);
            product(a, b.columns(n - tail, tail), out.add(n - tail), row_step, target);
            return;
        }
        if b.col_step == 1 && 0 < whole && whole < n {
            product(a, b.columns(0, whole), out, row_step, target);
            product(a, b.columns(whole, n - whole), out.add(whole), row_step, target);
            return;
        }
        if k == 0 {
            if !add {
                (0..m).for_each(|row| std::ptr::write_bytes(out.add(row * row_step), 0, n));
            }
            return;
        }
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            row_step as isize,
            add,
            a.data.as_ptr(),
            a.col_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.col_step as isize,
            b.row_step as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
