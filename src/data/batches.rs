//! Windows in batches: cut into shares, spread over the pool, results in order.

use candle_core::{Device, Tensor};

use super::normalise::Matrix;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};

/// Blocks of windows that are in memory at a time in a pass over a series.
const BLOCKS: usize = 8;

/// Passes the windows of `size` rows at `starts` through `work` in blocks, in parallel, and hands the
/// results to `take` in order.
pub(crate) fn pass<T: Send>(
    matrix: &Matrix,
    starts: &[usize],
    size: usize,
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<T> + Sync + Send,
    mut take: impl FnMut(&[usize], T),
) -> Result<()> {
    for group in starts.chunks(BLOCKS * INFERENCE_SHARE) {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let blocks: Vec<&[usize]> = group.chunks(INFERENCE_SHARE).collect();
        let results = spread_over_pool(blocks.len(), control, |i| {
            let shape = (blocks[i].len(), size, matrix.features());
            work(&Tensor::from_vec(matrix.gather(blocks[i], size), shape, &Device::Cpu)?)
        })?;
        blocks.into_iter().zip(results).for_each(|(starts, result)| take(starts, result));
    }
    Ok(())
}
