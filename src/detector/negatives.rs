//! Negatives: windows with an anomaly, to train detectors on.

use std::ops::Range;

use crate::anomaly::blend::{blend_weights, rescale};
use crate::anomaly::change::Change;
use crate::anomaly::classical::{ClassicalSource, Kind};
use crate::anomaly::constant::{CONSTANT_RATE, ConstantSource};
use crate::anomaly::latent::deform::Deformation;
use crate::anomaly::noise::NoiseSource;
use crate::anomaly::source::{Source, Window, splice};
use crate::config::Negatives;
use crate::data::normalise::Matrix;
use crate::error::Result;
use crate::generator::Generator;
use crate::generator::residuals::{DeformedSource, ResidualSource, Residuals};
use crate::runtime::control::Control;
use crate::runtime::rng::{Purpose, Rng};
use crate::stats::rms;

/// Strength of an anomaly in training standard deviations (RMS over its segment), log-uniform.
const STRENGTH: (f64, f64) = (0.35, 8.0);
/// Minimum change of a deformation, in training standard deviations (RMS); smaller ones are scaled
/// to a strength.
const LEAST: f32 = 0.1;
/// Longest segment of a deformation, in windows; rows outside the window are cut off.
const LONGEST: f64 = 1.5;

/// A segment of a window, and the weights of its blending.
struct Blended {
    segment: Range<usize>,
    weights: Vec<f32>,
}

/// Windows with an anomaly each: values [n, W, D] in z-scores, and which rows it hits, [n, W].
pub(crate) struct Anomalous {
    pub windows: Vec<f32>,
    pub hit: Vec<bool>,
    /// Rows in which the series lacks a value, which are ignored; empty if there are none.
    pub missing: Vec<bool>,
}

/// Which anomalies to draw.
#[derive(Clone, Copy)]
pub(crate) struct NegativesPlan {
    /// Their source.
    pub source: Negatives,
    pub seed: u64,
    /// Number of stored residuals of the VAE; each is used several times, for other segments and
    /// features.
    pub residuals: usize,
}

/// Draws anomalies for training.
pub(crate) struct NegativeSampler<'a> {
    generator: &'a Generator,
    matrix: &'a Matrix,
    starts: &'a [usize],
    plan: NegativesPlan,
    live: Vec<usize>,
    constant: Vec<usize>,
    residuals: Residuals,
}

impl<'a> NegativeSampler<'a> {
    /// Anomalies on the windows at `starts` of `matrix` [T, D]; `live` holds the live features.
    pub(crate) fn new(
        generator: &'a Generator,
        matrix: &'a Matrix,
        live: &Matrix,
        starts: &'a [usize],
        plan: NegativesPlan,
        control: &dyn Control,
    ) -> Result<Self> {
        let NegativesPlan { source, seed, residuals } = plan;
        let uses_vae = parts(source).iter().any(|kind| kind.is_of_the_vae());
        let residuals = match &generator.vae {
            Some(vae) if uses_vae => {
                let with_plain = source == Negatives::Deformed;
                Residuals::draw(vae, live, starts, residuals, with_plain, seed, control)?
            }
            _ => Residuals::default(),
        };
        let (live, constant) =
            (generator.normaliser.live_features(), generator.normaliser.constant_features());
        Ok(Self { generator, matrix, starts, plan, live, constant, residuals })
    }

    fn size(&self) -> usize {
        self.generator.config.window
    }

    /// `n` windows with an anomaly each; deterministic for the same `key`.
    pub(crate) fn draw(&self, n: usize, key: u64) -> Anomalous {
        let size = self.size();
        let (windows, missing) = (Vec::new(), Vec::new());
        let mut drawn = Anomalous { windows, hit: vec![false; n * size], missing };
        for (i, hit) in drawn.hit.chunks_exact_mut(size).enumerate() {
            let mut rng = Rng::new(self.plan.seed, Purpose::Negative, [key, i as u64]);
            let (window, missing) = self.draw_one(hit, &mut rng);
            drawn.windows.extend(window);
            drawn.missing.extend(missing);
        }
        drawn
    }

    /// A window with an anomaly, and which of its rows lack a value.
    fn draw_one(&self, hit: &mut [bool], rng: &mut Rng) -> (Vec<f32>, Vec<bool>) {
        let parts = parts(self.plan.source);
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
        if !constants_only {
            self.hit_live(&mut window, hit, kind, pick, rng);
        }
        (window, self.matrix.rows_missing(start, self.size()))
    }

    fn hit_constants(&self, window: &mut [f32], hit: &mut [bool], rng: &mut Rng) {
        let segment = self.segment(rng);
        let mean = &self.generator.normaliser.mean;
        let source = ConstantSource { features: &self.constant, mean };
        for change in source.changes(self.view(window), &segment, rng) {
            splice(window, self.matrix.features(), segment.start, &change);
            hit[segment.start..segment.start + change.delta.len()].fill(true);
        }
    }

    /// An anomaly on some of the live features.
    fn hit_live(
        &self,
        window: &mut [f32],
        hit: &mut [bool],
        kind: Negatives,
        pick: usize,
        rng: &mut Rng,
    ) {
        let (live, residuals) = (&self.live[..], &self.residuals);
        let (segment, changes) = match kind {
            Negatives::Classical => {
                let kind = Kind::CARLA[rng.below(Kind::CARLA.len())];
                let source = ClassicalSource { kind, live };
                let segment = source.segment(self.size(), rng);
                let changes = source.changes(self.view(window), &segment, rng);
                (segment, changes)
            }
            Negatives::Deformed => {
                let deformation = Deformation::draw(self.size(), residuals.starts.len(), rng);
                let source = DeformedSource { residuals, pick, deformation, live };
                let placed = self.clipped_segment(rng);
                let least = (deformation != Deformation::Residual).then_some(LEAST);
                self.sized(&source, self.view(window), placed, least, rng)
            }
            Negatives::Genias => {
                let source = ResidualSource { residuals, pick, live };
                self.sized(&source, self.view(window), self.blended_segment(rng), None, rng)
            }
            _ => {
                let source = NoiseSource { live };
                self.sized(&source, self.view(window), self.blended_segment(rng), None, rng)
            }
        };
        changes.iter().for_each(|change| {
            splice(window, self.matrix.features(), segment.start, change);
        });
        hit[segment].fill(true);
    }

    fn view<'b>(&self, values: &'b [f32]) -> Window<'b> {
        Window { values, features: self.matrix.features() }
    }

    /// The changes of a source, blended into the window by the weights of the segment and scaled to
    /// a random strength: all changes, or only those below a `least` strength.
    fn sized(
        &self,
        source: &impl Source,
        window: Window<'_>,
        placed: Blended,
        least: Option<f32>,
        rng: &mut Rng,
    ) -> (Range<usize>, Vec<Change>) {
        let Blended { segment, weights } = placed;
        let strength = rng.log_uniform(STRENGTH.0, STRENGTH.1) as f32;
        let up = rng.below(2) == 0;
        let mut changes = source.changes(window, &segment, rng);
        for Change { delta, .. } in &mut changes {
            delta.iter_mut().zip(&weights).for_each(|(delta, weight)| *delta *= weight);
            if least.is_none_or(|least| rms(delta) < least) {
                rescale(delta, &weights, strength, up);
            }
        }
        (segment, changes)
    }

    /// A segment anywhere in the window, and the weights of its blending.
    fn blended_segment(&self, rng: &mut Rng) -> Blended {
        let segment = self.segment(rng);
        let weights = blend_weights(segment.len());
        Blended { segment, weights }
    }

    /// A segment of log-uniform length that overlaps the window, and the weights of its blending:
    /// it may begin before the window and end after it.
    fn clipped_segment(&self, rng: &mut Rng) -> Blended {
        let size = self.size();
        let length = (rng.log_uniform(1.0, LONGEST * size as f64).round() as usize).max(1);
        let end = 1 + rng.below(size + length - 1); // after its last row; its first is end - length
        let segment = end.saturating_sub(length)..end.min(size);
        let missed = length.saturating_sub(end);
        let weights = blend_weights(length)[missed..missed + segment.len()].to_vec();
        Blended { segment, weights }
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
    /// Whether the VAE generates them.
    fn is_of_the_vae(self) -> bool {
        matches!(self, Self::Genias | Self::Deformed)
    }
}

/// The sources that one combines, in equal parts.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array};

    use candle_core::{Device, Tensor};

    use super::*;
    use crate::config::FitConfig;
    use crate::data::columns::Columns;
    use crate::data::series::Series;
    use crate::runtime::control::RunToEnd;

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

    /// A barely trained model of `live` noisy sines and `constant` constants, and its matrices.
    fn model(live: usize, constant: usize) -> (Generator, Matrix, Matrix) {
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
        let (generator, _) = crate::generator::fit::fit(&series, &config, &RunToEnd).unwrap();
        let matrix = generator.normaliser.apply_all(&series, &RunToEnd).unwrap();
        let live = generator.normaliser.apply(&series, &RunToEnd).unwrap();
        (generator, matrix, live)
    }

    /// `n` anomalies, all of them on the window at [`START`].
    fn draw(
        data: &(Generator, Matrix, Matrix),
        kind: (Negatives, u64),
        n: usize,
        key: u64,
    ) -> Drawn {
        let (generator, matrix, live) = data;
        let plan = NegativesPlan { source: kind.0, seed: kind.1, residuals: 64 };
        let source =
            NegativeSampler::new(generator, matrix, live, &[START], plan, &RunToEnd).unwrap();
        let Anomalous { windows, hit, .. } = source.draw(n, key);
        let features = matrix.features();
        assert_eq!((windows.len(), hit.len()), (n * WINDOW * features, n * WINDOW));
        assert!(windows.iter().all(|z| z.is_finite()));
        let input = matrix.window(START, WINDOW);
        let delta = |window: &[f32]| window.iter().zip(&*input).map(|(y, x)| y - x).collect();
        let deltas = windows.chunks_exact(WINDOW * features).map(delta);
        deltas.zip(hit.chunks_exact(WINDOW).map(<[bool]>::to_vec)).collect()
    }

    /// The change of every anomaly, [W, D], and the rows marked as hit.
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
                    // Classical anomalies and deformations may leave a row unchanged by chance.
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
        // Segments inside the window would reach either end in one of fourteen.
        assert!(at_start > 75 && at_end > 75, "{at_start} {at_end}");
    }

    #[test]
    fn what_is_deformed_is_the_decoding_of_the_same_window() {
        let (generator, matrix, live) = model(2, 1);
        let vae = generator.vae.as_ref().unwrap();
        let source = |kind| {
            let starts = &[0, START, 90];
            let plan = NegativesPlan { source: kind, seed: 0, residuals: 64 };
            NegativeSampler::new(&generator, &matrix, &live, starts, plan, &RunToEnd).unwrap()
        };
        for kind in KINDS.into_iter().filter(|kind| *kind != Negatives::Deformed) {
            assert!(source(kind).residuals.plain.is_empty(), "{kind:?}");
        }
        let Residuals { starts, plain, values, .. } = source(Negatives::Deformed).residuals;
        assert_eq!((starts.len(), plain.len(), values.len()), (64, 128 * WINDOW, 128 * WINDOW));
        for (i, found) in plain.chunks_exact(2 * WINDOW).enumerate() {
            let x =
                Tensor::from_slice(&live.window(starts[i], WINDOW), (1, WINDOW, 2), &Device::Cpu);
            let expected = vae.decode_mean(&x.unwrap()).unwrap();
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near, "window {i} at {}", starts[i]);
        }
    }

    /// A fifth of the anomalies hit constants, half of these only constants.
    #[test]
    fn constants_are_hit_now_and_then() {
        let (live, constant, n) = (2, 6, 1000);
        let data = model(live, constant);
        let (mut with, mut alone) = (0, 0);
        for (delta, _) in draw(&data, (Negatives::Noise, 0), n, 2) {
            let hit = |d: &usize| column(&delta, live + constant, *d).any(|z| z != 0.0);
            let constants = (live..live + constant).filter(hit).count();
            assert!(constants <= crate::anomaly::constant::CONSTANT_MOST);
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
