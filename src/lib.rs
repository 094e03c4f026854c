//! Generates realistic, labelled time-series anomalies from Arrow columns (GenIAS, arXiv 2502.08262),
//! and scores how anomalous each row is.
//!
//! Input and output are Arrow arrays; the Polars plugin and the Python package are thin layers over this
//! crate. Each module only uses modules above it in this list:
//!
//! ```text
//! error
//! kernels     fused CPU operations
//! runtime     random numbers, control, thread pool
//! config      options of every verb: names, defaults, ranges
//! stats       moments, quantiles, shape distances, k-means, PCA
//! data        columns -> series -> windows -> z-scores -> batches; windows -> rows
//! nn          parameters, Adam, the training loop
//! vae         the TCN-VAE: encode, perturb, decode, train
//! anomaly     sources of anomalies, placement, splicing, domains of features
//! alarm       scores -> p-values -> alarms
//! generator   fit -> calibrate -> generate, pairs, reconstruct
//! detector    a score per row, thresholds
//! model       generator + detectors + report; bytes
//! sensitivity what the labels of a model would catch
//! metrics     metrics of scores, labels and generated anomalies
//! ```
//!
//! In a fit, [`Columns`] are read as [`Series`], which are cut into [`windows`] of z-scores
//! ([`normalise`]). A [`vae`] is trained on them, and calibration sets psi, the thresholds of the patch
//! and the normal variation. The result is a [`generator::Generator`]: it decodes anomalies, and
//! [`anomaly::Synthetic`] splices them into the columns. [`Model::fit_detector`] trains a [`detector`]
//! against such anomalies. [`mod@inject`] places classical anomalies without a model.
//!
//! Set the environment variable `CANDLE_NUM_THREADS` to 1: candle's own workers spin between
//! operations and compete with the rayon pool of this crate.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, Float64Array};
//! use genias::anomaly::Synthetic;
//! use genias::{Columns, FitConfig, GenerateConfig, RunToEnd, Series, fit};
//!
//! # fn main() -> genias::Result<()> {
//! let wave: ArrayRef = Arc::new(Float64Array::from_iter_values(
//!     (0..400).map(|t| (f64::from(t) / 3.0).sin()),
//! ));
//! let columns = Columns::new(vec![("cpu".into(), wave)])?;
//! let series = Series::whole(&columns);
//!
//! let config = FitConfig { window: 16, steps: 20, ..FitConfig::default() };
//! let model = fit(&series, &config, &RunToEnd)?;
//! let anomalies = model.generate(&series, &GenerateConfig::default(), &RunToEnd)?;
//!
//! let mut synthetic = Synthetic::new(&columns);
//! synthetic.add(&series, &anomalies);
//! let out = synthetic.finish();
//! assert_eq!(out.is_anomaly.true_count(), 40);
//!
//! let scores = model.score(&series, &RunToEnd)?;
//! assert!(scores.iter().all(Option::is_some));
//! # Ok(())
//! # }
//! ```

// Shapes are written in brackets, which rustdoc takes for links.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod alarm;
pub mod anomaly;
pub mod config;
pub mod data;
pub mod detector;
pub mod error;
pub mod generator;
pub mod kernels;
pub mod metrics;
pub mod model;
mod nn;
pub mod runtime;
pub mod sensitivity;
pub mod stats;
pub mod vae;

pub use anomaly::classical as inject;
pub use config::{
    DetectConfig, DetectorKind, FitConfig, GenerateConfig, Options, ScoreConfig, Threshold,
};
pub use data::columns::Columns;
pub use data::positions::Positions;
pub use data::series::{Rows, Series};
pub use data::{columns, normalise, positions, windows};
pub use error::{Error, Result};
pub use model::fit::{fit, fit_on, fit_scorer};
pub use model::{
    Backbone, Backbones, Model, VaeOrigin, apart, artifact, backbone_of, excerpts, share_out,
};
pub use runtime::control::{Control, Phase, RunToEnd, Status};
pub use runtime::{control, rng};

/// Training of the VAE.
pub mod train {
    pub use crate::model::trainer::Trainer;
    pub use crate::vae::train::{Progress, StopReason};
}
