//! The VAE's own error as a score, and its reconstruction in input units.

use std::ops::Range;

use candle_core::Tensor;

use crate::columns::Series;
use crate::control::Control;
use crate::error::Result;
use crate::kernels::row_squares;
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
        let squares = |vae: &Vae, x: &Tensor| Ok(row_squares(x, &vae.decode(&vae.encode(x)?.0)?)?);
        self.cover(series, control, squares, |start, squares| errors.add(start, squares))?;
        let width = series.columns().width() as f64;
        let constants = self.normaliser.constant_features();
        let score = |t: usize| {
            let error = f64::from(errors.mean(t, 0)?) + self.constant_error(series, &constants, t);
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
        self.cover(series, control, decode_mean, |start, decoded| sums.add(start, decoded))?;
        let mut values: Vec<Vec<f64>> =
            self.normaliser.mean.iter().map(|&mean| vec![mean; series.len()]).collect();
        for (i, &d) in live.iter().enumerate() {
            for (t, value) in values[d].iter_mut().enumerate() {
                *value = self.normaliser.raw(d, f64::from(sums.mean(t, i).unwrap_or(0.0)));
            }
        }
        Ok(Reconstruction { values, covered: sums.counts.iter().map(|n| *n > 0).collect() })
    }

    /// Hands start row and result of every covering window to `take`, in order; `work` gives the
    /// results of a batch of windows, one behind the other. Without a VAE, results are empty.
    fn cover(
        &self,
        series: &Series<'_>,
        control: &dyn Control,
        work: impl Fn(&Vae, &Tensor) -> Result<Vec<f32>> + Sync + Send,
        mut take: impl FnMut(Range<usize>, &[f32]),
    ) -> Result<()> {
        let size = self.config.window;
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |t| series.is_usable(t))?;
        let starts = windows::covering_starts(&runs, size, size / OVERLAP);
        if self.vae.is_none() {
            runs.into_iter().for_each(|run| take(run, &[]));
            return Ok(());
        }
        self.pass(&matrix, &starts, control, work, |starts, results| {
            let per_window = results.len() / starts.len().max(1);
            for (&start, result) in starts.iter().zip(results.chunks_exact(per_window.max(1))) {
                take(start..start + size, result);
            }
        })
    }

    /// Sum of squared distances of the constant features from their constants.
    fn constant_error(&self, series: &Series<'_>, constants: &[usize], t: usize) -> f64 {
        let distances = constants.iter().filter_map(|&d| {
            series.value(d, t).map(|value| f64::from(self.normaliser.from_constant(d, value)))
        });
        distances.map(|z| z * z).sum()
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

    /// Adds the values of a window over `rows`, [rows, width].
    fn add(&mut self, rows: Range<usize>, values: &[f32]) {
        self.counts[rows.clone()].iter_mut().for_each(|count| *count += 1);
        let sums = &mut self.sums[rows.start * self.width..rows.end * self.width];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    fn mean(&self, row: usize, i: usize) -> Option<f32> {
        let count = self.counts[row];
        (count > 0).then(|| self.sums[row * self.width + i] / count as f32)
    }
}
