//! Loops over values, compiled for each vector instruction set; the widest available one is
//! selected at run time.

use pulp::{Arch, Simd, with_simd};

use super::scratch::Scratch;

/// Partial sums of a row.
const PARTIAL: usize = 4;

/// Adds `bias` to every row of `outputs` values, and applies ReLU if requested, in place.
pub(super) fn finish(out: &mut [f32], bias: &[f32], relu: bool) {
    if !bias.is_empty() {
        add_bias(out, bias, if relu { 0.0 } else { f32::NEG_INFINITY });
    }
}

#[with_simd(add_bias = Arch::new())]
#[inline(always)]
fn add_bias_loop<'a, S: Simd>(_: S, out: &'a mut [f32], bias: &'a [f32], least: f32) {
    for row in out.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value = (*value + bias).max(least);
        }
    }
}

/// Gradient before a ReLU: passes where the output is positive.
pub(super) fn through_relu(gradient: &[f32], output: &[f32]) -> Scratch {
    let mut masked = Scratch::new(gradient.len());
    mask(&mut masked, gradient, output);
    masked
}

#[with_simd(mask = Arch::new())]
#[inline(always)]
fn mask_loop<'a, S: Simd>(_: S, masked: &'a mut [f32], gradient: &'a [f32], output: &'a [f32]) {
    for ((masked, gradient), output) in masked.iter_mut().zip(gradient).zip(output) {
        // A product instead of a branch, which would be unpredictable.
        *masked = gradient * f32::from(u8::from(*output > 0.0));
    }
}

/// As [`through_relu`], in place.
#[with_simd(gate = Arch::new())]
#[inline(always)]
pub(super) fn gate_loop<'a, S: Simd>(_: S, gradient: &'a mut [f32], output: &'a [f32]) {
    for (gradient, output) in gradient.iter_mut().zip(output) {
        *gradient *= f32::from(u8::from(*output > 0.0));
    }
}

/// Sum over rows of a row-major [_, cols] matrix: the gradient of a bias.
pub(super) fn column_sums(rows: &[f32], cols: usize) -> Vec<f32> {
    let mut sums = vec![0f32; cols];
    if cols > 0 {
        add_rows(&mut sums, rows);
    }
    sums
}

#[with_simd(add_rows = Arch::new())]
#[inline(always)]
fn add_rows_loop<'a, S: Simd>(_: S, sums: &'a mut [f32], rows: &'a [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
}

/// Adds `values` to `sums`.
#[with_simd(add = Arch::new())]
#[inline(always)]
pub(super) fn add_loop<'a, S: Simd>(_: S, sums: &'a mut [f32], values: &'a [f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// Sum of squared differences of every row of `a` and `b`, as many rows as `sums`.
pub(crate) fn squared_differences(sums: &mut [f64], a: &[f32], b: &[f32]) {
    if !sums.is_empty() && a.len() >= sums.len() {
        add_squares(sums, a, b);
    }
}

#[with_simd(add_squares = Arch::new())]
#[inline(always)]
fn add_squares_loop<'a, S: Simd>(simd: S, sums: &'a mut [f64], a: &'a [f32], b: &'a [f32]) {
    let width = a.len() / sums.len();
    let rows = a.chunks_exact(width).zip(b.chunks_exact(width));
    for (sum, (a, b)) in sums.iter_mut().zip(rows) {
        *sum += f64::from(row_square(simd, a, b));
    }
}

/// Sum of squared differences of one row.
#[inline(always)]
fn row_square<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    // Partial sums, because each addition waits for the one before.
    let mut sums = [simd.splat_f32s(0.0); PARTIAL];
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    let add = |sum: &mut S::f32s, a: S::f32s, b: S::f32s| {
        let difference = simd.sub_f32s(a, b);
        *sum = simd.mul_add_e_f32s(difference, difference, *sum);
    };
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        add(&mut sums[i % PARTIAL], *a, *b);
    }
    if !a_rest.is_empty() {
        add(&mut sums[0], simd.partial_load_f32s(a_rest), simd.partial_load_f32s(b_rest));
    }
    let pairs = [simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])];
    simd.reduce_sum_f32s(simd.add_f32s(pairs[0], pairs[1]))
}

/// Gradients of X^ and X~ for one window, from X, X^ and X~ and the gradients of d(X, X^), d(X^,
/// X~) and d(X, X~).
#[with_simd(distance_gradients = Arch::new())]
#[inline(always)]
pub(super) fn distance_gradients_loop<'a, S: Simd>(
    _: S,
    d_plain: &'a mut [f32],
    d_perturbed: &'a mut [f32],
    [x, plain, perturbed]: [&'a [f32]; 3],
    [g0, g1, g2]: [f32; 3],
) {
    let seen = x.iter().zip(plain).zip(perturbed);
    let out = d_plain.iter_mut().zip(d_perturbed);
    for ((d_plain, d_perturbed), ((x, plain), perturbed)) in out.zip(seen) {
        let between = g1 * (plain - perturbed);
        *d_plain = g0 * (plain - x) + between;
        *d_perturbed = g2 * (perturbed - x) - between;
    }
}
