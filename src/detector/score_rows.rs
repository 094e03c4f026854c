//! The trait of detectors that score windows row by row.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::with_slices;

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

/// What each feature adds to the score of each row, [B * W * D] values >= 0: what the detector says of
/// it, else by how much the score falls where the feature is at its training mean (occlusion).
///
/// # Errors
/// As [`Detector::rows`].
pub(super) fn blame(detector: &dyn Detector, windows: &Tensor) -> Result<Vec<f32>> {
    if let Some(features) = detector.features(windows)? {
        return Ok(features);
    }
    let features = windows.dim(2)?;
    let whole = detector.rows(windows)?;
    let mut falls = vec![0f32; whole.len() * features];
    for d in 0..features {
        let without = detector.rows(&occluded(windows, d)?)?;
        let rows = falls.chunks_exact_mut(features).zip(whole.iter().zip(without));
        rows.for_each(|(row, (whole, without))| row[d] = (whole - without).max(0.0));
    }
    Ok(falls)
}

/// Windows in which feature `d` is 0, its training mean.
fn occluded(windows: &Tensor, d: usize) -> Result<Tensor> {
    let features = windows.dim(2)?;
    let values = with_slices([windows], |[values]| {
        let mut values = values.to_vec();
        values.iter_mut().skip(d).step_by(features).for_each(|x| *x = 0.0);
        Ok(values)
    })?;
    Ok(Tensor::from_vec(values, windows.dims(), &Device::Cpu)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores a row by the first feature plus twice the second one.
    struct Linear;

    impl Detector for Linear {
        fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
            let values = windows.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.chunks_exact(3).map(|row| row[0] + 2.0 * row[1]).collect())
        }
    }

    #[test]
    fn a_score_falls_without_the_features_that_it_comes_from() {
        let windows = vec![1f32, 1.0, 5.0, -1.0, 3.0, 0.0];
        let windows = Tensor::from_vec(windows, (1, 2, 3), &Device::Cpu).unwrap();
        let found = blame(&Linear, &windows).unwrap();
        assert_eq!(found, [1.0, 2.0, 0.0, 0.0, 6.0, 0.0]);
    }
}
