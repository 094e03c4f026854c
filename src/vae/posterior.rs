//! Reconstructions and perturbed reconstructions with the same noise, and the calibration of psi.

use crate::stats::median;
use candle_core::{Device, Tensor};

use crate::config::Perturbation;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::{SHARE, spread_over_pool};
use crate::vae::{Vae, distance, halves, perturb, sigma};

/// Largest psi in the calibration.
const MAX_PSI: f64 = 1024.0;
/// Number of initial fixed-point steps.
const GUESSES: usize = 6;
/// Maximum number of false-position steps after them.
const ROUNDS: usize = 40;
/// Relative error of the calibrated distance.
const TOLERANCE: f64 = 1e-3;

/// Latent noise of some windows: mean and sigma * eps, [n, L] each, in shares.
pub(crate) struct Latents {
    shares: Vec<(Tensor, Tensor, Tensor)>,
    perturbation: Perturbation,
}

impl Latents {
    /// Encodes windows [B, W, D], given in shares with their eps [B, L].
    pub(crate) fn new(
        vae: &Vae,
        batches: &[(Tensor, Tensor)],
        perturbation: Perturbation,
        control: &dyn Control,
    ) -> Result<Self> {
        let shares = spread_over_pool(batches.len(), control, |i| {
            let (x, eps) = &batches[i];
            let (mu, log_variance) = vae.encode(x)?;
            let noise = (sigma(&log_variance)? * eps)?;
            let plain = vae.decode(&(&mu + &noise)?)?;
            Ok((mu, noise, plain))
        })?;
        Ok(Self { shares, perturbation })
    }

    /// d(X^, X~) of every window at `psi`.
    pub(crate) fn distances(&self, vae: &Vae, psi: f64, control: &dyn Control) -> Result<Vec<f64>> {
        let shares = spread_over_pool(self.shares.len(), control, |i| {
            let (mu, noise, plain) = &self.shares[i];
            let psi = vae.psi_at(mu, psi)?;
            let z = perturb(mu, noise, &psi, self.perturbation)?;
            Ok(distance(plain, &vae.decode(&z)?)?.to_vec1::<f32>()?)
        })?;
        Ok(shares.into_iter().flatten().map(f64::from).collect())
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

/// X^ and X~ of windows `x` [B, W, D] with noise eps [B, L], each as flat [B, W, D] values.
pub(crate) fn decode_pair(
    vae: &Vae,
    x: &Tensor,
    eps: &Tensor,
    psi: f64,
    perturbation: Perturbation,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let (mu, log_variance) = vae.encode(x)?;
    let noise = (sigma(&log_variance)? * eps)?;
    let psi = vae.psi_at(&mu, psi)?;
    let (plain, perturbed) = halves(&vae.decode_both(&mu, &noise, &psi, perturbation)?)?;
    Ok((plain.flatten_all()?.to_vec1()?, perturbed.flatten_all()?.to_vec1()?))
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

/// A latent to decode: the window's position, noise [L] and its scale psi; psi = 1 gives X^.
pub(crate) struct Latent<'a> {
    pub window: usize,
    pub eps: &'a [f32],
    pub psi: f64,
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

    /// Decodes them in one batch: flat [n, W, D].
    pub(crate) fn decode(&self, latents: &[Latent<'_>]) -> Result<Vec<f32>> {
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
        Ok(self.vae.decode(&z)?.flatten_all()?.to_vec1()?)
    }
}

/// Cuts windows [n, W, D] and eps [n, L] into shares.
pub(crate) fn shares(
    windows: &[f32],
    noise: &[f32],
    [window, features, latent]: [usize; 3],
) -> Result<Vec<(Tensor, Tensor)>> {
    let device = &Device::Cpu;
    windows
        .chunks(SHARE * window * features)
        .zip(noise.chunks(SHARE * latent))
        .map(|(x, eps)| {
            let n = eps.len() / latent;
            let x = Tensor::from_slice(x, (n, window, features), device)?;
            Ok((x, Tensor::from_slice(eps, (n, latent), device)?))
        })
        .collect()
}
