//! Reconstructions and perturbed reconstructions with the same noise, and the calibration of psi.

use std::ops::Range;

use crate::stats::median;
use candle_core::{Device, Tensor};

use crate::config::Perturbation;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};
use crate::vae::{Vae, distance, perturb, sigma};

/// Largest psi in the calibration.
const MAX_PSI: f64 = 1024.0;
/// Number of initial fixed-point steps.
const GUESSES: usize = 6;
/// Maximum number of false-position steps after them.
const ROUNDS: usize = 40;
/// Relative error of the calibrated distance.
const TOLERANCE: f64 = 1e-3;

/// Latent means and log variances of some windows, [n, L] each, in shares.
pub(crate) struct Encoded {
    pub shares: Vec<(Tensor, Tensor)>,
}

impl Encoded {
    /// Of windows [n, W, D], given in shares.
    pub(crate) fn new(vae: &Vae, batches: &[Tensor], control: &dyn Control) -> Result<Self> {
        let shares = spread_over_pool(batches.len(), control, |i| vae.encode(&batches[i]))?;
        Ok(Self { shares })
    }

    /// dec(mu), flat [n, W, D].
    pub(crate) fn decode_means(&self, vae: &Vae, control: &dyn Control) -> Result<Vec<f32>> {
        let decoded = spread_over_pool(self.shares.len(), control, |i| {
            Ok(vae.decode(&self.shares[i].0)?.flatten_all()?.to_vec1::<f32>()?)
        })?;
        Ok(decoded.concat())
    }
}

/// Latent noise of some windows: mean, sigma * eps and dec(mean + sigma * eps), in shares.
pub(crate) struct Latents {
    shares: Vec<(Tensor, Tensor, Tensor)>,
    perturbation: Perturbation,
}

/// X^ and X~ of some windows, [n, W, D] each, in shares.
pub(crate) struct PlainAndPerturbed {
    pub shares: Vec<(Tensor, Tensor)>,
}

impl PlainAndPerturbed {
    /// d(X^, X~) of every window.
    pub(crate) fn distances(&self) -> Result<Vec<f64>> {
        let mut distances = Vec::new();
        for (plain, perturbed) in &self.shares {
            distances.extend(distance(plain, perturbed)?.to_vec1::<f32>()?);
        }
        Ok(distances.into_iter().map(f64::from).collect())
    }
}

impl Latents {
    /// Of encoded windows, with the eps [n, L] of every share.
    pub(crate) fn new(
        vae: &Vae,
        encoded: &Encoded,
        noise: &[Tensor],
        perturbation: Perturbation,
        control: &dyn Control,
    ) -> Result<Self> {
        let shares = spread_over_pool(encoded.shares.len(), control, |i| {
            let (mu, log_variance) = &encoded.shares[i];
            let noise = (sigma(log_variance)? * &noise[i])?;
            let plain = vae.decode(&(mu + &noise)?)?;
            Ok((mu.clone(), noise, plain))
        })?;
        Ok(Self { shares, perturbation })
    }

    /// X^ and X~ of every window at `psi`.
    pub(crate) fn pairs(
        &self,
        vae: &Vae,
        psi: f64,
        control: &dyn Control,
    ) -> Result<PlainAndPerturbed> {
        let shares = spread_over_pool(self.shares.len(), control, |i| {
            let (mu, noise, plain) = &self.shares[i];
            let psi = vae.psi_at(mu, psi)?;
            let z = perturb(mu, noise, &psi, self.perturbation)?;
            Ok((plain.clone(), vae.decode(&z)?))
        })?;
        Ok(PlainAndPerturbed { shares })
    }

    /// d(X^, X~) of every window at `psi`.
    fn distances(&self, vae: &Vae, psi: f64, control: &dyn Control) -> Result<Vec<f64>> {
        self.pairs(vae, psi, control)?.distances()
    }

    /// The psi >= 1 at which the median d(X^, X~) is `target`, to within 0.1 %; the nearest bound
    /// if there is none. d grows approximately as (psi - 1)^2, exactly so for a linear decoder: a
    /// few fixed-point steps from `start` suffice for most models.
    pub(crate) fn calibrate(
        &self,
        vae: &Vae,
        start: f64,
        target: f64,
        control: &dyn Control,
    ) -> Result<f64> {
        let mut psi = start.clamp(1.0 + TOLERANCE, MAX_PSI);
        for _ in 0..GUESSES {
            let ratio = target / median(self.distances(vae, psi, control)?);
            if (ratio - 1.0).abs() < TOLERANCE {
                return Ok(psi);
            }
            let next = 1.0 + (psi - 1.0) * ratio.sqrt();
            if !(1.0..=MAX_PSI).contains(&next) {
                break;
            }
            psi = next;
        }
        self.bisect(vae, target, control)
    }

    /// The same by false position (Illinois) on log psi.
    fn bisect(&self, vae: &Vae, target: f64, control: &dyn Control) -> Result<f64> {
        let excess = |log_psi: f64| -> Result<f64> {
            let median = median(self.distances(vae, log_psi.exp(), control)?);
            Ok((median / target).max(f64::MIN_POSITIVE).ln())
        };
        let (mut low, mut high) = (0.0, MAX_PSI.ln());
        let (mut below, mut above) = (excess(low)?, excess(high)?);
        if !(below < 0.0 && above > 0.0) {
            return Ok(if below < 0.0 { MAX_PSI } else { 1.0 });
        }
        // psi = 1 changes nothing, and the logarithm of 0 would attract every step.
        below = below.max(-above);
        for round in 0..ROUNDS {
            // Bisection at intervals bounds the number of rounds for any shape of the curve.
            let share = if round % 4 == 3 { 0.5 } else { -below / (above - below) };
            let middle = low + share * (high - low);
            let found = excess(middle)?;
            if found.abs() < TOLERANCE {
                return Ok(middle.exp());
            }
            if found < 0.0 {
                (low, below, above) = (middle, found, 0.5 * above);
            } else {
                (high, above, below) = (middle, found, 0.5 * below);
            }
        }
        Ok((0.5 * (low + high)).exp())
    }
}

/// Latent means and standard deviations of some windows, for many draws of each.
pub(crate) struct Posterior<'a> {
    vae: &'a Vae,
    perturbation: Perturbation,
    mu: Vec<f32>,
    sigma: Vec<f32>,
    /// psi of every window.
    pub psi: Vec<f64>,
}

/// A latent to decode: the window's position, noise [L] and its scale psi; psi = 1 gives X^. Of the
/// decoded window, only `rows` are needed.
pub(crate) struct Latent<'a> {
    pub window: usize,
    pub eps: &'a [f32],
    pub psi: f64,
    pub rows: Range<usize>,
}

impl<'a> Posterior<'a> {
    /// Encodes flat windows [n, W, D]; `psi` is the global one.
    pub(crate) fn new(
        vae: &'a Vae,
        windows: &[f32],
        psi: f64,
        perturbation: Perturbation,
    ) -> Result<Self> {
        let architecture = vae.architecture();
        let (window, features) = (architecture.window, architecture.features);
        let n = windows.len() / architecture.values().max(1);
        let x = Tensor::from_slice(windows, (n, window, features), &Device::Cpu)?;
        let (mu, log_variance) = vae.encode(&x)?;
        let sigma = sigma(&log_variance)?.flatten_all()?.to_vec1()?;
        let own = vae.psi_at(&mu, psi)?.flatten_all()?.to_vec1::<f32>()?;
        let psi =
            if own.len() == n { own.into_iter().map(f64::from).collect() } else { vec![psi; n] };
        Ok(Self { vae, perturbation, mu: mu.flatten_all()?.to_vec1()?, sigma, psi })
    }

    /// Decodes them in one batch: the rows of each, flat [rows, D].
    pub(crate) fn decode(&self, latents: &[Latent<'_>]) -> Result<Vec<Vec<f32>>> {
        let units = self.vae.architecture().latent;
        let row = |window: usize| window * units..(window + 1) * units;
        let (mut mu, mut noise) = (Vec::new(), Vec::new());
        for Latent { window, eps, .. } in latents {
            mu.extend_from_slice(&self.mu[row(*window)]);
            let pairs = self.sigma[row(*window)].iter().zip(*eps);
            noise.extend(pairs.map(|(sigma, eps)| sigma * eps));
        }
        let tensor = |values: Vec<f32>, width: usize| {
            Tensor::from_vec(values, (latents.len(), width), &Device::Cpu)
        };
        let psi = tensor(latents.iter().map(|latent| latent.psi as f32).collect(), 1)?;
        let z = perturb(&tensor(mu, units)?, &tensor(noise, units)?, &psi, self.perturbation)?;
        let rows: Vec<Range<usize>> = latents.iter().map(|latent| latent.rows.clone()).collect();
        let decoded = self.vae.decode_rows(&z, &rows)?;
        let mut rest = &decoded[..];
        let mut parts = Vec::with_capacity(rows.len());
        for rows in rows {
            let (part, after) = rest.split_at(rows.len() * self.vae.architecture().features);
            parts.push(part.to_vec());
            rest = after;
        }
        Ok(parts)
    }
}

/// Cuts rows of a shape, flat, into shares.
pub(crate) fn shares(rows: &[f32], shape: &[usize]) -> Result<Vec<Tensor>> {
    let width: usize = shape.iter().product();
    let share = |rows: &[f32]| {
        let shape = [&[rows.len() / width], shape].concat();
        Ok(Tensor::from_slice(rows, shape, &Device::Cpu)?)
    };
    rows.chunks(INFERENCE_SHARE * width.max(1)).map(share).collect()
}
