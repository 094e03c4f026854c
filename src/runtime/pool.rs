//! Spreads work over the rayon pool.
//!
//! Work is cut into shares whose size does not depend on the number of threads, and results are
//! returned in order, so they are the same for any number of threads.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::runtime::control::Control;

/// Windows per task in inference: with more windows, weights are read less often.
pub(crate) const INFERENCE_SHARE: usize = 96;

/// Runs `work` for 0..n, in the pool if `control` allows it; results are in order.
///
/// # Errors
/// [`Error::Interrupted`], checked before each task, and errors of `work`.
pub(crate) fn spread_over_pool<T: Send>(
    n: usize,
    control: &dyn Control,
    work: impl Fn(usize) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    let work = |i| if control.cancelled() { Err(Error::Interrupted) } else { work(i) };
    if control.alone() && n > 1 {
        (0..n).into_par_iter().map(work).collect()
    } else {
        (0..n).map(work).collect()
    }
}
