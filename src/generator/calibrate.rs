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
use crate::runtime::pool::{SHARE, spread_over_pool};
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::pca::Pca;
use crate::stats::{median, rms};
use crate::vae::Vae;
use crate::vae::posterior::{Latents, decode_pair, shares};
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

/// Windows with their noise, in batches.
pub(crate) struct Sample {
    windows: Vec<f32>,
    /// 1 for observed, 0 for interpolated values; `None` if none is missing.
    observed: Option<Vec<f32>>,
    batches: Vec<(Tensor, Tensor)>,
    /// Values of a window, W * D.
    values: usize,
}

/// The windows for a calibration.
pub(crate) struct Samples<'a> {
    /// Held-out windows.
    held_out: Sample,
    /// Held-out windows with other noise.
    fresh: Sample,
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
    /// Its R2 on the held-out windows.
    Known(f64),
}

impl Sample {
    /// At most [`EXAMINED`] of the windows at `starts`, evenly spaced; `draw` numbers their noise.
    fn draw(task: &Task<'_>, starts: &[usize], draw: u64) -> Result<Self> {
        let starts = spread(starts, EXAMINED);
        let latent = task.architecture.latent;
        let sizes = [task.config.window, task.matrix.features(), latent];
        let windows = task.matrix.gather(&starts, sizes[0]);
        let observed = task.matrix.observed(&starts, sizes[0]);
        let mut rng = Rng::new(task.config.seed, Purpose::Validation, [draw, 0]);
        let noise = rng.normals(starts.len() * latent);
        let batches = shares(&windows, &noise, sizes)?;
        Ok(Self { windows, observed, batches, values: sizes[0] * sizes[1] })
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

    /// X^ of the windows, decoded from the latent mean.
    fn decode(&self, vae: &Vae, control: &dyn Control) -> Result<Vec<f32>> {
        let one = |i: usize| vae.decode_mean(&self.batches[i].0);
        Ok(spread_over_pool(self.batches.len(), control, one)?.concat())
    }
}

impl<'a> Samples<'a> {
    /// Draws from the windows of a training, on the rows of `series`.
    pub(crate) fn draw(
        task: &'a Task<'a>,
        series: &'a Series<'a>,
        linear: PcaReference<'a>,
    ) -> Result<Self> {
        Ok(Self {
            held_out: Sample::draw(task, task.validation, 1)?,
            fresh: Sample::draw(task, task.validation, 2)?,
            trained: Sample::draw(task, task.train, 1)?,
            task,
            series,
            linear,
        })
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
    let (psi, in_band) = calibrate_psi(vae, samples, control)?;
    let vae = vae.with_psi(psi)?;
    let (r2, r2_pca) = reconstruction(&vae, samples, control)?;
    let (active_units, kl) = latents(&vae, &samples.trained, samples.config(), control)?;
    let decoded = samples.trained.decode(&vae, control)?;
    let task = samples.task;
    let normal_range =
        NormalRange::new(&samples.trained.seen(&decoded), &decoded, task.matrix, samples.series);
    let correlation = samples.correlation(&decoded)?;
    let (tau, local_tau) = thresholds(&vae, samples, &normal_range, control)?;
    let kinds = Clusters::default();
    let mut learned = Calibrated { vae, tau, local_tau, normal_range, correlation, kinds };
    let probe = generation(&learned, samples, control)?;
    learned.kinds =
        Clusters::find(&probe.descriptors, samples.config().kinds, samples.config().seed);
    let mut report = Report { r2, r2_pca, active_units, kl, in_band, ..Report::default() };
    if samples.config().margin == Margin::Input {
        report.in_band = Some(share_in_band(&probe.distances, samples.config()));
    }
    report.patch_rate = Some(probe.patch_rate());
    report.health = health(&report, psi, median(probe.changes));
    Ok((learned, report))
}

/// tau for every distance, and also by the variation of a window if `local` is set.
#[allow(clippy::type_complexity)]
fn thresholds(
    vae: &Vae,
    samples: &Samples<'_>,
    normal_range: &NormalRange,
    control: &dyn Control,
) -> Result<(BTreeMap<Distance, f64>, Option<LocalTau>)> {
    let config = GenerateConfig::default();
    let rule = Rule::new(&config, &BTreeMap::new(), None, normal_range);
    let prober = Prober { vae, rule, config: &config, distances: &Distance::OWN };
    let Probe { deviations, spreads, .. } =
        prober.probe(&samples.held_out, samples.config(), control)?;
    let usual = |(distance, found): (&Distance, &Vec<f64>)| {
        (*distance, usual_deviation(found.iter().copied()))
    };
    let tau = deviations.iter().map(usual).collect();
    let local = samples.config().local.then(|| LocalTau::new(&spreads, &deviations));
    Ok((tau, local))
}

/// psi, rounded to the 32 bits of a parameter, and the share of windows within the bounds.
fn calibrate_psi(
    vae: &Vae,
    samples: &Samples<'_>,
    control: &dyn Control,
) -> Result<(f64, Option<f64>)> {
    let config = samples.config();
    let latents = Latents::new(vae, &samples.held_out.batches, config.perturbation, control)?;
    let by_reconstruction = config.margin == Margin::Reconstruction;
    let psi = if config.calibrate && by_reconstruction {
        let target = 0.5 * (config.delta_min + config.delta_max);
        latents.calibrate(vae, vae.psi()?, target, control)?
    } else {
        vae.psi()?
    };
    let psi = f64::from(psi as f32);
    if !by_reconstruction {
        return Ok((psi, None));
    }
    let distances = latents.distances(vae, psi, control)?;
    Ok((psi, Some(share_in_band(&distances, config))))
}

fn share_in_band(distances: &[f64], config: &FitConfig) -> f64 {
    let band = config.delta_min..=config.delta_max;
    let inside = distances.iter().filter(|distance| band.contains(distance)).count();
    inside as f64 / distances.len().max(1) as f64
}

/// R2 of the net and of PCA on held-out windows.
fn reconstruction(
    vae: &Vae,
    samples: &Samples<'_>,
    control: &dyn Control,
) -> Result<(Option<f64>, Option<f64>)> {
    let (r2, r2_pca) = r2(vae, &samples.held_out, samples.linear, control)?;
    Ok((Some(r2), Some(r2_pca)))
}

/// R2 of a net and of PCA on the held-out windows of a training, at most [`EXAMINED`].
pub(crate) fn explained(
    vae: &Vae,
    task: &Task<'_>,
    pca: &Pca,
    control: &dyn Control,
) -> Result<(f64, f64)> {
    r2(vae, &Sample::draw(task, task.validation, 1)?, PcaReference::Fitted(pca), control)
}

fn r2(
    vae: &Vae,
    sample: &Sample,
    linear: PcaReference<'_>,
    control: &dyn Control,
) -> Result<(f64, f64)> {
    let decoded = sample.decode(vae, control)?;
    let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|value| f64::from(value).powi(2)).sum()
    };
    let seen = sample.seen(&decoded);
    let total = square(&mut seen.iter().copied());
    let error = square(&mut seen.iter().zip(&decoded).map(|(x, y)| x - y));
    let r2 = |error: f64| if total > 0.0 { 1.0 - error / total } else { 0.0 };
    let r2_pca = match linear {
        PcaReference::Known(r2) => r2,
        PcaReference::Fitted(pca) => {
            let shares: Vec<&[f32]> = sample.windows.chunks(SHARE * sample.values).collect();
            let errors =
                spread_over_pool(shares.len(), control, |i| pca.squared_errors(shares[i]))?;
            r2(errors.into_iter().sum())
        }
    };
    Ok((r2(error), r2_pca))
}

/// Active units and KL (exact form).
fn latents(
    vae: &Vae,
    sample: &Sample,
    config: &FitConfig,
    control: &dyn Control,
) -> Result<(usize, Option<f64>)> {
    let encoded = spread_over_pool(sample.batches.len(), control, |i| {
        let (mu, log_variance) = vae.encode(&sample.batches[i].0)?;
        Ok((mu.to_vec2::<f32>()?, log_variance.to_vec2::<f32>()?))
    })?;
    let rows: Vec<(Vec<f32>, Vec<f32>)> =
        encoded.into_iter().flat_map(|(mu, log)| mu.into_iter().zip(log)).collect();
    let n = rows.len().max(1) as f64;
    let (prior, latent) = (config.sigma_prior, vae.architecture().latent);
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
fn generation(learned: &Calibrated, samples: &Samples<'_>, control: &dyn Control) -> Result<Probe> {
    let config = GenerateConfig::preset(match samples.config().margin {
        Margin::Input => Preset::Paper,
        Margin::Reconstruction => Preset::Default,
    });
    let Calibrated { vae, tau, local_tau, normal_range, .. } = learned;
    let rule = Rule::new(&config, tau, local_tau.as_ref(), normal_range);
    let prober = Prober { vae, rule, config: &config, distances: &[] };
    prober.probe(&samples.fresh, samples.config(), control)
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

/// Generates and measures one anomaly per window.
struct Prober<'a> {
    vae: &'a Vae,
    rule: Rule<'a>,
    config: &'a GenerateConfig,
    /// Distances that are measured besides that of the rule.
    distances: &'a [Distance],
}

impl Prober<'_> {
    fn probe(&self, sample: &Sample, fit: &FitConfig, control: &dyn Control) -> Result<Probe> {
        let parts = spread_over_pool(sample.batches.len(), control, |i| {
            self.share(&sample.batches[i], fit)
        })?;
        let mut probe = Probe::default();
        parts.into_iter().for_each(|part| probe.extend(part));
        Ok(probe)
    }

    fn share(&self, (x, eps): &(Tensor, Tensor), fit: &FitConfig) -> Result<Probe> {
        let (n, window, features) = x.dims3()?;
        let input = x.flatten_all()?.to_vec1::<f32>()?;
        let psi = self.vae.psi()?;
        let (plain, perturbed) = decode_pair(self.vae, x, eps, psi, fit.perturbation)?;
        let mut probe = Probe::default();
        for i in 0..n {
            let range = i * window * features..(i + 1) * window * features;
            let decoded = Decoded {
                input: &input[range.clone()],
                plain: &plain[range.clone()],
                perturbed: &perturbed[range],
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
