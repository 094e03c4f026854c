//! What a fit is worth: calibration of psi, reconstruction beside PCA, patch rate, threshold and
//! the named warnings, all on held-out windows.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::columns::Series;
use crate::config::{Distance, FitConfig, GenerateConfig, Margin, Preset};
use crate::control::Control;
use crate::detector::decode_mean;
use crate::diversity::{Kinds, WIDTH, descriptor};
use crate::error::Result;
use crate::fit::set_psi;
use crate::joint::Joint;
use crate::model::{Health, Model};
use crate::patch::{Decoded, Rule, most_deviating, rms};
use crate::perturb::{Latents, decode_pair, median, shares};
use crate::rng::{Purpose, Rng};
use crate::train::{SHARE, Task, spread, spread_over_pool};
use crate::vae::Vae;
use crate::vae::pca::Pca;
use crate::variation::{LocalTau, Variation, usual_deviation};

/// Windows that are looked at, evenly spaced.
const EXAMINED: usize = 256;
/// Variance of the latent mean above which a unit is active.
const ACTIVE_VARIANCE: f64 = 0.01;
/// Shortfall of R2 against PCA's that counts as underfit.
const UNDERFIT: f64 = 0.05;
/// psi below this counts as 1.
const PSI_AT_ONE: f64 = 1.1;
/// RMS change, in training deviations, below which generation copies its input.
const COPY: f64 = 0.01;

/// Windows with their noise.
struct Sample {
    windows: Vec<f32>,
    batches: Vec<(Tensor, Tensor)>,
    values: usize,
}

impl Sample {
    /// At most [`EXAMINED`] of the windows at `starts`, evenly spaced; draw `draw` of their noise.
    fn draw(model: &Model, task: &Task<'_>, starts: &[usize], draw: u64) -> Result<Self> {
        let starts = spread(starts, EXAMINED);
        let sizes = [model.config.window, task.matrix.features(), model.latent()];
        let windows = task.matrix.gather(&starts, model.config.window);
        let mut rng = Rng::new(model.config.seed, Purpose::Validation, [draw, 0]);
        let noise = rng.normals(starts.len() * model.latent());
        let batches = shares(&windows, &noise, sizes)?;
        Ok(Self { windows, batches, values: sizes[0] * sizes[1] })
    }
}

/// Calibrates psi and tau and fills the model's report.
pub(crate) fn examine(
    model: &mut Model,
    series: &Series<'_>,
    task: &Task<'_>,
    pca: &Pca,
    control: &dyn Control,
) -> Result<()> {
    let Some(vae) = model.vae.clone() else { return Ok(()) };
    let sample = Sample::draw(model, task, task.validation, 1)?;
    calibrate(model, &vae, &sample, control)?;
    reconstruction(model, &vae, &sample, pca, control)?;
    let trained = Sample::draw(model, task, task.train, 1)?;
    latents(model, &vae, &trained, control)?;
    let decoded = decode(&vae, &trained, control)?;
    model.report.variation = Variation::new(&trained.windows, &decoded, task.matrix, series);
    if task.matrix.features() > 1 {
        let clean: Vec<usize> = (0..series.len()).filter(|t| series.is_clean(*t)).collect();
        let rows = |d: usize| clean.iter().map(|t| task.matrix.window(*t, 1)[d]).collect();
        let sizes = (model.config.window, task.matrix.features());
        model.joint = Some(Joint::fit(&trained.windows, &decoded, sizes, rows)?);
    }
    thresholds(model, &vae, &sample, control)?;
    generation(model, &vae, &Sample::draw(model, task, task.validation, 2)?, control)?;
    model.report.health = health(model);
    Ok(())
}

/// tau in every distance, and by how much a window varies where that is asked for.
fn thresholds(model: &mut Model, vae: &Vae, sample: &Sample, control: &dyn Control) -> Result<()> {
    let config = GenerateConfig::default();
    let Probe { deviations, spreads, .. } =
        probe(model, vae, sample, (&config, &Distance::OWN), control)?;
    for (distance, deviations) in &deviations {
        model.report.tau.insert(*distance, usual_deviation(deviations.iter().copied()));
    }
    model.report.local_tau = model.config.local.then(|| LocalTau::new(&spreads, &deviations));
    Ok(())
}

fn calibrate(model: &mut Model, vae: &Vae, sample: &Sample, control: &dyn Control) -> Result<()> {
    let config = model.config.clone();
    let mut psi = vae.psi()?;
    let latents = Latents::new(vae, &sample.batches, config.perturbation, control)?;
    if config.calibrate && config.margin == Margin::Reconstruction {
        let target = 0.5 * (config.delta_min + config.delta_max);
        psi = latents.calibrate(vae, (psi, target), control)?;
    }
    // The value as the model's 32 bits hold it.
    let psi = f64::from(psi as f32);
    if config.margin == Margin::Reconstruction {
        let distances = latents.distances(vae, psi, control)?;
        model.report.in_band = Some(share_in_band(&distances, &config));
    }
    *model = set_psi(model.clone(), psi)?;
    Ok(())
}

fn share_in_band(distances: &[f64], config: &FitConfig) -> f64 {
    let band = config.delta_min..=config.delta_max;
    let inside = distances.iter().filter(|distance| band.contains(distance)).count();
    inside as f64 / distances.len().max(1) as f64
}

/// X^ of the windows, decoded from the mean.
fn decode(vae: &Vae, sample: &Sample, control: &dyn Control) -> Result<Vec<f32>> {
    let one = |i: usize| decode_mean(vae, &sample.batches[i].0);
    Ok(spread_over_pool(sample.batches.len(), control, one)?.concat())
}

fn reconstruction(
    model: &mut Model,
    vae: &Vae,
    sample: &Sample,
    pca: &Pca,
    control: &dyn Control,
) -> Result<()> {
    let decoded = decode(vae, sample, control)?;
    let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|value| f64::from(value).powi(2)).sum()
    };
    let total = square(&mut sample.windows.iter().copied());
    let error = square(&mut sample.windows.iter().zip(&decoded).map(|(x, y)| x - y));
    let shares: Vec<&[f32]> = sample.windows.chunks(SHARE * sample.values).collect();
    let pca_error: f64 =
        spread_over_pool(shares.len(), control, |i| pca.squared_errors(shares[i]))?
            .into_iter()
            .sum();
    let r2 = |error: f64| if total > 0.0 { 1.0 - error / total } else { 0.0 };
    model.report.r2 = Some(r2(error));
    model.report.r2_pca = Some(r2(pca_error));
    Ok(())
}

/// Active units and KL (exact form).
fn latents(model: &mut Model, vae: &Vae, sample: &Sample, control: &dyn Control) -> Result<()> {
    let encoded = spread_over_pool(sample.batches.len(), control, |i| {
        let (mu, log_variance) = vae.encode(&sample.batches[i].0)?;
        Ok((mu.to_vec2::<f32>()?, log_variance.to_vec2::<f32>()?))
    })?;
    let rows: Vec<(Vec<f32>, Vec<f32>)> =
        encoded.into_iter().flat_map(|(mu, log)| mu.into_iter().zip(log)).collect();
    let n = rows.len().max(1) as f64;
    let prior = model.config.sigma_prior;
    let (mut kl, mut active) = (0.0, 0);
    for j in 0..model.latent() {
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
    model.report.active_units = active;
    model.report.kl = Some(kl / (n * model.latent() as f64));
    Ok(())
}

/// One anomaly per window, and how far it deviates in some distances.
fn probe(
    model: &Model,
    vae: &Vae,
    sample: &Sample,
    config: (&GenerateConfig, &[Distance]),
    control: &dyn Control,
) -> Result<Probe> {
    let parts = spread_over_pool(sample.batches.len(), control, |i| {
        probe_share(model, vae, &sample.batches[i], config)
    })?;
    let mut probe = Probe::default();
    parts.into_iter().for_each(|part| probe.extend(part));
    Ok(probe)
}

/// The preset whose generation belongs to the model's training.
fn preset(model: &Model) -> Preset {
    match model.config.margin {
        Margin::Input => Preset::Paper,
        Margin::Reconstruction => Preset::Default,
    }
}

/// Patch rate, share in the band as printed, and size of the change.
fn generation(model: &mut Model, vae: &Vae, sample: &Sample, control: &dyn Control) -> Result<()> {
    let config = GenerateConfig::preset(preset(model));
    let probe = probe(model, vae, sample, (&config, &[]), control)?;
    let patched = probe.passes.iter().filter(|passes| **passes).count();
    model.report.patch_rate = Some(patched as f64 / probe.passes.len().max(1) as f64);
    if model.config.margin == Margin::Input {
        model.report.in_band = Some(share_in_band(&probe.distances, &model.config));
    }
    let (kinds, seed) = (model.config.kinds, model.config.seed);
    model.report.kinds = Kinds::find(&probe.descriptors, kinds, seed);
    let change = median(probe.changes);
    if change < COPY {
        model.report.health.push(Health::CopiesInput);
    }
    Ok(())
}

/// What one anomaly per held-out window shows.
#[derive(Default)]
struct Probe {
    /// How far each (window, feature) pair deviates, in units of tau, by distance.
    deviations: BTreeMap<Distance, Vec<f64>>,
    /// Whether it passes tau.
    passes: Vec<bool>,
    /// Standard deviation of the window, per pair.
    spreads: Vec<f64>,
    /// What the anomaly of each window looks like.
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
}

fn probe_share(
    model: &Model,
    vae: &Vae,
    (x, eps): &(Tensor, Tensor),
    (config, distances): (&GenerateConfig, &[Distance]),
) -> Result<Probe> {
    let (n, window, features) = x.dims3()?;
    let input = x.flatten_all()?.to_vec1::<f32>()?;
    let (plain, perturbed) = decode_pair(vae, x, eps, model.psi(), model.config.perturbation)?;
    let mut probe = Probe::default();
    let rule = model.rule(config);
    for i in 0..n {
        let range = i * window * features..(i + 1) * window * features;
        let decoded = Decoded {
            input: &input[range.clone()],
            plain: &plain[range.clone()],
            perturbed: &perturbed[range.clone()],
            features,
        };
        let deviations = rule.deviations(decoded, 0..window, config.form);
        let moved = decoded.input.iter().zip(decoded.perturbed).map(|(x, y)| x - y);
        probe.distances.push(f64::from(rms(&moved.collect::<Vec<_>>())).powi(2));
        probe.passes.extend(deviations.iter().map(|deviation| *deviation > rule.tau));
        let mut hit = rule.passing(&deviations);
        if hit.is_empty() {
            hit.push(most_deviating(&deviations));
        }
        let delta = |d: usize| decoded.delta(d, 0..window, config.form);
        let deltas: Vec<Vec<f32>> = hit.into_iter().map(delta).collect();
        probe.changes.push(f64::from(rms(&deltas.concat())));
        probe.descriptors.push(descriptor(&deltas, features));
        probe.spreads.extend(decoded.spreads());
        for distance in distances {
            // As measured, whatever the window.
            let rule = Rule { distance: *distance, local: None, ..rule };
            let found = rule.deviations(decoded, 0..window, config.form);
            let own = probe.deviations.entry(*distance).or_default();
            own.extend(found.into_iter().map(f64::from));
        }
    }
    Ok(probe)
}

/// The named warnings that a report deserves.
fn health(model: &Model) -> Vec<Health> {
    let report = &model.report;
    let patch_rate = report.patch_rate.unwrap_or(0.5);
    let shortfall = report.r2_pca.unwrap_or(0.0) - report.r2.unwrap_or(0.0);
    let mut health = report.health.clone();
    let found = [
        (report.active_units == 0, Health::PosteriorCollapse),
        (model.psi() < PSI_AT_ONE, Health::PsiAtOne),
        (patch_rate < 0.01, Health::PatchInert),
        (patch_rate > 0.99, Health::PatchTotal),
        (shortfall > UNDERFIT, Health::Underfit),
    ];
    health.extend(found.into_iter().filter(|(is, _)| *is).map(|(_, warning)| warning));
    health
}
