//! One thread pool for all heavy work, and the control of a call.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use genias::Control;
use polars::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::interrupt;

/// Stack size of a worker. A task that waits for its parts may run another group's task on the same
/// stack.
const STACK: usize = 16 << 20;

static POOL: OnceLock<Result<ThreadPool, String>> = OnceLock::new();
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// The pool, with as many threads as the pool of Polars.
pub fn pool() -> PolarsResult<&'static ThreadPool> {
    let pool = POOL.get_or_init(|| {
        ThreadPoolBuilder::new()
            .num_threads(threads())
            .stack_size(STACK)
            .thread_name(|i| format!("genias-{i}"))
            .build()
            .map_err(|error| error.to_string())
    });
    pool.as_ref().map_err(|error| polars_err!(ComputeError: "the thread pool: {error}"))
}

fn threads() -> usize {
    let given = std::env::var("POLARS_MAX_THREADS").ok().and_then(|text| text.parse().ok());
    let available = || std::thread::available_parallelism().map_or(1, usize::from);
    given.filter(|threads| *threads > 0).unwrap_or_else(available)
}

/// The control of one call.
pub struct CallControl {
    interrupts: usize,
}

impl CallControl {
    /// Starts to count interrupts: the next one stops the call.
    pub fn new() -> Self {
        interrupt::listen();
        Self { interrupts: interrupt::count() }
    }
}

impl Control for CallControl {
    fn cancelled(&self) -> bool {
        interrupt::count() != self.interrupts
    }

    fn alone(&self) -> bool {
        BUSY.load(Ordering::Relaxed) < rayon::current_num_threads()
    }
}

/// Marks a thread of the pool as busy until dropped.
pub struct Busy;

impl Busy {
    pub fn new() -> Self {
        BUSY.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::Relaxed);
    }
}
