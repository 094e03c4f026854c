//! Anomalies of the latent space: perturbations, deformations, broken correlations, and the patch.

pub(crate) mod correlation;
pub(crate) mod deform;
pub mod descriptor;
pub mod normal_range;
pub(crate) mod patch;
pub(crate) mod psi;
