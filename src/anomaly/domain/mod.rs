//! What a feature can take, as its training rows show it: the values that anomalies are made of.
//!
//! Learned from training rows, kept in the model, overridden by the option `domain`. The values of the
//! dtype ([`Domain`](crate::data::domain::Domain)) always hold beside it.

mod feature;
mod lattice;
mod learn;
mod project;

pub use feature::FeatureDomain;
pub(crate) use feature::domains;
pub use lattice::Lattice;
pub(crate) use project::{HitFeature, Realised, Wish, one_step, realise};
