//! A score per row, higher = more anomalous.
//!
//! A [`Detector`] gives every row of a window a score; [`crate::Model::score_with`] puts the windows that
//! cover a row together. [`crate::Model::fit_detector`] trains one on the normal windows of a series
//! against windows with generated anomalies (`negatives`), and calibrates its thresholds on held-out
//! windows (`threshold`). No label is looked at.

mod collection;
mod evidence;
mod kinds;
mod labels;
mod locate;
mod negatives;
mod nets;
mod normal;
mod score_rows;
mod spec;
mod threshold;
mod trained;
pub(crate) mod training;
mod weights;

pub use collection::Detectors;
pub(crate) use kinds::spec;
pub use kinds::{DetectorRow, detector_table, is_trained, needs_vae};
pub(crate) use labels::Asked;
pub use labels::Found;
pub use score_rows::Detector;
pub use threshold::Calibration;
pub(crate) use trained::Learned;
pub use trained::Trained;
