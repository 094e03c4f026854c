//! The trait of detectors that score windows row by row.

use candle_core::Tensor;

use crate::error::Result;

/// Scores the rows of windows.
pub trait Detector: Sync + Send {
    /// Scores of the rows of windows [B, W, D] (every feature in its own scale, see
    /// [`crate::data::normalise::Normaliser::apply_all`]): [B * W] finite values, higher = more
    /// anomalous.
    ///
    /// # Errors
    /// If the shape does not fit the detector.
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>>;

    /// Contribution of each feature to the score of each row: [B * W * D] values >= 0; `None` for a
    /// detector without scores per feature.
    ///
    /// # Errors
    /// If the shape does not fit the detector.
    fn features(&self, _windows: &Tensor) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }
}

/// The mean of several detectors.
impl<N: Detector> Detector for Vec<N> {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let mut sums = vec![0f32; windows.dim(0)? * windows.dim(1)?];
        for detector in self {
            let scores = detector.rows(windows)?;
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        let scale = 1.0 / self.len().max(1) as f32;
        sums.iter_mut().for_each(|sum| *sum *= scale);
        Ok(sums)
    }
}
