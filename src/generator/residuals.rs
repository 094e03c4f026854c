//! Residuals of the VAE, each used for several anomalies.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::anomaly::change::Change;
use crate::anomaly::latent::deform::{Decodings, Deformation, Feature};
use crate::anomaly::source::{Source, Window};
use crate::data::batches::batch;
use crate::data::normalise::Matrix;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};
use crate::runtime::rng::{Purpose, Rng};
use crate::vae::{Vae, halves, sigma};

/// psi of a residual, log-uniform.
const PSI: (f64, f64) = (1.5, 8.0);
/// Share of the residuals from a sparse shift of the latent mean.
const MEAN_SHIFTS: f64 = 0.5;
/// Share of the latent units that such a shift changes.
const SHIFTED_UNITS: f64 = 0.06;

/// X~ - X^ of some windows, [n, W, D_live].
#[derive(Default)]
pub(crate) struct Residuals {
    pub starts: Vec<usize>,
    pub values: Vec<f32>,
    /// dec(mu) of the same windows; only for deformations.
    pub plain: Vec<f32>,
    /// Rows of a window.
    window: usize,
}

impl Residuals {
    /// Residuals of `count` windows drawn from those at `starts` of the live features, each with
    /// its own psi; with dec(mu) if requested.
    pub(crate) fn draw(
        vae: &Vae,
        live: &Matrix,
        starts: &[usize],
        count: usize,
        with_plain: bool,
        seed: u64,
        control: &dyn Control,
    ) -> Result<Self> {
        let parts = spread_over_pool(count.div_ceil(INFERENCE_SHARE), control, |share| {
            let mut rng = Rng::new(seed, Purpose::Residual, [share as u64, 0]);
            let picked = share * INFERENCE_SHARE..count.min((share + 1) * INFERENCE_SHARE);
            let picked: Vec<usize> = picked.map(|_| starts[rng.below(starts.len())]).collect();
            residual_share(vae, picked, live, with_plain, &mut rng)
        })?;
        let mut all = Self { window: vae.architecture().window, ..Self::default() };
        for part in parts {
            all.starts.extend(part.starts);
            all.values.extend(part.values);
            all.plain.extend(part.plain);
        }
        Ok(all)
    }

    /// Live feature `i` of `width` of residual `pick` over `segment`.
    fn residual(&self, pick: usize, i: usize, width: usize, segment: Range<usize>) -> Vec<f32> {
        let first = pick * self.window;
        segment.map(|t| self.values[(first + t) * width + i]).collect()
    }
}

/// Residual number `pick` on a few of the features `live`.
pub(crate) struct ResidualSource<'a> {
    pub residuals: &'a Residuals,
    pub pick: usize,
    pub live: &'a [usize],
}

impl Source for ResidualSource<'_> {
    fn changes(&self, _: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change> {
        let width = self.live.len();
        let hit = rng.few_of(width);
        let change = |i: usize| {
            let delta = self.residuals.residual(self.pick, i, width, segment.clone());
            Change { feature: self.live[i], delta }
        };
        hit.into_iter().map(change).collect()
    }
}

/// A deformation of decoded window number `pick` on a few of the features `live`.
pub(crate) struct DeformedSource<'a> {
    pub residuals: &'a Residuals,
    pub pick: usize,
    pub deformation: Deformation,
    pub live: &'a [usize],
}

impl Source for DeformedSource<'_> {
    fn changes(&self, window: Window<'_>, segment: &Range<usize>, rng: &mut Rng) -> Vec<Change> {
        let (width, rows) = (self.live.len(), window.rows());
        let decodings = Decodings { values: &self.residuals.plain, window: rows, features: width };
        let hit = rng.few_of(width);
        let change = |i: usize| {
            let own = window.column(self.live[i]);
            let plain = decodings.column(self.pick, i);
            let residual = self.residuals.residual(self.pick, i, width, 0..rows);
            let feature = Feature { d: i, own: &own, plain: &plain, residual: &residual };
            let delta = self.deformation.change(decodings, &feature, segment.clone(), rng);
            Change { feature: self.live[i], delta }
        };
        hit.into_iter().map(change).collect()
    }
}

/// dec(mu + dz) - dec(mu + sigma eps) of some windows, flat [n, W, D]: dz is psi sigma eps, or
/// sigma eps and a sparse shift of the mean by psi / 2 in units of the prior. Also dec(mu), if
/// requested.
fn residual_share(
    vae: &Vae,
    starts: Vec<usize>,
    live: &Matrix,
    with_plain: bool,
    rng: &mut Rng,
) -> Result<Residuals> {
    let architecture = vae.architecture();
    let (n, latent) = (starts.len(), architecture.latent);
    let x = batch(live, &starts, architecture.window)?;
    let (mu, log_variance) = vae.encode(&x)?;
    let sigma = sigma(&log_variance)?.flatten_all()?.to_vec1::<f32>()?;
    let eps = rng.normals(n * latent);
    let noise: Vec<f32> = sigma.iter().zip(&eps).map(|(sigma, eps)| sigma * eps).collect();
    let mut moved = noise.clone();
    for row in moved.chunks_exact_mut(latent) {
        let psi = rng.log_uniform(PSI.0, PSI.1) as f32;
        if rng.uniform() < MEAN_SHIFTS {
            let shift = rng.normals(latent);
            for (z, shift) in row.iter_mut().zip(shift) {
                if rng.uniform() < SHIFTED_UNITS {
                    *z += 0.5 * psi * shift;
                }
            }
        } else {
            row.iter_mut().for_each(|z| *z *= psi);
        }
    }
    let at = |values: Vec<f32>| -> Result<Tensor> {
        Ok((&mu + Tensor::from_vec(values, (n, latent), &Device::Cpu)?)?)
    };
    let both = vae.decode(&Tensor::cat(&[at(moved)?, at(noise)?], 0)?)?;
    let (perturbed, plain) = halves(&both)?;
    let values = (perturbed - plain)?.flatten_all()?.to_vec1()?;
    let plain = if with_plain { vae.decode(&mu)?.flatten_all()?.to_vec1()? } else { Vec::new() };
    Ok(Residuals { starts, values, plain, window: architecture.window })
}
