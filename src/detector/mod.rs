//! A score per row, higher = more anomalous.
//!
//! A [`Detector`] gives every row of a window a score; [`crate::Model::score_with`] puts the windows that
//! cover a row together. [`crate::Model::fit_detector`] trains one on the normal windows of a series
//! against windows with generated anomalies (`negatives`), and calibrates its thresholds on held-out
//! windows (`threshold`). No label is looked at.

mod amplitude;
mod carla;
mod classifier;
mod collection;
mod ensemble;
mod evidence;
mod negatives;
mod normal;
mod reconstruction;
mod score_rows;
mod threshold;
mod trained;
pub(crate) mod training;

pub use collection::Detectors;
pub use score_rows::Detector;
pub use threshold::Calibration;
pub(crate) use trained::Learned;
pub use trained::Trained;
