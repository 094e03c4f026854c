//! Anomalies of the latent space: what is perturbed, deformed or broken, and which of it is kept.

pub(crate) mod correlation;
pub(crate) mod deform;
pub mod descriptor;
pub mod normal_range;
pub(crate) mod patch;
pub(crate) mod psi;
