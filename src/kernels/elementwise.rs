//! Loops over values, compiled for the vector instructions of the machine.

use pulp::Arch;

use super::scratch::Scratch;

/// Runs a loop with the widest vector instructions that the machine has.
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// Adds `bias` to every row of `outputs` values and applies ReLU where asked, in place.
pub(super) fn finish(out: &mut [f32], bias: &[f32], relu: bool) {
    if bias.is_empty() {
        return;
    }
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    vectorised(|| {
        for row in out.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = (*value + bias).max(least);
            }
        }
    });
}

/// Gradient in front of a ReLU: passes where the output is positive.
pub(super) fn through_relu(gradient: &[f32], output: &[f32]) -> Scratch {
    let mut masked = Scratch::new(gradient.len());
    vectorised(|| {
        for ((masked, gradient), output) in masked.iter_mut().zip(gradient).zip(output) {
            // A product, not a branch: which values are positive cannot be predicted.
            *masked = gradient * f32::from(u8::from(*output > 0.0));
        }
    });
    masked
}

/// As [`through_relu`], in place.
pub(super) fn gate(gradient: &mut [f32], output: &[f32]) {
    vectorised(|| {
        for (gradient, output) in gradient.iter_mut().zip(output) {
            *gradient *= f32::from(u8::from(*output > 0.0));
        }
    });
}

/// Sum over rows of a row-major [_, cols] matrix: the gradient of a bias.
pub(super) fn column_sums(rows: &[f32], cols: usize) -> Vec<f32> {
    let mut sums = vec![0f32; cols];
    vectorised(|| {
        for row in rows.chunks_exact(cols.max(1)) {
            add(&mut sums, row);
        }
    });
    sums
}

/// Adds `values` to `sum`.
#[inline(always)]
pub(super) fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
