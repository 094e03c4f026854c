//! Nets: parameters, Adam, and the training loop.

pub(crate) mod adam;
pub(crate) mod descent;
pub(crate) mod parameters;
pub(crate) mod training;

pub use parameters::{Parameters, Shapes};
