//! Moments and order statistics.

/// Root mean square.
pub(crate) fn rms(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    (sum / values.len().max(1) as f64).sqrt() as f32
}

/// Sum of `of` every value, in eight lanes, which the compiler vectorises.
pub(crate) fn sum_of(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += of(f64::from(*x)));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|x| of(f64::from(*x))).sum::<f64>()
}

/// Root mean square of 64-bit floats.
pub(crate) fn rms_f64(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// Smallest and largest value.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &z| (low.min(z), high.max(z)))
}

/// Mean and standard deviation (divided by n).
pub(crate) fn mean_std(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Subtracts from rows of `width` values the mean of every column; returns the means.
pub(crate) fn centre(rows: &mut [f32], width: usize) -> Vec<f64> {
    let width = width.max(1);
    let n = (rows.len() / width).max(1) as f64;
    let mut means = vec![0f64; width];
    for row in rows.chunks_exact(width) {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    means.iter_mut().for_each(|sum| *sum /= n);
    for row in rows.chunks_exact_mut(width) {
        row.iter_mut().zip(&means).for_each(|(x, mean)| *x -= *mean as f32);
    }
    means
}

/// Median; NaN if there are no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}

/// A position reflected at both ends of `low..=high`.
pub(crate) fn reflect(position: f64, (low, high): (usize, usize)) -> f64 {
    let (low, span) = (low as f64, (high - low) as f64);
    if span == 0.0 {
        return low;
    }
    let folded = (position - low).rem_euclid(2.0 * span);
    low + if folded > span { 2.0 * span - folded } else { folded }
}
