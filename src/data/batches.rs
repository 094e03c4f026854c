//! Windows in batches: cut into shares, spread over the pool, with results in order.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::normalise::Matrix;
use super::positions::Positions;
use super::series::Series;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};

/// Shares of windows in memory at once during a pass over a series.
const SHARES: usize = 4;
/// Default number of windows that cover a row, away from the ends of a run.
const OVERLAP: usize = 4;

/// Results of `work` for 0..n in shares of [`INFERENCE_SHARE`], in order.
///
/// # Errors
/// [`Error::Interrupted`], and errors of `work`.
pub(crate) fn map_shares<T: Send>(
    n: usize,
    control: &dyn Control,
    work: impl Fn(Range<usize>) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    spread_over_pool(n.div_ceil(INFERENCE_SHARE), control, |share| {
        work(share * INFERENCE_SHARE..((share + 1) * INFERENCE_SHARE).min(n))
    })
}

/// Results of `work` for the windows of `size` rows at `starts`, [n, size, D] at a time, in order.
///
/// # Errors
/// [`Error::Interrupted`], and errors of `work`.
pub(crate) fn map_windows<T: Send>(
    matrix: &Matrix,
    starts: &[usize],
    size: usize,
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    map_shares(starts.len(), control, |share| work(&batch(matrix, &starts[share], size)?))
}

/// The windows of `size` rows at `starts`, [n, size, D].
pub(crate) fn batch(matrix: &Matrix, starts: &[usize], size: usize) -> Result<Tensor> {
    let shape = (starts.len(), size, matrix.features());
    Ok(Tensor::from_vec(matrix.gather(starts, size), shape, &Device::Cpu)?)
}

/// As [`map_windows`], for any number of windows: passes results to `take` in order, a few at a
/// time.
///
/// # Errors
/// As [`map_windows`].
pub(crate) fn pass<T: Send>(
    matrix: &Matrix,
    starts: &[usize],
    size: usize,
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<T> + Sync + Send,
    mut take: impl FnMut(&[usize], T),
) -> Result<()> {
    for group in starts.chunks(SHARES * INFERENCE_SHARE) {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let results = map_windows(matrix, group, size, control, &work)?;
        group
            .chunks(INFERENCE_SHARE)
            .zip(results)
            .for_each(|(starts, result)| take(starts, result));
    }
    Ok(())
}

/// Start rows of the windows of `size` rows that score the `stretches` of a series: `stride` rows
/// apart, by default a quarter of a window.
pub(crate) fn covering(
    series: &Series<'_>,
    stretches: &[Range<usize>],
    size: usize,
    stride: Option<usize>,
) -> Vec<usize> {
    series.scored_starts(stretches, size, stride.unwrap_or(size / OVERLAP))
}

/// Passes the rows and the result of every window of `size` rows at `starts` ([`covering`]) to
/// `take`, in order; `work` computes the results of a batch of windows [B, W, D].
///
/// # Errors
/// As [`map_windows`].
pub(crate) fn covering_windows(
    series: &Series<'_>,
    matrix: &Matrix,
    starts: &[usize],
    size: usize,
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<Vec<f32>> + Sync + Send,
    mut take: impl FnMut(Range<usize>, &[f32]),
) -> Result<()> {
    let alike = match series.positions() {
        // Constant stretches have a window at every row.
        Positions::Content => alike(matrix, starts, size),
        _ => vec![1; starts.len()],
    };
    let mut copies = alike.iter().copied().filter(|n| *n > 0);
    let first: Vec<usize> =
        starts.iter().zip(&alike).filter(|(_, n)| **n > 0).map(|(start, _)| *start).collect();
    let mut all = starts.iter();
    pass(matrix, &first, size, control, work, |starts, results| {
        let per_window = results.len() / starts.len().max(1);
        // Windows without values also cover their rows.
        for (i, n) in (0..starts.len()).zip(&mut copies) {
            for start in all.by_ref().take(n) {
                take(*start..start + size, &results[i * per_window..(i + 1) * per_window]);
            }
        }
    })
}

/// Number of equal consecutive windows, stored at the first of them; 0 at the others.
fn alike(matrix: &Matrix, starts: &[usize], size: usize) -> Vec<usize> {
    let mut alike: Vec<usize> = vec![0; starts.len()];
    let mut first = 0;
    for (i, &start) in starts.iter().enumerate() {
        if matrix.window(starts[first], size) != matrix.window(start, size) {
            first = i;
        }
        alike[first] += 1;
    }
    alike
}
