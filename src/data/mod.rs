//! Rows to windows and back: Arrow columns, where windows begin, z-scores, batches of windows, and
//! window-to-row overlap.

pub(crate) mod batches;
pub mod columns;
mod copied;
pub mod domain;
mod feature;
pub mod normalise;
pub(crate) mod overlap;
pub mod positions;
pub mod series;
pub(crate) mod wild;
pub mod windows;
