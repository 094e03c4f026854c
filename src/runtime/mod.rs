//! What everything else builds on: seeded random numbers, control of long work, one way to spread it.

pub mod control;
pub(crate) mod pool;
pub mod rng;
