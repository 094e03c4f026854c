//! The VAE's own error as a score, and its reconstruction in input units.

use candle_core::{Device, Tensor};

use super::cover::Rows;
use super::{Base, Detector};
use crate::columns::Series;
use crate::config::Aggregate;
use crate::control::Control;
use crate::error::Result;
use crate::kernels::{row_squares, with_slices};
use crate::model::Model;
use crate::vae::Vae;

/// Mean over features of the squared error in z-scores. A feature that was constant in training
/// counts with its squared distance from that constant, in input units.
pub(crate) struct Errors<'a> {
    vae: Option<&'a Vae>,
    live: Vec<usize>,
    constant: Vec<usize>,
}

impl<'a> Errors<'a> {
    pub(crate) fn new(base: Base<'a>) -> Self {
        Self {
            vae: base.vae,
            live: base.normaliser.live_features(),
            constant: base.normaliser.constant_features(),
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
    pub(crate) fn features(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let (_, _, features) = windows.dims3()?;
        let mut squares = windows.sqr()?.flatten_all()?.to_vec1::<f32>()?;
        let Some(vae) = self.vae else { return Ok(squares) };
        let live = self.live(windows)?;
        let errors = (live.flatten_all()?
            - Tensor::from_vec(decode_mean(vae, &live)?, live.elem_count(), &Device::Cpu)?)?;
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
                row_squares(&live, &vae.decode(&vae.encode(&live)?.0)?)?
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
}

impl Model {
    /// X^ in input units, mean over the windows that cover a row; a feature that was constant in
    /// training comes back as that constant.
    ///
    /// # Errors
    /// As [`Model::score_with`].
    pub fn reconstruct(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<Reconstruction> {
        self.require_vae()?;
        let live = self.normaliser.live_features();
        let mut rows = Rows::new(series.len(), live.len(), Aggregate::Mean);
        let work = |x: &Tensor| self.vae.as_ref().map_or(Ok(Vec::new()), |vae| decode_mean(vae, x));
        self.cover(series, false, None, control, work, |start, decoded| rows.add(start, decoded))?;
        let mut values: Vec<Vec<f64>> =
            self.normaliser.mean.iter().map(|&mean| vec![mean; series.len()]).collect();
        for (i, &d) in live.iter().enumerate() {
            for (t, value) in values[d].iter_mut().enumerate() {
                *value = self.normaliser.raw(d, f64::from(rows.get(t, i).unwrap_or(0.0)));
            }
        }
        let usable = |(t, covered): (usize, bool)| covered && series.is_usable(t);
        let covered = rows.covered().into_iter().enumerate().map(usable).collect();
        Ok(Reconstruction { values, covered })
    }
}

/// dec(mu) of windows, flat.
pub(crate) fn decode_mean(vae: &Vae, x: &Tensor) -> Result<Vec<f32>> {
    let (mu, _) = vae.encode(x)?;
    Ok(vae.decode(&mu)?.flatten_all()?.to_vec1()?)
}

/// The reconstruction of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstruction {
    /// Per feature, one value per row, in input units.
    pub values: Vec<Vec<f64>>,
    /// Whether the row has no null and a window covers it; elsewhere its values mean nothing.
    pub covered: Vec<bool>,
}
