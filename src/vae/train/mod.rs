//! Seeded Adam with schedule, clipping and early stopping.
//!
//! A batch is split into shares of fixed size, one task each, and their gradients are added in
//! order, so that the result is the same for any number of threads.

mod batch;
pub(crate) mod resumed;
mod run;
pub(crate) mod task;

pub(crate) use run::train;
pub(crate) use task::Task;
pub use task::{Progress, StopReason};
