//! Polars expression plugins over the `genias` crate.
//!
//! A call passes through these files: `call` (keyword arguments), `inputs` (Series to Arrow
//! columns, groups and order), `models` (the model of each group: read, or fitted through `cache`),
//! `cache`), `anomalies` (shared out over groups), `pool`, `interrupt`, `progress` and `warn` (threads, Ctrl-C, what is shown of a fit,
//! per expression.

mod anomalies;
mod bridge;
mod cache;
mod call;
mod expressions;
mod groups;
mod inputs;
mod interrupt;
mod models;
mod pool;
mod progress;
mod python;
mod stored;
mod warn;

#[global_allocator]
static ALLOCATOR: pyo3_polars::PolarsAllocator = pyo3_polars::PolarsAllocator::new();
