//! The generator: anomalies that a fitted VAE makes.

pub(crate) mod calibrate;
pub(crate) mod draw;
pub mod generate;
