//! Reconstructions and latent means of the windows of a series.

use candle_core::Tensor;

use super::fitted::Generator;
use crate::config::{Aggregate, WINDOW_BUDGET};
use crate::data::batches::{covering, covering_windows, pass};
use crate::data::overlap::Overlap;
use crate::data::series::Series;
use crate::data::windows;
use crate::error::Result;
use crate::runtime::control::Control;

/// The reconstruction of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstruction {
    /// Per feature, one value per row, in input units.
    pub values: Vec<Vec<f64>>,
    /// Whether the row has no null and a window covers it; its values are undefined otherwise.
    pub covered: Vec<bool>,
}

/// X^ in input units, averaged over the windows that cover a row; for a feature that is constant in
/// training, its constant.
///
/// # Errors
/// [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`], [`crate::Error::NoWindow`].
pub(crate) fn reconstruct(
    generator: &Generator,
    series: &Series<'_>,
    control: &dyn Control,
) -> Result<Reconstruction> {
    generator.require_vae()?;
    let Generator { normaliser, vae, config, .. } = generator;
    let live = normaliser.live_features();
    let mut rows = Overlap::new(series.len(), live.len(), Aggregate::Mean);
    let work = |x: &Tensor| vae.as_ref().map_or(Ok(Vec::new()), |vae| vae.decode_mean(x));
    let matrix = normaliser.apply(series, control)?;
    let stretches = generator.stretches(series, |_| true)?;
    let size = config.window;
    let starts = covering(series, &stretches, size, None);
    covering_windows(series, &matrix, &starts, size, control, work, |at, decoded| {
        rows.add(at, decoded)
    })?;
    let mut values: Vec<Vec<f64>> =
        normaliser.mean.iter().map(|&mean| vec![mean; series.len()]).collect();
    for (i, &d) in live.iter().enumerate() {
        for (t, value) in values[d].iter_mut().enumerate() {
            *value = normaliser.raw(d, f64::from(rows.get(t, i).unwrap_or(0.0)));
        }
    }
    let usable = |(t, covered): (usize, bool)| covered && series.is_usable(t);
    let covered = rows.covered().into_iter().enumerate().map(usable).collect();
    Ok(Reconstruction { values, covered })
}

/// The latent mean of the windows every `stride` rows: start row and mu [L] of each.
///
/// # Errors
/// As [`reconstruct`].
pub(crate) fn embed(
    generator: &Generator,
    series: &Series<'_>,
    stride: Option<usize>,
    control: &dyn Control,
) -> Result<Vec<(usize, Vec<f32>)>> {
    generator.require_vae()?;
    let size = generator.config.window;
    let matrix = generator.normaliser.apply(series, control)?;
    let runs = generator.stretches(series, |_| true)?;
    let stride = stride.unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
    let starts = windows::starts(&runs, size, stride);
    let Some(vae) = &generator.vae else {
        return Ok(starts.into_iter().map(|at| (at, vec![0.0; generator.latent()])).collect());
    };
    let mut embedded = Vec::with_capacity(starts.len());
    let mean = |x: &Tensor| Ok(vae.encode(x)?.0.to_vec2::<f32>()?);
    pass(&matrix, &starts, size, control, mean, |starts, rows| {
        embedded.extend(starts.iter().copied().zip(rows));
    })?;
    Ok(embedded)
}
