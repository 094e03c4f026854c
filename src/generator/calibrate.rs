//! Calibration: measures the anomalies of a trained VAE on held-out windows. A pure function.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::report::{Health, Report};
use crate::anomaly::latent::correlation::Correlation;
use crate::anomaly::latent::descriptor::{Clusters, WIDTH, descriptor};
use crate::anomaly::latent::normal_range::{LocalTau, NormalRange, usual_deviation};
use crate::anomaly::latent::patch::{Decoded, Rule, most_deviating};
use crate::config::{Distance, FitConfig, GenerateConfig, Margin, Preset};
use crate::data::series::Series;
use crate::data::windows::spread;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::{INFERENCE_SHARE, spread_over_pool};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::pca::Pca;
use crate::stats::{median, rms};
use crate::vae::Vae;
use crate::vae::posterior::{Encoded, Latents, PlainAndPerturbed, shares};
use crate::vae::train::Task;

/// Number of windows that are examined, evenly spaced.
const EXAMINED: usize = 256;
/// Variance of the latent mean above which a unit is active.
const ACTIVE_VARIANCE: f64 = 0.01;
/// Difference of R2 to that of PCA that counts as underfit.
const UNDERFIT: f64 = 0.05;
/// psi below this counts as 1.
const PSI_AT_ONE: f64 = 1.1;
/// RMS change, in training deviations, below which generation copies its input.
const COPY: f64 = 0.01;

/// Results of calibration that generation uses.
pub(crate) struct Calibrated {
    /// The net with its calibrated psi.
    pub vae: Vae,
    pub tau: BTreeMap<Distance, f64>,
    pub local_tau: Option<LocalTau>,
    pub normal_range: NormalRange,
    pub correlation: Option<Correlation>,
    pub kinds: Clusters,
}

/// Some windows.
pub(crate) struct Sample {
    windows: Vec<f32>,
    /// 1 for observed, 0 for interpolated values; `None` if none is missing.
    observed: Option<Vec<f32>>,
    /// The windows in shares.
    batches: Vec<Tensor>,
    /// Values of a window, W * D.
    values: usize,
}

/// The windows for a calibration.
pub(crate) struct Samples<'a> {
    /// Held-out windows.
    held_out: Sample,
    /// Their noise for the thresholds, and for the anomalies that are measured, in shares.
    noise: [Vec<Tensor>; 2],
    /// Training windows.
    trained: Sample,
    task: &'a Task<'a>,
    series: &'a Series<'a>,
    linear: PcaReference<'a>,
}

/// The PCA that a net is compared with.
#[derive(Clone, Copy)]
pub(crate) enum PcaReference<'a> {
    /// Components.
    Fitted(&'a Pca),
    /// R2 of the net and of PCA on the held-out windows.
    Known { r2: f64, r2_pca: f64 },
}

impl Sample {
    /// At most [`EXAMINED`] of the windows at `starts`, evenly spaced.
    fn new(task: &Task<'_>, starts: &[usize]) -> Result<Self> {
        let starts = spread(starts, EXAMINED);
        let shape = [task.config.window, task.matrix.features()];
        let windows = task.matrix.gather(&starts, shape[0]);
        let observed = task.matrix.observed(&starts, shape[0]);
        let batches = shares(&windows, &shape)?;
        Ok(Self { windows, observed, batches, values: shape[0] * shape[1] })
    }

    /// Noise for these windows, number `draw`.
    fn noise(&self, task: &Task<'_>, draw: u64) -> Result<Vec<Tensor>> {
        let latent = task.architecture.latent;
        let mut rng = Rng::new(task.config.seed, Purpose::Validation, [draw, 0]);
        shares(&rng.normals(self.windows.len() / self.values.max(1) * latent), &[latent])
    }

    /// The windows, with interpolated values replaced by their decoding: these have no error.
    fn seen(&self, decoded: &[f32]) -> Vec<f32> {
        let mut windows = self.windows.clone();
        let observed = self.observed.iter().flatten();
        for ((x, y), observed) in windows.iter_mut().zip(decoded).zip(observed) {
            *x = if *observed > 0.0 { *x } else { *y };
        }
        windows
    }
}

impl<'a> Samples<'a> {
    /// Draws from the windows of a training, on the rows of `series`.
    pub(crate) fn draw(
        task: &'a Task<'a>,
        series: &'a Series<'a>,
        linear: PcaReference<'a>,
    ) -> Result<Self> {
        let held_out = Sample::new(task, task.validation)?;
        let noise = [held_out.noise(task, 1)?, held_out.noise(task, 2)?];
        let trained = Sample::new(task, task.train)?;
        Ok(Self { held_out, noise, trained, task, series, linear })
    }

    fn config(&self) -> &FitConfig {
        self.task.config
    }

    /// Correlation of the features in training windows; `None` for a single one.
    fn correlation(&self, decoded: &[f32]) -> Result<Option<Correlation>> {
        let (matrix, series) = (self.task.matrix, self.series);
        if matrix.features() < 2 {
            return Ok(None);
        }
        let clean: Vec<usize> = (0..series.len()).filter(|t| series.is_clean(*t)).collect();
        let rows = |d: usize| clean.iter().map(|t| matrix.rows(*t, 1)[d]).collect();
        let (window, features) = (self.config().window, matrix.features());
        Correlation::fit(&self.trained.windows, decoded, window, features, rows).map(Some)
    }
}

/// Measures the anomalies and the reconstructions of a trained net.
///
/// # Errors
/// [`crate::Error::Interrupted`], and errors of tensors and correlations.
pub(crate) fn calibrate(
    vae: &Vae,
    samples: &Samples<'_>,
    control: &dyn Control,
) -> Result<(Calibrated, Report)> {
    let config = samples.config();
    let held_out = Encoded::new(vae, &samples.held_out.batches, control)?;
    let latents =
        |noise: &[Tensor]| Latents::new(vae, &held_out, noise, config.perturbation, control);
    let [usual, fresh] = &samples.noise;
    let usual = latents(usual)?;
    let psi = calibrated_psi(vae, &usual, config, control)?;
    let vae = &vae.with_psi(psi)?;
    let pairs = usual.pairs(vae, psi, control)?;
    let (r2, r2_pca) = match samples.linear {
        PcaReference::Known { r2, r2_pca } => (r2, r2_pca),
        PcaReference::Fitted(pca) => {
            r2(&samples.held_out, &held_out.decode_means(vae, control)?, pca, control)?
        }
    };
    let trained = Encoded::new(vae, &samples.trained.batches, control)?;
    let (active_units, kl) = latent_use(&trained, config, vae.architecture().latent)?;
    let decoded = trained.decode_means(vae, control)?;
    let task = samples.task;
    let normal_range =
        NormalRange::new(&samples.trained.seen(&decoded), &decoded, task.matrix, samples.series);
    let correlation = samples.correlation(&decoded)?;
    let decodings = |pairs| DecodedSample { sample: &samples.held_out, pairs };
    let (tau, local_tau) = thresholds(decodings(&pairs), config, &normal_range, control)?;
    let (kinds, vae) = (Clusters::default(), vae.clone());
    let mut learned = Calibrated { vae, tau, local_tau, normal_range, correlation, kinds };
    let fresh = latents(fresh)?.pairs(&learned.vae, psi, control)?;
    let probe = generation(&learned, decodings(&fresh), config, control)?;
    learned.kinds = Clusters::find(&probe.descriptors, config.kinds, config.seed);
    let (r2, r2_pca) = (Some(r2), Some(r2_pca));
    let mut report = Report { r2, r2_pca, active_units, kl, ..Report::default() };
    report.in_band = Some(match config.margin {
        Margin::Reconstruction => share_in_band(&pairs.distances()?, config),
        Margin::Input => share_in_band(&probe.distances, config),
    });
    report.patch_rate = Some(probe.patch_rate());
    report.health = health(&report, psi, median(probe.changes));
    Ok((learned, report))
}

/// tau for every distance, and also by the variation of a window if `local` is set.
#[allow(clippy::type_complexity)]
fn thresholds(
    decodings: DecodedSample<'_>,
    fit: &FitConfig,
    normal_range: &NormalRange,
    control: &dyn Control,
) -> Result<(BTreeMap<Distance, f64>, Option<LocalTau>)> {
    let config = GenerateConfig::default();
    let rule = Rule::new(&config, &BTreeMap::new(), None, normal_range);
    let prober = Prober { rule, config: &config, distances: &Distance::OWN };
    let Probe { deviations, spreads, .. } = prober.probe(decodings, control)?;
    let usual = |(distance, found): (&Distance, &Vec<f64>)| {
        (*distance, usual_deviation(found.iter().copied()))
    };
    let tau = deviations.iter().map(usual).collect();
    let local = fit.local.then(|| LocalTau::new(&spreads, &deviations));
    Ok((tau, local))
}

/// psi, rounded to the 32 bits of a parameter.
fn calibrated_psi(
    vae: &Vae,
    latents: &Latents,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<f64> {
    let psi = match config.calibrate && config.margin == Margin::Reconstruction {
        true => {
            let target = 0.5 * (config.delta_min + config.delta_max);
            latents.calibrate(vae, vae.psi()?, target, control)?
        }
        false => vae.psi()?,
    };
    Ok(f64::from(psi as f32))
}

fn share_in_band(distances: &[f64], config: &FitConfig) -> f64 {
    let band = config.delta_min..=config.delta_max;
    let inside = distances.iter().filter(|distance| band.contains(distance)).count();
    inside as f64 / distances.len().max(1) as f64
}

/// R2 of a net and of PCA on the held-out windows of a training, at most [`EXAMINED`].
pub(crate) fn explained(
    vae: &Vae,
    task: &Task<'_>,
    pca: &Pca,
    control: &dyn Control,
) -> Result<(f64, f64)> {
    let sample = Sample::new(task, task.validation)?;
    let encoded = Encoded::new(vae, &sample.batches, control)?;
    r2(&sample, &encoded.decode_means(vae, control)?, pca, control)
}

/// R2 of decoded windows and of PCA.
fn r2(sample: &Sample, decoded: &[f32], pca: &Pca, control: &dyn Control) -> Result<(f64, f64)> {
    let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|value| f64::from(value).powi(2)).sum()
    };
    let seen = sample.seen(decoded);
    let total = square(&mut seen.iter().copied());
    let error = square(&mut seen.iter().zip(decoded).map(|(x, y)| x - y));
    let r2 = |error: f64| if total > 0.0 { 1.0 - error / total } else { 0.0 };
    let shares: Vec<&[f32]> = sample.windows.chunks(INFERENCE_SHARE * sample.values).collect();
    let errors = spread_over_pool(shares.len(), control, |i| pca.squared_errors(shares[i]))?;
    Ok((r2(error), r2(errors.into_iter().sum())))
}

/// Active units and KL (exact form).
fn latent_use(
    encoded: &Encoded,
    config: &FitConfig,
    latent: usize,
) -> Result<(usize, Option<f64>)> {
    let mut rows: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
    for (mu, log_variance) in &encoded.shares {
        rows.extend(mu.to_vec2::<f32>()?.into_iter().zip(log_variance.to_vec2::<f32>()?));
    }
    let n = rows.len().max(1) as f64;
    let prior = config.sigma_prior;
    let (mut kl, mut active) = (0.0, 0);
    for j in 0..latent {
        let mean = rows.iter().map(|(mu, _)| f64::from(mu[j])).sum::<f64>() / n;
        let variance =
            rows.iter().map(|(mu, _)| (f64::from(mu[j]) - mean).powi(2)).sum::<f64>() / n;
        active += usize::from(variance > ACTIVE_VARIANCE);
        for (mu, log) in &rows {
            let (square, log) = (f64::from(mu[j]).powi(2), f64::from(log[j]));
            let scaled = (square + log.exp()) / (prior * prior);
            kl += 0.5 * (scaled - 1.0 - log + 2.0 * prior.ln());
        }
    }
    Ok((active, Some(kl / (n * latent as f64))))
}

/// One anomaly per held-out window, as generated with the preset of the training.
fn generation(
    learned: &Calibrated,
    decodings: DecodedSample<'_>,
    fit: &FitConfig,
    control: &dyn Control,
) -> Result<Probe> {
    let config = GenerateConfig::preset(match fit.margin {
        Margin::Input => Preset::Paper,
        Margin::Reconstruction => Preset::Default,
    });
    let Calibrated { tau, local_tau, normal_range, .. } = learned;
    let rule = Rule::new(&config, tau, local_tau.as_ref(), normal_range);
    Prober { rule, config: &config, distances: &[] }.probe(decodings, control)
}

/// Windows, and their X^ and X~.
#[derive(Clone, Copy)]
struct DecodedSample<'a> {
    sample: &'a Sample,
    pairs: &'a PlainAndPerturbed,
}

/// Measurements on one anomaly per window.
#[derive(Default)]
struct Probe {
    /// Deviation of each (window, feature) pair in units of tau, by distance.
    deviations: BTreeMap<Distance, Vec<f64>>,
    /// Whether it exceeds tau.
    passes: Vec<bool>,
    /// Standard deviation of the window, per pair.
    spreads: Vec<f64>,
    /// Descriptor of the anomaly of each window.
    descriptors: Vec<[f32; WIDTH]>,
    /// d(X, X~) per window.
    distances: Vec<f64>,
    /// RMS of the change over the hit features, per window.
    changes: Vec<f64>,
}

impl Probe {
    fn extend(&mut self, other: Self) {
        for (distance, deviations) in other.deviations {
            self.deviations.entry(distance).or_default().extend(deviations);
        }
        self.passes.extend(other.passes);
        self.spreads.extend(other.spreads);
        self.descriptors.extend(other.descriptors);
        self.distances.extend(other.distances);
        self.changes.extend(other.changes);
    }

    /// Share of pairs that exceed tau.
    fn patch_rate(&self) -> f64 {
        let patched = self.passes.iter().filter(|passes| **passes).count();
        patched as f64 / self.passes.len().max(1) as f64
    }
}

/// Measures one anomaly per window.
struct Prober<'a> {
    rule: Rule<'a>,
    config: &'a GenerateConfig,
    /// Distances that are measured besides that of the rule.
    distances: &'a [Distance],
}

impl Prober<'_> {
    fn probe(&self, decodings: DecodedSample<'_>, control: &dyn Control) -> Result<Probe> {
        let DecodedSample { sample, pairs } = decodings;
        let inputs: Vec<&[f32]> = sample.windows.chunks(INFERENCE_SHARE * sample.values).collect();
        let parts = spread_over_pool(pairs.shares.len(), control, |i| {
            self.share(inputs[i], &pairs.shares[i])
        })?;
        let mut probe = Probe::default();
        parts.into_iter().for_each(|part| probe.extend(part));
        Ok(probe)
    }

    fn share(&self, input: &[f32], (plain, perturbed): &(Tensor, Tensor)) -> Result<Probe> {
        let (n, window, features) = plain.dims3()?;
        let plain = plain.flatten_all()?.to_vec1::<f32>()?;
        let perturbed = perturbed.flatten_all()?.to_vec1::<f32>()?;
        let mut probe = Probe::default();
        for i in 0..n {
            let range = i * window * features..(i + 1) * window * features;
            let decoded = Decoded {
                input: &input[range.clone()],
                plain: &plain[range.clone()],
                perturbed: &perturbed[range],
                first: 0,
                features,
            };
            self.window(decoded, window, &mut probe);
        }
        Ok(probe)
    }

    fn window(&self, decoded: Decoded<'_>, window: usize, probe: &mut Probe) {
        let form = self.config.form;
        let deviations = self.rule.deviations(decoded, 0..window, form);
        let moved = decoded.input.iter().zip(decoded.perturbed).map(|(x, y)| x - y);
        probe.distances.push(f64::from(rms(&moved.collect::<Vec<_>>())).powi(2));
        probe.passes.extend(deviations.iter().map(|deviation| *deviation > self.rule.tau));
        let mut hit = self.rule.passing(&deviations);
        if hit.is_empty() {
            hit.push(most_deviating(&deviations));
        }
        let delta = |d: usize| decoded.delta(d, 0..window, form);
        let deltas: Vec<Vec<f32>> = hit.into_iter().map(delta).collect();
        probe.changes.push(f64::from(rms(&deltas.concat())));
        probe.descriptors.push(descriptor(&deltas, decoded.features));
        probe.spreads.extend(decoded.spreads());
        for distance in self.distances {
            // With the global tau.
            let rule = Rule { distance: *distance, local: None, ..self.rule };
            let found = rule.deviations(decoded, 0..window, form);
            let own = probe.deviations.entry(*distance).or_default();
            own.extend(found.into_iter().map(f64::from));
        }
    }
}

/// The warnings about a fit; `change` is the median size of an anomaly.
fn health(report: &Report, psi: f64, change: f64) -> Vec<Health> {
    let patch_rate = report.patch_rate.unwrap_or(0.5);
    let shortfall = report.r2_pca.unwrap_or(0.0) - report.r2.unwrap_or(0.0);
    let found = [
        (change < COPY, Health::CopiesInput),
        (report.active_units == 0, Health::PosteriorCollapse),
        (psi < PSI_AT_ONE, Health::PsiAtOne),
        (patch_rate < 0.01, Health::PatchInert),
        (patch_rate > 0.99, Health::PatchTotal),
        (shortfall > UNDERFIT, Health::Underfit),
    ];
    found.into_iter().filter(|(is, _)| *is).map(|(_, warning)| warning).collect()
}
