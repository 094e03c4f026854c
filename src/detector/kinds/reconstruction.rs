//! The VAE's reconstruction error as a score.

use candle_core::{Device, Tensor};

use crate::detector::score_rows::Detector;
use crate::detector::spec::{DetectorSpec, Loaded, Stored};
use crate::error::Result;
use crate::generator::Generator;
use crate::kernels::{row_squares, with_slices};
use crate::vae::Vae;

/// Mean squared error over features, in z-scores. A feature that is constant in training counts
/// with its squared distance from that constant, in input units.
struct Errors<'a> {
    vae: Option<&'a Vae>,
    live: Vec<usize>,
    constant: Vec<usize>,
}

impl<'a> Errors<'a> {
    fn new(generator: &'a Generator) -> Self {
        Self {
            vae: generator.vae.as_ref(),
            live: generator.normaliser.live_features(),
            constant: generator.normaliser.constant_features(),
        }
    }

    /// The live features of windows [B, W, D].
    fn live(&self, windows: &Tensor) -> Result<Tensor> {
        let (batch, window, features) = windows.dims3()?;
        if self.constant.is_empty() {
            return Ok(windows.clone());
        }
        let picked = with_slices([windows], |[values]| {
            let rows = values.chunks_exact(features);
            Ok(rows.flat_map(|row| self.live.iter().map(|&d| row[d])).collect::<Vec<f32>>())
        })?;
        Ok(Tensor::from_vec(picked, (batch, window, self.live.len()), &Device::Cpu)?)
    }

    /// Squared error of every feature, flat [B, W, D].
    fn squares(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let (_, _, features) = windows.dims3()?;
        let mut squares = windows.sqr()?.flatten_all()?.to_vec1::<f32>()?;
        let Some(vae) = self.vae else { return Ok(squares) };
        let live = self.live(windows)?;
        let errors = (live.flatten_all()?
            - Tensor::from_vec(vae.decode_mean(&live)?, live.elem_count(), &Device::Cpu)?)?;
        let errors = errors.sqr()?.to_vec1::<f32>()?;
        let rows = squares.chunks_exact_mut(features).zip(errors.chunks_exact(self.live.len()));
        for (row, errors) in rows {
            self.live.iter().zip(errors).for_each(|(&d, error)| row[d] = *error);
        }
        Ok(squares)
    }
}

impl Detector for Errors<'_> {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let (batch, window, features) = windows.dims3()?;
        let mut errors = match self.vae {
            Some(vae) => {
                let live = self.live(windows)?;
                row_squares(&live, &vae.reconstruct(&live)?)?
            }
            None => vec![0.0; batch * window],
        };
        with_slices([windows], |[values]| {
            for (error, row) in errors.iter_mut().zip(values.chunks_exact(features)) {
                let constants: f32 = self.constant.iter().map(|&d| row[d] * row[d]).sum();
                *error = (*error + constants) / features as f32;
            }
            Ok(())
        })?;
        Ok(errors)
    }

    fn features(&self, windows: &Tensor) -> Result<Option<Vec<f32>>> {
        self.squares(windows).map(Some)
    }
}

/// The detector `reconstruction`.
pub(super) struct ReconstructionSpec;

impl DetectorSpec for ReconstructionSpec {
    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>> {
        stored.generator.require_vae()?;
        Ok(Loaded::Windows(Box::new(Errors::new(stored.generator))))
    }
}
