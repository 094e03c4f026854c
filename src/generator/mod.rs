//! The generator: anomalies from a fitted VAE.

mod blended;
mod calibrate;
mod draw;
pub(crate) mod fit;
mod fitted;
pub(crate) mod generate;
pub(crate) mod reconstruct;
mod report;
pub(crate) mod residuals;
mod site;

pub use fitted::Generator;
pub use reconstruct::Reconstruction;
pub use report::{Health, Report};
