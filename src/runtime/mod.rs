//! The base of all modules: seeded random numbers, control of long work, and the thread pool.

pub mod control;
pub(crate) mod pool;
pub mod rng;
