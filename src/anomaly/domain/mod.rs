//! Domains: the values that a feature can take, and that anomalies use.
//!
//! A domain is learned from training rows, stored in the model, and overridden by the option
//! `domain`. The values of the dtype ([`Domain`](crate::data::domain::Domain)) always apply as
//! well.

mod feature;
mod lattice;
mod learn;
mod project;

pub use feature::FeatureDomain;
pub(crate) use feature::domains;
pub use lattice::Lattice;
pub(crate) use project::{Adaptation, HitFeature, Realised, one_step, realise};
