//! Nets: parameters, Adam, and the loop that trains them.

pub(crate) mod adam;
pub(crate) mod network;
mod parameters;

pub use parameters::{Parameters, Variables};
