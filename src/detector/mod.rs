//! Step 8, detectors: a score per row, higher = more anomalous.

mod carla;
mod classifier;
mod negatives;
mod network;
mod reconstruction;
pub use reconstruction::Reconstruction;
pub(crate) use reconstruction::decode_mean;

use crate::columns::Series;
use crate::control::Control;
use crate::error::Result;
use crate::model::Model;

impl Model {
    /// Whether the score of each row is above `threshold`, by default the one chosen when the model
    /// was fitted. `None` where there is no score.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub fn label(
        &self,
        series: &Series<'_>,
        threshold: Option<f64>,
        control: &dyn Control,
    ) -> Result<Vec<Option<bool>>> {
        let threshold = threshold.or(self.report.threshold).unwrap_or(f64::INFINITY);
        let scores = self.score(series, control)?;
        Ok(scores.into_iter().map(|score| score.map(|s| f64::from(s) > threshold)).collect())
    }
}
