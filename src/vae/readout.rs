//! The decoder's linear path, fitted once more by least squares after training.
//!
//! Training decodes sampled latents, so the linear path learns to shrink: X^ of the latent mean falls
//! short of the best linear reading of it. The shortfall has a closed form.

use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, DVector};

use super::net::Vae;
use super::train::task::Task;
use crate::data::batches::{batch, map_shares};
use crate::data::windows::spread;
use crate::error::Result;
use crate::runtime::control::Control;

/// Training windows that the fit is taken over, evenly spaced.
const FITTED: usize = 1200;
/// Held-out windows that decide whether it is kept.
const HELD_OUT: usize = 256;
/// Ridge, as a share of the mean variance of the latent means.
const RIDGE: f64 = 1e-4;
const WEIGHT: &str = "decoder.linear.weight";
const BIAS: &str = "decoder.linear.bias";

/// Latent means [n, L] and what their decoding leaves of the windows [n, W D].
struct Remainder {
    mu: Vec<Vec<f32>>,
    error: Vec<Vec<f32>>,
}

impl Remainder {
    fn of(vae: &Vae, task: &Task<'_>, starts: &[usize], control: &dyn Control) -> Result<Self> {
        let size = task.architecture.window;
        let parts = map_shares(starts.len(), control, |share| {
            let starts = &starts[share];
            let x = batch(task.matrix, starts, size)?;
            let (mu, _) = vae.encode(&x)?;
            let mut error = (&x - vae.decode(&mu)?)?;
            if let Some(observed) = task.matrix.observed(starts, size) {
                error = (error * Tensor::from_vec(observed, x.shape(), &Device::Cpu)?)?;
            }
            let error = error.flatten_from(1)?;
            Ok((mu.to_vec2::<f32>()?, error.to_vec2::<f32>()?))
        })?;
        let (mu, error): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok(Self { mu: mu.concat(), error: error.concat() })
    }

    fn squares(&self) -> f64 {
        self.error.iter().flatten().map(|e| f64::from(*e).powi(2)).sum()
    }
}

/// Adds to the linear path what least squares find in the remainder of the training windows, if
/// that lowers the error of held-out ones.
pub(crate) fn refit(
    parameters: &mut Parameters,
    task: &Task<'_>,
    control: &dyn Control,
) -> Result<()> {
    let vae = Vae::new(task.architecture, parameters.clone())?;
    let held_out = spread(task.validation, HELD_OUT);
    let before = Remainder::of(&vae, task, &held_out, control)?.squares();
    let remainder = Remainder::of(&vae, task, &spread(task.train, FITTED), control)?;
    let Some((weight, bias)) = least_squares(&remainder) else { return Ok(()) };
    let mut changed = parameters.clone();
    for (name, change) in [(WEIGHT, weight), (BIAS, bias)] {
        if let Some(value) = changed.get_mut(name) {
            *value = (&*value + Tensor::from_vec(change, value.shape(), &Device::Cpu)?)?;
        }
    }
    let vae = Vae::new(task.architecture, changed.clone())?;
    if Remainder::of(&vae, task, &held_out, control)?.squares() < before {
        *parameters = changed;
    }
    Ok(())
}

/// The map [L, W D] from latent means to remainders, and its bias [W D]; ridge regression.
fn least_squares(remainder: &Remainder) -> Option<(Vec<f32>, Vec<f32>)> {
    let (n, latent) = (remainder.mu.len(), remainder.mu.first()?.len());
    let values = remainder.error.first()?.len();
    let of = |rows: &[Vec<f32>], cols: usize| {
        DMatrix::from_row_iterator(n, cols, rows.iter().flatten().map(|x| f64::from(*x)))
    };
    let (mut mu, mut error) = (of(&remainder.mu, latent), of(&remainder.error, values));
    let (mu_mean, error_mean) = (mu.row_mean(), error.row_mean());
    mu.row_iter_mut().for_each(|mut row| row -= &mu_mean);
    error.row_iter_mut().for_each(|mut row| row -= &error_mean);
    let mut gram = mu.tr_mul(&mu);
    let ridge = RIDGE * gram.trace() / latent as f64;
    gram += DMatrix::from_diagonal(&DVector::from_element(latent, ridge));
    let map = gram.cholesky()?.solve(&mu.tr_mul(&error));
    let bias = error_mean - mu_mean * &map;
    let finite = map.iter().chain(bias.iter()).all(|x| x.is_finite());
    let row_major = map.transpose().iter().map(|x| *x as f32).collect();
    finite.then(|| (row_major, bias.iter().map(|x| *x as f32).collect()))
}
