//! Refits the decoder's linear path by least squares after training.
//!
//! Training decodes sampled latents, so the linear path learns to shrink: X^ of the latent mean
//! falls short of the best linear map. The difference has a closed form.

use crate::nn::Parameters;
use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, DVector};

use super::net::Vae;
use super::train::task::Task;
use crate::data::batches::{batch, map_shares};
use crate::data::windows::spread;
use crate::error::Result;
use crate::kernels::{View, matmul};
use crate::runtime::control::Control;
use crate::stats::centre;

/// Number of training windows for the fit, evenly spaced.
const FITTED: usize = 1200;
/// Number of held-out windows that decide whether the fit is used.
const HELD_OUT: usize = 256;
/// Ridge, as a share of the mean variance of the latent means.
const RIDGE: f64 = 1e-4;
const WEIGHT: &str = "decoder.linear.weight";
const BIAS: &str = "decoder.linear.bias";

/// Latent means [n, L], and the residuals of their decoding [n, W D], flat.
struct Remainder {
    mu: Vec<f32>,
    error: Vec<f32>,
    n: usize,
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
            Ok((mu.flatten_all()?.to_vec1::<f32>()?, error.flatten_all()?.to_vec1::<f32>()?))
        })?;
        let (mu, error): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Ok(Self { mu: mu.concat(), error: error.concat(), n: starts.len() })
    }

    fn squares(&self) -> f64 {
        self.error.iter().map(|e| f64::from(*e).powi(2)).sum()
    }
}

/// Adds to the linear path the least-squares fit of the residuals of the training windows, if that
/// lowers the error of held-out ones.
pub(crate) fn refit(
    parameters: &mut Parameters,
    task: &Task<'_>,
    control: &dyn Control,
) -> Result<()> {
    let vae = Vae::new(task.architecture, parameters.clone())?;
    let held_out = spread(task.validation, HELD_OUT);
    let before = Remainder::of(&vae, task, &held_out, control)?.squares();
    let remainder = Remainder::of(&vae, task, &spread(task.train, FITTED), control)?;
    let Some((weight, bias)) = least_squares(remainder, task.architecture.latent)? else {
        return Ok(());
    };
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

/// The map [L, W D] from latent means to residuals, and its bias [W D]; ridge regression.
fn least_squares(remainder: Remainder, latent: usize) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
    let Remainder { mut mu, mut error, n } = remainder;
    let values = error.len() / n.max(1);
    let mu_mean: Vec<f32> = centre(&mut mu, latent).into_iter().map(|mean| mean as f32).collect();
    let error_mean = centre(&mut error, values);
    let (means, errors) = (View::new(&mu, n, latent), View::new(&error, n, values));
    let gram = matmul(means.t(), means)?.into_iter().map(f64::from);
    let mut gram = DMatrix::from_iterator(latent, latent, gram);
    let ridge = RIDGE * gram.trace() / latent as f64;
    gram += DMatrix::from_diagonal(&DVector::from_element(latent, ridge));
    let Some(factor) = gram.cholesky() else { return Ok(None) };
    let inverse: Vec<f32> = factor.inverse().iter().map(|x| *x as f32).collect();
    let shared = matmul(means.t(), errors)?;
    let map = matmul(View::new(&inverse, latent, latent), View::new(&shared, latent, values))?;
    let moved = matmul(View::new(&mu_mean, 1, latent), View::new(&map, latent, values))?;
    let bias: Vec<f32> =
        error_mean.iter().zip(moved).map(|(mean, moved)| *mean as f32 - moved).collect();
    let finite = map.iter().chain(&bias).all(|x| x.is_finite());
    Ok(finite.then_some((map, bias)))
}
