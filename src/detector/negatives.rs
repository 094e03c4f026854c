//! Windows with an anomaly in them, to train detectors on.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::blend::{blend_weights, rescale};
use crate::config::Negatives;
use crate::control::Control;
use crate::deform::{Decodings, Deformation, Feature};
use crate::error::Result;
use crate::generate::pulse;
use crate::inject::{Kind, draw_classical};
use crate::model::Model;
use crate::normalise::{Matrix, Z_LIMIT};
use crate::patch::rms;
use crate::rng::{Purpose, Rng};
use crate::train::{INFERENCE_SHARE, spread_over_pool};
use crate::vae::Vae;

/// psi of a residual, log-uniform.
const PSI: (f64, f64) = (1.5, 8.0);
/// Share of the residuals that come of a sparse shift of the latent mean instead.
const MEAN_SHIFTS: f64 = 0.5;
/// Share of the latent units that such a shift moves.
const SHIFTED_UNITS: f64 = 0.06;
/// Strength of an anomaly in training standard deviations (RMS over its segment), log-uniform.
const STRENGTH: (f64, f64) = (0.35, 8.0);
/// A deformation that changes less than this, in training standard deviations (RMS), is scaled to a
/// strength, since it could not be seen.
const LEAST: f32 = 0.1;
/// Longest segment of a deformation, in windows: what lies outside the window is cut off.
const LONGEST: f64 = 1.5;
/// How often an anomaly hits features that were constant in training, where there are any.
const CONSTANT_RATE: f64 = 0.2;
/// Most such features that one anomaly hits.
const CONSTANT_MOST: usize = 3;

/// Windows with an anomaly each: values [n, W, D] in z-scores, and which rows it hits, [n, W].
pub(crate) struct Anomalous {
    pub windows: Vec<f32>,
    pub hit: Vec<bool>,
    /// Which rows lack a value of the series, and so count for nothing; empty where none does.
    pub missing: Vec<bool>,
}

/// Where anomalies for training come from.
pub(crate) struct Source<'a> {
    model: &'a Model,
    matrix: &'a Matrix,
    starts: &'a [usize],
    kind: Negatives,
    seed: u64,
    live: Vec<usize>,
    constant: Vec<usize>,
    residuals: Residuals,
}

/// X~ - X^ of some windows, [n, W, D_live].
#[derive(Default)]
struct Residuals {
    starts: Vec<usize>,
    values: Vec<f32>,
    /// dec(mu) of the same windows; only where they are deformed.
    plain: Vec<f32>,
}

impl<'a> Source<'a> {
    /// Anomalies on the windows at `starts` of `matrix` [T, D]; `live` holds the live features.
    /// `residuals` of the VAE are kept; each serves several times, in other segments and features.
    pub(crate) fn new(
        model: &'a Model,
        (matrix, live): (&'a Matrix, &Matrix),
        starts: &'a [usize],
        (kind, seed): (Negatives, u64),
        residuals: usize,
        control: &dyn Control,
    ) -> Result<Self> {
        let mut source = Self {
            model,
            matrix,
            starts,
            kind,
            seed,
            live: model.normaliser.live_features(),
            constant: model.normaliser.constant_features(),
            residuals: Residuals::default(),
        };
        if let (Some(vae), true) = (&model.vae, parts(kind).iter().any(|kind| kind.is_of_the_vae()))
        {
            source.residuals = source.residuals(vae, live, residuals, control)?;
        }
        Ok(source)
    }

    fn size(&self) -> usize {
        self.model.config.window
    }

    /// Residuals of windows that are drawn anew, with a psi of their own each.
    fn residuals(
        &self,
        vae: &Vae,
        live: &Matrix,
        count: usize,
        control: &dyn Control,
    ) -> Result<Residuals> {
        let parts = spread_over_pool(count.div_ceil(INFERENCE_SHARE), control, |share| {
            let mut rng = Rng::new(self.seed, Purpose::Residual, [share as u64, 0]);
            let starts: Vec<usize> =
                (0..INFERENCE_SHARE).map(|_| self.starts[rng.below(self.starts.len())]).collect();
            residual_share(vae, starts, live, self.kind == Negatives::Deformed, &mut rng)
        })?;
        let mut all = Residuals::default();
        for part in parts {
            all.starts.extend(part.starts);
            all.values.extend(part.values);
            all.plain.extend(part.plain);
        }
        Ok(all)
    }

    /// `n` windows with an anomaly each; the same for the same `key`.
    pub(crate) fn draw(&self, n: usize, key: u64) -> Anomalous {
        let size = self.size();
        let (windows, missing) = (Vec::new(), Vec::new());
        let mut drawn = Anomalous { windows, hit: vec![false; n * size], missing };
        for (i, hit) in drawn.hit.chunks_exact_mut(size).enumerate() {
            let mut rng = Rng::new(self.seed, Purpose::Negative, [key, i as u64]);
            let (window, missing) = self.draw_one(hit, &mut rng);
            drawn.windows.extend(window);
            drawn.missing.extend(missing);
        }
        drawn
    }

    /// A window with an anomaly, and which of its rows lack a value.
    fn draw_one(&self, hit: &mut [bool], rng: &mut Rng) -> (Vec<f32>, Vec<bool>) {
        let parts = parts(self.kind);
        let kind = parts[rng.below(parts.len())];
        let pick = rng.below(self.residuals.starts.len());
        let start = match kind {
            kind if kind.is_of_the_vae() && !self.residuals.starts.is_empty() => {
                self.residuals.starts[pick]
            }
            _ => self.starts[rng.below(self.starts.len())],
        };
        let mut window = self.matrix.window(start, self.size()).into_owned();
        let constants =
            !self.constant.is_empty() && (self.live.is_empty() || rng.uniform() < CONSTANT_RATE);
        if constants {
            self.hit_constants(&mut window, hit, rng);
        }
        let constants_only = self.live.is_empty() || (constants && rng.below(2) == 0);
        match kind {
            _ if constants_only => {}
            Negatives::Classical => self.hit_classical(&mut window, hit, rng),
            Negatives::Deformed => self.hit_deformed(&mut window, hit, pick, rng),
            kind => self.hit_live(&mut window, hit, (kind, pick), rng),
        }
        (window, self.matrix.rows_missing(start, self.size()))
    }

    /// A pulse, or a step that stays, on one to three of the constant features.
    fn hit_constants(&self, window: &mut [f32], hit: &mut [bool], rng: &mut Rng) {
        let segment = self.segment(rng);
        let mut chosen = self.constant.clone();
        rng.shuffle(&mut chosen);
        chosen.truncate(1 + rng.below(chosen.len().min(CONSTANT_MOST)));
        for feature in chosen {
            let height = pulse(self.model.normaliser.mean[feature], rng.below(2) == 0);
            let height = height.clamp(-Z_LIMIT, Z_LIMIT) as f32;
            let end = if rng.below(2) == 0 { segment.end } else { self.size() };
            for t in segment.start..end {
                window[t * self.matrix.features() + feature] += height;
                hit[t] = true;
            }
        }
    }

    /// An anomaly of one of CARLA's five kinds.
    fn hit_classical(&self, window: &mut [f32], hit: &mut [bool], rng: &mut Rng) {
        let features = self.matrix.features();
        let (segment, changes) = draw_classical(window, features, &self.live, &Kind::CARLA, rng);
        for change in changes {
            self.add(window, segment.clone(), change.feature, change.delta);
        }
        hit[segment].fill(true);
    }

    /// An anomaly on a random subset of the live features.
    fn hit_live(
        &self,
        window: &mut [f32],
        hit: &mut [bool],
        (kind, pick): (Negatives, usize),
        rng: &mut Rng,
    ) {
        let segment = self.segment(rng);
        let strength = rng.log_uniform(STRENGTH.0, STRENGTH.1) as f32;
        let weights = blend_weights(segment.len());
        let up = rng.below(2) == 0;
        for i in rng.few_of(self.live.len()) {
            let shape = match kind {
                Negatives::Genias => self.residual(pick, i, segment.clone()),
                _ => noise(segment.len(), rng),
            };
            let mut delta = blended(&shape, &weights);
            rescale(&mut delta, &weights, strength, up);
            self.add(window, segment.clone(), self.live[i], delta);
        }
        hit[segment].fill(true);
    }

    /// A deformation of decoded window `pick` on a random subset of the live features.
    fn hit_deformed(&self, window: &mut [f32], hit: &mut [bool], pick: usize, rng: &mut Rng) {
        let (size, features) = (self.size(), self.matrix.features());
        let (values, width) = (&self.residuals.plain, self.live.len());
        let decodings = Decodings { values, window: size, features: width };
        let deformation = Deformation::draw(size, self.residuals.starts.len(), rng);
        let (segment, weights) = self.clipped_segment(rng);
        let strength = rng.log_uniform(STRENGTH.0, STRENGTH.1) as f32;
        let up = rng.below(2) == 0;
        for i in rng.few_of(self.live.len()) {
            let d = self.live[i];
            let own: Vec<f32> = (0..size).map(|t| window[t * features + d]).collect();
            let (plain, residual) = (decodings.column(pick, i), self.residual(pick, i, 0..size));
            let feature = Feature { d: i, own: &own, plain: &plain, residual: &residual };
            let change = deformation.change(decodings, &feature, segment.clone(), rng);
            let mut delta = blended(&change, &weights);
            if deformation == Deformation::Residual || rms(&delta) < LEAST {
                rescale(&mut delta, &weights, strength, up);
            }
            self.add(window, segment.clone(), d, delta);
        }
        hit[segment].fill(true);
    }

    /// Adds a change to feature `d` over the rows `segment` of a window [W, D].
    fn add(&self, window: &mut [f32], segment: Range<usize>, d: usize, change: Vec<f32>) {
        for (t, delta) in segment.zip(change) {
            window[t * self.matrix.features() + d] += delta;
        }
    }

    /// A segment of log-uniform length that meets the window, and the weights of its blending: it may
    /// have begun before the window, and may end behind it.
    fn clipped_segment(&self, rng: &mut Rng) -> (Range<usize>, Vec<f32>) {
        let size = self.size();
        let length = (rng.log_uniform(1.0, LONGEST * size as f64).round() as usize).max(1);
        let end = 1 + rng.below(size + length - 1); // behind its last row; its first is end - length
        let rows = end.saturating_sub(length)..end.min(size);
        let missed = length.saturating_sub(end);
        let weights = blend_weights(length)[missed..missed + rows.len()].to_vec();
        (rows, weights)
    }

    /// Live feature `i` of residual `pick` over `segment`.
    fn residual(&self, pick: usize, i: usize, segment: Range<usize>) -> Vec<f32> {
        let (width, first) = (self.live.len(), pick * self.size());
        segment.map(|t| self.residuals.values[(first + t) * width + i]).collect()
    }

    /// A segment of log-uniform length, anywhere in the window.
    fn segment(&self, rng: &mut Rng) -> Range<usize> {
        let size = self.size();
        let length = (rng.log_uniform(1.0, size as f64).round() as usize).clamp(1, size);
        let start = rng.below(size - length + 1);
        start..start + length
    }
}

impl Negatives {
    /// Whether the VAE makes them.
    fn is_of_the_vae(self) -> bool {
        matches!(self, Self::Genias | Self::Deformed)
    }
}

/// The sources that one is made of, in equal parts.
fn parts(kind: Negatives) -> &'static [Negatives] {
    match kind {
        Negatives::Genias => &[Negatives::Genias],
        Negatives::Deformed => &[Negatives::Deformed],
        Negatives::Classical => &[Negatives::Classical],
        Negatives::Noise => &[Negatives::Noise],
        Negatives::Mixed => &[Negatives::Genias, Negatives::Classical],
        Negatives::All => &[Negatives::Genias, Negatives::Classical, Negatives::Noise],
    }
}

/// A change whose ends are blended into the input.
fn blended(shape: &[f32], weights: &[f32]) -> Vec<f32> {
    shape.iter().zip(weights).map(|(delta, weight)| delta * weight).collect()
}

/// White noise, a random walk or a shift.
fn noise(length: usize, rng: &mut Rng) -> Vec<f32> {
    match rng.below(3) {
        0 => rng.normals(length),
        1 => {
            let mut at = 0.0;
            let steps = rng.normals(length).into_iter();
            steps
                .map(|step| {
                    at += step;
                    at
                })
                .collect()
        }
        _ => vec![1.0; length],
    }
}

/// dec(mu + dz) - dec(mu + sigma eps) of some windows, flat [n, W, D]: dz is psi sigma eps, or
/// sigma eps and a sparse shift of the mean by psi / 2 in units of the prior. On demand dec(mu), too.
fn residual_share(
    vae: &Vae,
    starts: Vec<usize>,
    live: &Matrix,
    with_plain: bool,
    rng: &mut Rng,
) -> Result<Residuals> {
    let architecture = vae.architecture();
    let (n, latent) = (starts.len(), architecture.latent);
    let shape = (n, architecture.window, architecture.features);
    let x = Tensor::from_vec(live.gather(&starts, architecture.window), shape, &Device::Cpu)?;
    let (mu, log_variance) = vae.encode(&x)?;
    let sigma = log_variance.affine(0.5, 0.0)?.exp()?.flatten_all()?.to_vec1::<f32>()?;
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
    let (perturbed, plain) = crate::vae::halves(&both)?;
    let values = (perturbed - plain)?.flatten_all()?.to_vec1()?;
    let plain = if with_plain { vae.decode(&mu)?.flatten_all()?.to_vec1()? } else { Vec::new() };
    Ok(Residuals { starts, values, plain })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array};

    use super::*;
    use crate::columns::{Columns, Series};
    use crate::config::FitConfig;
    use crate::control::RunToEnd;
    use crate::detector::reconstruction;

    const WINDOW: usize = 32;
    const START: usize = 11;
    const KINDS: [Negatives; 6] = [
        Negatives::Genias,
        Negatives::Deformed,
        Negatives::Classical,
        Negatives::Noise,
        Negatives::Mixed,
        Negatives::All,
    ];

    /// A model, hardly trained, of `live` noisy sines and `constant` constants, and its matrices.
    fn model(live: usize, constant: usize) -> (Model, Matrix, Matrix) {
        let feature = |d: usize| -> (String, ArrayRef) {
            let noise = Rng::new(d as u64, Purpose::Place, [0, 0]).normals(200);
            let wave = |(t, e): (usize, f32)| (t as f64 / 3.0).sin() + 0.1 * f64::from(e);
            let values = noise.into_iter().enumerate();
            let values = values.map(|row| if d < live { wave(row) } else { d as f64 });
            (format!("x{d}"), Arc::new(Float64Array::from_iter_values(values)))
        };
        let columns = Columns::new((0..live + constant).map(feature).collect()).unwrap();
        let series = Series::whole(&columns);
        let config = FitConfig { window: WINDOW, steps: 2, channels: 4, ..FitConfig::default() };
        let model = crate::fit(&series, &config, &RunToEnd).unwrap();
        let matrix = model.normaliser.apply_all(&series, &RunToEnd).unwrap();
        let live = model.normaliser.apply(&series, &RunToEnd).unwrap();
        (model, matrix, live)
    }

    /// `n` anomalies, all of them on the window at [`START`].
    fn draw(data: &(Model, Matrix, Matrix), kind: (Negatives, u64), n: usize, key: u64) -> Drawn {
        let (model, matrix, live) = data;
        let source = Source::new(model, (matrix, live), &[START], kind, 64, &RunToEnd).unwrap();
        let Anomalous { windows, hit, .. } = source.draw(n, key);
        let features = matrix.features();
        assert_eq!((windows.len(), hit.len()), (n * WINDOW * features, n * WINDOW));
        assert!(windows.iter().all(|z| z.is_finite()));
        let input = matrix.window(START, WINDOW);
        let delta = |window: &[f32]| window.iter().zip(input).map(|(y, x)| y - x).collect();
        let deltas = windows.chunks_exact(WINDOW * features).map(delta);
        deltas.zip(hit.chunks_exact(WINDOW).map(<[bool]>::to_vec)).collect()
    }

    /// What every anomaly adds, [W, D], and the rows that it is said to hit.
    type Drawn = Vec<(Vec<f32>, Vec<bool>)>;

    fn column(delta: &[f32], features: usize, d: usize) -> impl Iterator<Item = f32> + '_ {
        delta.iter().skip(d).step_by(features).copied()
    }

    #[test]
    fn rows_are_hit_where_they_change() {
        for (live, constant) in [(1, 0), (2, 0), (2, 5), (0, 2)] {
            let (data, features) = (model(live, constant), live + constant);
            for kind in KINDS {
                for (delta, hit) in draw(&data, (kind, 3), 150, 0) {
                    let rows = delta.chunks_exact(features);
                    let changed: Vec<bool> = rows.map(|z| z.iter().any(|z| *z != 0.0)).collect();
                    assert!(changed.contains(&true), "{kind:?}");
                    // Of classical anomalies and deformations, a row may keep its value by chance.
                    let exact = live == 0
                        || parts(kind)
                            .iter()
                            .all(|p| !matches!(p, Negatives::Classical | Negatives::Deformed));
                    let inside = changed.iter().zip(&hit).all(|(changed, hit)| !changed || *hit);
                    assert!(inside && (!exact || changed == hit), "{kind:?}: {changed:?} {hit:?}");
                }
            }
        }
    }

    #[test]
    fn strengths_are_within_their_range() {
        let data = model(3, 0);
        for kind in [Negatives::Genias, Negatives::Noise] {
            let (mut low, mut high, mut subsets) = (f32::MAX, 0f32, [0; 4]);
            for (delta, hit) in draw(&data, (kind, 0), 400, 1) {
                let segment = |d| {
                    let rows = column(&delta, 3, d).zip(&hit).filter(|(_, hit)| **hit);
                    rms(&rows.map(|(delta, _)| delta).collect::<Vec<_>>())
                };
                let strengths: Vec<f32> = (0..3).map(segment).filter(|x| *x > 0.0).collect();
                subsets[strengths.len()] += 1;
                let most = strengths.iter().fold(0f32, |most, x| most.max(*x));
                assert!(strengths.iter().all(|x| (x / most - 1.0).abs() < 1e-4), "{strengths:?}");
                (low, high) = (low.min(most), high.max(most));
            }
            assert!((0.349..0.4).contains(&low) && (7.0..8.01).contains(&high), "{low} {high}");
            assert!(subsets[0] == 0 && subsets[1..].iter().all(|n| *n > 20), "{subsets:?}");
        }
    }

    #[test]
    fn deformations_can_be_seen_and_are_cut_off_by_the_window() {
        let data = model(3, 0);
        let (mut at_start, mut at_end) = (0, 0);
        for (delta, hit) in draw(&data, (Negatives::Deformed, 0), 400, 1) {
            for d in 0..3 {
                let rows = column(&delta, 3, d).zip(&hit).filter(|(_, hit)| **hit);
                let change = rms(&rows.map(|(delta, _)| delta).collect::<Vec<_>>());
                assert!(change == 0.0 || change > 0.99 * LEAST, "{change}");
            }
            at_start += usize::from(hit[0]);
            at_end += usize::from(hit[WINDOW - 1]);
        }
        // Segments that lie inside would reach either end in one of fourteen.
        assert!(at_start > 75 && at_end > 75, "{at_start} {at_end}");
    }

    #[test]
    fn what_is_deformed_is_the_decoding_of_the_same_window() {
        let (model, matrix, live) = model(2, 1);
        let vae = model.vae.as_ref().unwrap();
        let source = |kind| {
            let starts = &[0, START, 90];
            Source::new(&model, (&matrix, &live), starts, (kind, 0), 64, &RunToEnd).unwrap()
        };
        for kind in KINDS.into_iter().filter(|kind| *kind != Negatives::Deformed) {
            assert!(source(kind).residuals.plain.is_empty(), "{kind:?}");
        }
        let Residuals { starts, plain, values } = source(Negatives::Deformed).residuals;
        assert_eq!((starts.len(), plain.len(), values.len()), (64, 128 * WINDOW, 128 * WINDOW));
        for (i, found) in plain.chunks_exact(2 * WINDOW).enumerate() {
            let x =
                Tensor::from_slice(&live.window(starts[i], WINDOW), (1, WINDOW, 2), &Device::Cpu);
            let expected = reconstruction::decode_mean(vae, &x.unwrap()).unwrap();
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "window {i} at {}", starts[i]);
        }
    }

    /// A fifth of the anomalies hit constants, half of these nothing else.
    #[test]
    fn constants_are_hit_now_and_then() {
        let (live, constant, n) = (2, 6, 1000);
        let data = model(live, constant);
        let (mut with, mut alone) = (0, 0);
        for (delta, _) in draw(&data, (Negatives::Noise, 0), n, 2) {
            let hit = |d: &usize| column(&delta, live + constant, *d).any(|z| z != 0.0);
            let constants = (live..live + constant).filter(hit).count();
            assert!(constants <= CONSTANT_MOST);
            with += usize::from(constants > 0);
            alone += usize::from(constants > 0 && !(0..live).any(|d| hit(&d)));
        }
        assert!((150..250).contains(&with) && (70..130).contains(&alone), "{with} {alone}");
    }

    #[test]
    fn the_same_key_draws_the_same() {
        let data = model(2, 1);
        for kind in KINDS {
            let one = draw(&data, (kind, 0), 20, 5);
            assert_eq!(draw(&data, (kind, 0), 20, 5), one);
            assert_eq!(draw(&data, (kind, 0), 7, 5), one[..7]);
            assert_ne!(draw(&data, (kind, 0), 20, 6), one);
            assert_ne!(draw(&data, (kind, 1), 20, 5), one);
        }
    }
}
