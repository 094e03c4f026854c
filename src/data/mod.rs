//! Rows to windows and back: Arrow columns, where windows begin, z-scores, batches of windows, and
//! what overlapping windows say of a row.

pub(crate) mod batches;
pub mod columns;
pub mod normalise;
pub(crate) mod overlap;
pub mod positions;
pub(crate) mod wild;
pub mod windows;
