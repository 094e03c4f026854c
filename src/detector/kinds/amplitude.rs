//! The baseline for all detectors: the distance of a row from the training mean.

use candle_core::Tensor;

use crate::detector::score_rows::Detector;
use crate::detector::spec::{DetectorSpec, Loaded, Stored};
use crate::error::Result;
use crate::kernels::with_slices;

/// max over features of |z|.
struct Amplitude;

impl Detector for Amplitude {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let (_, _, features) = windows.dims3()?;
        let largest = |row: &[f32]| row.iter().fold(0f32, |most, z| most.max(z.abs()));
        Ok(with_slices([windows], |[values]| {
            Ok(values.chunks_exact(features).map(largest).collect())
        })?)
    }

    fn features(&self, windows: &Tensor) -> Result<Option<Vec<f32>>> {
        Ok(Some(windows.abs()?.flatten_all()?.to_vec1()?))
    }
}

/// The detector `amplitude`.
pub(super) struct AmplitudeSpec;

impl DetectorSpec for AmplitudeSpec {
    fn load<'a>(&self, _: Stored<'a>) -> Result<Loaded<'a>> {
        Ok(Loaded::Windows(Box::new(Amplitude)))
    }
}
