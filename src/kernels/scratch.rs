//! Temporary buffers that are reused across operations, so that a training step allocates no new
//! pages.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Number of buffers per thread.
const KEPT: usize = 6;

/// A buffer of the current thread with unspecified content.
pub(super) struct Scratch(Vec<f32>);

impl Scratch {
    /// A buffer of `n` values.
    pub(super) fn new(n: usize) -> Self {
        let mut buffer = take(n, usize::MAX);
        buffer.resize(n, 0.0);
        Self(buffer)
    }

    /// A buffer of `n` zeros.
    pub(super) fn zeros(n: usize) -> Self {
        let mut buffer = Self::new(n);
        buffer.fill(0.0);
        buffer
    }
}

impl From<Vec<f32>> for Scratch {
    /// Takes the memory of a used buffer.
    fn from(buffer: Vec<f32>) -> Self {
        Self(buffer)
    }
}

/// An empty buffer with room for `n` values and little more, for a result that may be stored.
pub(super) fn empty(n: usize) -> Vec<f32> {
    let mut buffer = take(n, 2 * n);
    buffer.clear();
    buffer.reserve_exact(n);
    buffer
}

/// The best free buffer: the smallest that fits, of at most `most` values, or else the largest of
/// the smaller ones.
fn take(n: usize, most: usize) -> Vec<f32> {
    FREE.with_borrow_mut(|free| {
        let usable = (0..free.len()).filter(|&i| free[i].capacity() <= most);
        let fit = usable.min_by_key(|&i| {
            let capacity = free[i].capacity();
            if capacity >= n { (0, capacity) } else { (1, usize::MAX - capacity) }
        });
        fit.map(|i| free.swap_remove(i)).unwrap_or_default()
    })
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.capacity() == 0 {
            return;
        }
        // At the end of a thread the pool is gone, and the buffer is freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(buffer);
            }
        });
    }
}
