//! Realistic, labelled time-series anomalies from Arrow columns (GenIAS, arXiv 2502.08262), and
//! scores that say how anomalous a row is.
//!
//! Arrow in, Arrow out; the Polars plugin and the Python package are thin layers over this crate.
//! One way leads through it, a module per step:
//!
//! ```text
//! columns -> windows -> normalise -> vae -> train -> perturb -> patch -> generate -> columns
//!                                     |
//!                                     +--> detector -> score and label per row
//! ```
//!
//! [`columns`] reads Arrow arrays as series, [`windows`] says where windows begin (they are never
//! copied), [`normalise`] makes z-scores of them. [`vae`] is the TCN-VAE, [`train`] fits it, and
//! `perturb` inflates its latent variance by psi. `patch` chooses which features of a decoded anomaly
//! replace the input, `strength` and `blend` set its size and its ends, `draw` puts these together.
//! [`generate`] places anomalies and gives columns back, [`detector`] scores
//! rows. [`fit()`] runs the way up to a [`Model`], [`artifact`] turns a model into bytes and back.
//! [`metrics`] judges scores, labels and generated anomalies, apart from all that.
//! [`mod@inject`] places classical anomalies, without a model.
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
//! use genias::generate::Synthetic;
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
//! assert_eq!(out.is_anomaly.true_count(), anomalies.len() * 16);
//!
//! let scores = model.score(&series, &RunToEnd)?;
//! assert!(scores.iter().all(Option::is_some));
//! # Ok(())
//! # }
//! ```

// Shapes are written in brackets, which rustdoc takes for links.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod artifact;
mod blend;
pub mod columns;
pub mod config;
pub mod control;
mod deform;
pub mod detector;
mod diagnostics;
pub mod diversity;
mod draw;
pub mod error;
pub mod fit;
pub mod generate;
pub mod inject;
mod joint;
pub mod kernels;
pub mod metrics;
pub mod model;
pub mod normalise;
mod patch;
mod perturb;
mod place;
pub mod positions;
pub mod rng;
mod shape;
mod strength;
mod synthetic;
pub mod train;
pub mod vae;
pub mod variation;
mod wild;
pub mod windows;

pub use columns::{Columns, Rows, Series};
pub use config::{
    DetectConfig, DetectorKind, FitConfig, GenerateConfig, Options, ScoreConfig, Threshold,
};
pub use control::{Control, Phase, RunToEnd, Status};
pub use error::{Error, Result};
pub use fit::{fit, fit_scorer};
pub use model::Model;
pub use positions::Positions;
