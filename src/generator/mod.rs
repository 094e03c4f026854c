//! The generator: anomalies from a fitted VAE.

mod backbone;
mod blended;
mod breach;
mod calibrate;
mod draw;
pub(crate) mod fit;
mod fitted;
pub(crate) mod generate;
mod maker;
mod pooled;
mod prepared;
pub(crate) mod reconstruct;
mod report;
pub(crate) mod residuals;
pub(crate) mod shared;
mod site;

pub use backbone::Backbone;
pub use fitted::Generator;
pub use pooled::{Excerpt, train_backbone};
pub use reconstruct::Reconstruction;
pub use report::{Health, Report, VaeOrigin};
pub use shared::{Backbones, FEWEST, ROUNDS, SeriesInFleet, backbone_of};
