//! Realistic, labelled time-series anomalies from Arrow columns (GenIAS, arXiv 2502.08262), and
//! scores that say how anomalous a row is.
//!
//! Arrow in, Arrow out; the Polars plugin and the Python package are thin layers over this crate.
//! Its modules, from the ground up; each uses only those above it in this list:
//!
//! ```text
//! error
//! kernels     fused CPU operations
//! runtime     random numbers, control, the pool
//! config      options of every verb: names, defaults, ranges
//! stats       sizes, moments, shapes, k-means, PCA
//! data        columns -> series -> windows -> z-scores -> batches; windows -> rows
//! nn          parameters, Adam, the training loop
//! vae         the TCN-VAE: encode, perturb, decode, train
//! anomaly     what an anomaly is, where it goes, how it is spliced in, what a feature can take
//! alarm       scores -> p-values -> alarms
//! generator   fit -> calibrate -> generate, pairs, reconstruct
//! detector    a score per row, thresholds
//! model       generator + detectors + report; bytes
//! sensitivity what the labels of a model would catch
//! metrics     how good scores, labels and generated anomalies are
//! ```
//!
//! A fit goes down the list and up again: [`Columns`] are read as [`Series`], which windows view
//! ([`windows`]) as z-scores ([`normalise`]); a [`vae`] learns them, and calibration finds psi, the
//! thresholds of the patch and the normal variation: that is a [`generator::Generator`]. It decodes
//! anomalies, which [`anomaly::Synthetic`] puts into the columns. [`Model::fit_detector`] trains a
//! [`detector`] against such anomalies. [`mod@inject`] places classical anomalies without a model.
//!
//! Set the environment variable `CANDLE_NUM_THREADS` to 1: candle's own workers spin between
//! operations, against the rayon pool that this crate spreads its tasks over.
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
pub use model::fit::{fit, fit_scorer};
pub use model::{Model, artifact, share_out};
pub use runtime::control::{Control, Phase, RunToEnd, Status};
pub use runtime::{control, rng};

/// Training of the VAE.
pub mod train {
    pub use crate::model::trainer::Trainer;
    pub use crate::vae::train::{Progress, StopReason};
}
