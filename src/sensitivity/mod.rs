//! What the labels of a model would catch: anomalies of known kinds and strengths are put into the normal
//! rows of a series, each by itself, and labelled.
//!
//! An anomaly changes the scores of the rows that share a window with it. So those that lie far enough
//! apart are scored together, and each is then judged with the scores that it alone would have made.

mod found;
mod places;
mod run;
mod smallest;
mod trial;

pub use found::{CaughtFrom, Detection, Labelling, Sensitivity};
pub use run::{sensitivity, tried};
pub use trial::Try;
