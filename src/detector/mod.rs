//! A score per row, higher = more anomalous.
//!
//! A [`Detector`] gives every row of a window a score; [`crate::Model::score_with`] combines the
//! windows that cover a row. [`crate::Model::fit_detector`] trains a detector on the normal windows
//! of a series against windows with generated anomalies (`negatives`), and calibrates its
//! thresholds on held-out windows (`threshold`). Labels are not used.

mod collection;
mod evidence;
mod explain;
mod kinds;
mod labels;
mod locate;
mod negatives;
mod nets;
mod normal;
mod row_scores;
mod score_rows;
mod spec;
mod threshold;
mod trained;
pub(crate) mod training;
mod weights;

pub use collection::Detectors;
pub use evidence::StrongestEvidence;
pub use explain::{Blame, Bounds, Explained, Reasons};
pub(crate) use kinds::spec;
pub use kinds::{DetectorRow, detector_table, is_trained, needs_vae};
pub use labels::Labelled;
pub(crate) use labels::{Labeller, SeriesScores};
pub use row_scores::RowScores;
pub(crate) use row_scores::ScoresView;
pub use score_rows::Detector;
pub use threshold::Calibration;
pub(crate) use trained::Learned;
pub use trained::Trained;
