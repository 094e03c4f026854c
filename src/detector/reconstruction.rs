//! The VAE's own error as a score, and its reconstruction in input units.

use candle_core::Tensor;

use crate::columns::Series;
use crate::control::Control;
use crate::error::Result;
use crate::model::Model;
use crate::vae::Vae;
use crate::windows;

/// Windows that cover a row, away from the ends of a run.
const OVERLAP: usize = 4;

impl Model {
    /// Score of every row: mean over features of the squared error in z-scores, mean over the
    /// windows that cover the row (every W/4 rows, and the last of each run). `None` where no
    /// window without nulls covers it.
    ///
    /// A feature that was constant in training counts with its squared distance from that
    /// constant, in input units.
    ///
    /// # Errors
    /// [`crate::Error::ModelFeatures`], [`crate::Error::TooShort`], [`crate::Error::NoWindow`].
    pub fn score(&self, series: &Series<'_>, control: &dyn Control) -> Result<Vec<Option<f32>>> {
        let mut errors = Rows::new(series.len(), 1);
        self.reconstruct_rows(series, control, |row, x, decoded| {
            errors.add(row, &[x.iter().zip(decoded).map(|(x, y)| (x - y).powi(2)).sum()]);
        })?;
        let width = series.columns().width() as f64;
        let score = |t: usize| {
            let error = f64::from(errors.mean(t, 0)?) + self.constant_error(series, t);
            Some((error / width).min(f64::from(f32::MAX)) as f32)
        };
        Ok((0..series.len()).map(score).collect())
    }

    /// X^ in input units, mean over the windows that cover a row; a feature that was constant in
    /// training comes back as that constant.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub fn reconstruct(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
    ) -> Result<Reconstruction> {
        let live = self.normaliser.live_features();
        let mut sums = Rows::new(series.len(), live.len());
        self.reconstruct_rows(series, control, |row, _, decoded| sums.add(row, decoded))?;
        let mut values: Vec<Vec<f64>> =
            self.normaliser.mean.iter().map(|&mean| vec![mean; series.len()]).collect();
        for (i, &d) in live.iter().enumerate() {
            for (t, value) in values[d].iter_mut().enumerate() {
                *value = self.normaliser.raw(d, f64::from(sums.mean(t, i).unwrap_or(0.0)));
            }
        }
        Ok(Reconstruction { values, covered: sums.counts.iter().map(|n| *n > 0).collect() })
    }

    /// Hands every row of every covering window (its position in the series, its z-scores and
    /// their reconstruction, [D_live] each) to `take`, in order.
    fn reconstruct_rows(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
        mut take: impl FnMut(usize, &[f32], &[f32]),
    ) -> Result<()> {
        let size = self.config.window;
        let matrix = self.normaliser.apply(series)?;
        let runs = self.runs(series, |t| series.is_usable(t))?;
        let starts = windows::covering_starts(&runs, size, size / OVERLAP);
        if self.vae.is_none() {
            runs.into_iter().flatten().for_each(|row| take(row, &[], &[]));
            return Ok(());
        }
        let features = matrix.features();
        self.pass(&matrix, &starts, control, decode_mean, |starts, decoded| {
            for (&start, decoded) in starts.iter().zip(decoded.chunks_exact(size * features)) {
                let rows = matrix.window(start, size).chunks_exact(features);
                for (t, (x, decoded)) in rows.zip(decoded.chunks_exact(features)).enumerate() {
                    take(start + t, x, decoded);
                }
            }
        })
    }

    /// Sum of squared distances of the constant features from their constants.
    fn constant_error(&self, series: &Series<'_>, t: usize) -> f64 {
        (0..self.normaliser.live.len())
            .filter(|&d| !self.normaliser.live[d])
            .filter_map(|d| {
                series.value(d, t).map(|value| f64::from(self.normaliser.from_constant(d, value)))
            })
            .map(|z| z * z)
            .sum()
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
    /// Whether a window without nulls covers the row; elsewhere its values mean nothing.
    pub covered: Vec<bool>,
}

/// Sums per row over overlapping windows.
struct Rows {
    sums: Vec<f32>,
    counts: Vec<u32>,
    width: usize,
}

impl Rows {
    fn new(rows: usize, width: usize) -> Self {
        Self { sums: vec![0.0; rows * width], counts: vec![0; rows], width }
    }

    fn add(&mut self, row: usize, values: &[f32]) {
        self.counts[row] += 1;
        let sums = &mut self.sums[row * self.width..(row + 1) * self.width];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    fn mean(&self, row: usize, i: usize) -> Option<f32> {
        let count = self.counts[row];
        (count > 0).then(|| self.sums[row * self.width + i] / count as f32)
    }
}
