//! Anomalies: their sources, their places, and how they are spliced into the input.

pub(crate) mod blend;
pub(crate) mod change;
pub mod classical;
pub(crate) mod constant;
pub mod domain;
pub mod latent;
pub(crate) mod noise;
pub(crate) mod place;
mod placed;
pub(crate) mod possible;
pub(crate) mod source;
pub(crate) mod synthetic;

pub use crate::config::{AnomalyKind, GeneratedKind};
pub use place::{GenerationSite, Ground};
pub(crate) use placed::strength;
pub use placed::{Anomaly, Origin, Pair};
pub use synthetic::{PairColumns, Pairs, Synthetic, SyntheticColumns};
