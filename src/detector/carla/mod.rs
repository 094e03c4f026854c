//! CARLA (Darban et al., 2025, "CARLA: self-supervised contrastive representation learning for
//! time series anomaly detection", Pattern Recognition 157, 110874): representations that tell
//! windows from anomalies made of them, then classes that neighbours agree on.
//!
//! ```text
//! windows, negatives -> pretext (triplets) -> neighbours -> classify -> 1 - P(normal class)
//! ```
//!
//! Where it differs from the publication: the encoder has no normalisation layers and
//! representations no unit length (`resnet`), there is no projection behind the pooling, the margin
//! stays as it is, and negatives are of any source.

mod classify;
mod neighbours;
mod pretext;
mod resnet;
pub(super) mod spec;

use candle_core::{D, Device, Tensor};
use candle_nn::ops::softmax;

use super::classifier::{LIMIT, limit};
use super::negatives::NegativeSampler;
use super::nets::NetTask;
use super::score_rows::Detector;
use crate::config::DetectConfig;
use crate::data::batches::map_shares;
use crate::data::normalise::Matrix;
use crate::data::windows::spread;
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::nn::descent::Plan;
use crate::nn::parameters::{Linear, Scope, Store};
use crate::runtime::control::{Control, Part};
use resnet::{ResNet, WIDTH};

/// Optimiser steps of both stages together where none are given.
pub(crate) const STEPS: usize = 300;
/// Normal windows that neighbours are looked for among, and as many negatives.
const CANDIDATES: usize = 2048;
/// Learning rate of both stages in units of `detector_learning_rate`, whose default suits the
/// classifier: with it the 0.01 that the publication's classes are trained at.
const RATE: f64 = 5.0;

/// The trained net: class probabilities of a window, and the class that is normal.
#[derive(Clone, Debug)]
pub(crate) struct Carla {
    encoder: ResNet,
    head: Linear,
    temperature: f64,
    normal_class: usize,
}

impl Carla {
    /// Declares its parameters, for windows of `features` features.
    pub(crate) fn build(
        features: usize,
        config: &DetectConfig,
        scope: &mut Scope<'_, '_>,
    ) -> Result<Self> {
        Ok(Self {
            encoder: ResNet::build(features, scope)?,
            head: scope.linear("head", WIDTH, config.classes)?,
            temperature: config.temperature,
            normal_class: 0,
        })
    }

    /// With parameters, and the class that is normal.
    ///
    /// # Errors
    /// [`Error::Model`] where a parameter is missing, or there is no class `normal_class`.
    pub(crate) fn new(
        parameters: &Parameters,
        features: usize,
        config: &DetectConfig,
        normal_class: usize,
    ) -> Result<Self> {
        if normal_class >= config.classes {
            let text = format!("normal class {normal_class} of {} classes", config.classes);
            return Err(Error::Model(text));
        }
        let carla = Store::load(parameters, |scope| Self::build(features, config, scope))?;
        Ok(Self { normal_class, ..carla })
    }

    /// Trains both stages on at least one normal window: parameters, and the class that most of the
    /// normal windows fall into. Each stage takes half of `detector_steps`: twice as many did not help.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::Interrupted`].
    pub(crate) fn train(task: &NetTask<'_>, control: &dyn Control) -> Result<(Parameters, usize)> {
        let NetTask { matrix, starts, window, negatives, config, net } = *task;
        let pool = |most: usize| Pool {
            matrix,
            starts: spread(starts, most),
            window,
            negatives,
            key: (2 * net + 1) << 32,
        };
        let (candidates, all) = (pool(CANDIDATES), pool(usize::MAX));
        let stage = |stage| Part::new(control, stage, 2);
        let parameters = pretext::train(&all, (config, net), &stage(0))?;
        let encoder = Store::load(&parameters, |scope| ResNet::build(matrix.features(), scope))?;
        let points = candidates.each(candidates.len(), control, |x| encoder.forward(x))?;
        let neighbours = neighbours::Neighbours::find(&points, WIDTH, config.neighbours, control)?;
        let parameters =
            classify::train(&candidates, &neighbours, &parameters, (config, net), &stage(1))?;
        let carla = Self::new(&parameters, matrix.features(), config, 0)?;
        let normal = all.each(all.starts.len(), control, |x| carla.probabilities(x))?;
        Ok((parameters, majority(&normal, config.classes)))
    }

    /// Windows [B, W, D], z-scores behind [`limit`] -> 1 - P(normal class) in [0, 1], [B].
    ///
    /// It is the sum over the other classes, which keeps small differences near 0.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let probabilities = self.probabilities(x)?;
        let classes = probabilities.dim(D::Minus1)?;
        let others = (0..classes).map(|class| f32::from(u8::from(class != self.normal_class)));
        let others = Tensor::from_iter(others, x.device())?;
        Ok(probabilities.broadcast_mul(&others)?.sum(D::Minus1)?.minimum(1f64)?)
    }

    /// Windows [B, W, D] -> class probabilities [B, classes].
    fn probabilities(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.head.forward(&self.encoder.forward(x)?)?;
        Ok(softmax(&(logits / self.temperature)?, D::Minus1)?)
    }
}

/// Every row of a window has the score of its window.
impl Detector for Carla {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let scores = self.forward(&windows.clamp(-LIMIT, LIMIT)?)?.to_vec1::<f32>()?;
        let rows = windows.dim(1)?;
        Ok(scores.into_iter().flat_map(|score| std::iter::repeat_n(score, rows)).collect())
    }
}

/// The class that most rows of `probabilities` [n, classes] are highest in, the first of several.
fn majority(probabilities: &[f32], classes: usize) -> usize {
    let mut counts = vec![0usize; classes];
    for row in probabilities.chunks_exact(classes) {
        counts[first_largest(row)] += 1;
    }
    first_largest(&counts)
}

/// Index of the largest value, the first of several.
fn first_largest<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

/// Windows that training draws from: normal ones at `starts`, then as many negatives. Nothing is
/// kept: a window is gathered, and a negative made again, when it is used.
struct Pool<'a> {
    matrix: &'a Matrix,
    starts: Vec<usize>,
    window: usize,
    negatives: &'a NegativeSampler<'a>,
    /// Key of the first negative.
    key: u64,
}

impl Pool<'_> {
    fn len(&self) -> usize {
        2 * self.starts.len()
    }

    /// The window number `item`, flat [W, D].
    fn window(&self, item: usize) -> Vec<f32> {
        match item.checked_sub(self.starts.len()) {
            None => self.matrix.window(self.starts[item], self.window).into_owned(),
            Some(negative) => self.negatives.draw(1, self.key + negative as u64).windows,
        }
    }

    /// The windows `items`, [n, W, D].
    fn gather(&self, items: impl IntoIterator<Item = usize>) -> Result<Tensor> {
        self.tensor(items.into_iter().flat_map(|item| self.window(item)).collect())
    }

    /// Windows one behind the other as [n, W, D], behind [`limit`].
    fn tensor(&self, mut values: Vec<f32>) -> Result<Tensor> {
        limit(&mut values);
        let (window, features) = (self.window, self.matrix.features());
        let n = values.len() / (window * features).max(1);
        Ok(Tensor::from_vec(values, (n, window, features), &Device::Cpu)?)
    }

    /// What `work` gives for the first `n` windows, flat.
    fn each(
        &self,
        n: usize,
        control: &dyn Control,
        work: impl Fn(&Tensor) -> Result<Tensor> + Sync + Send,
    ) -> Result<Vec<f32>> {
        let parts = map_shares(n, control, |items| values(&work(&self.gather(items)?)?))?;
        Ok(parts.concat())
    }
}

/// The values of a tensor, flat.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// The three parts of a batch [3 n, ...] that were put one behind the other.
fn thirds(batch: &Tensor) -> Result<[Tensor; 3]> {
    let n = batch.dim(0)? / 3;
    Ok([batch.narrow(0, 0, n)?, batch.narrow(0, n, n)?, batch.narrow(0, 2 * n, n)?])
}

/// Rates, steps and shares of either stage, of `size` windows each.
fn plan((config, net): (&DetectConfig, u64), size: usize) -> Plan {
    Plan {
        learning_rate: RATE * config.detector_learning_rate,
        steps: config.detector_steps.unwrap_or(STEPS).div_ceil(2),
        shares: config.detector_batch_size.div_ceil(size),
        seed: config.seed,
        net,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;
    use crate::config::{FitConfig, Negatives};
    use crate::data::columns::Columns;
    use crate::data::series::Series;
    use crate::generator::Generator;
    use crate::runtime::control::RunToEnd;
    use crate::runtime::rng::{Purpose, Rng};

    const WINDOW: usize = 32;

    /// A noisy sine, and a model that was hardly trained: its VAE takes no part here.
    fn sine(seed: u64) -> (Generator, Matrix) {
        let noise = Rng::new(seed, Purpose::Detector, [9, 9]).normals(1200);
        let values = noise
            .iter()
            .enumerate()
            .map(|(t, noise)| (t as f64 / 4.0).sin() + 0.05 * f64::from(*noise));
        let values = Arc::new(Float64Array::from_iter_values(values));
        let columns = Columns::new(vec![("x".into(), values)]).unwrap();
        let series = Series::whole(&columns);
        let config = FitConfig { window: WINDOW, steps: 1, channels: 4, ..FitConfig::default() };
        let (generator, _) = crate::generator::fit::fit(&series, &config, &RunToEnd).unwrap();
        let matrix = generator.normaliser.apply_all(&series, &RunToEnd).unwrap();
        (generator, matrix)
    }

    fn train(
        (generator, matrix): &(Generator, Matrix),
        starts: &[usize],
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<(Parameters, usize)> {
        let kind = (Negatives::Noise, config.seed);
        let source = NegativeSampler::new(generator, (matrix, matrix), starts, kind, 64, control)?;
        let negatives = &source;
        let task = NetTask { matrix, starts, window: WINDOW, negatives, config, net: 0 };
        Carla::train(&task, control)
    }

    /// Share of (shifted, normal) pairs of later windows in which the shifted one scores higher.
    fn auc(seed: u64) -> f64 {
        let data = sine(seed);
        let starts: Vec<usize> = (0..700).collect();
        let config = DetectConfig { seed, ..DetectConfig::default() };
        let (parameters, normal) = train(&data, &starts, &config, &RunToEnd).unwrap();
        let carla = Carla::new(&parameters, 1, &config, normal).unwrap();
        let later: Vec<usize> = (740..1160).step_by(3).collect();
        let values = data.1.gather(&later, WINDOW);
        let score = |values: Vec<f32>| {
            let x = Tensor::from_vec(values, (later.len(), WINDOW, 1), &Device::Cpu).unwrap();
            super::values(&carla.forward(&x).unwrap()).unwrap()
        };
        let shifted = values
            .iter()
            .enumerate()
            .map(|(i, x)| if i % WINDOW >= WINDOW / 2 { x + 3.0 } else { *x });
        let (shifted, plain) = (score(shifted.collect()), score(values.clone()));
        assert!(shifted.iter().chain(&plain).all(|score| (0.0..=1.0).contains(score)));
        let wins = shifted.iter().flat_map(|a| plain.iter().map(move |b| a.total_cmp(b)));
        let sum: f64 = wins.map(|order| 0.5 + 0.5 * f64::from(order as i8)).sum();
        sum / (later.len() * later.len()) as f64
    }

    #[test]
    fn shifted_windows_score_higher() {
        for seed in [0, 1] {
            let auc = auc(seed);
            assert!(auc > 0.9, "seed {seed}: {auc}");
        }
    }

    /// The same bytes with any number of threads, also where a pool is shared.
    #[test]
    fn threads_change_nothing() {
        struct Shared;
        impl Control for Shared {
            fn alone(&self) -> bool {
                false
            }
        }
        let data = sine(0);
        let starts: Vec<usize> = (0..300).step_by(5).collect();
        let config = DetectConfig { detector_steps: Some(6), ..DetectConfig::default() };
        let in_pool = |threads, control: &dyn Control| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (parameters, normal) =
                pool.install(|| train(&data, &starts, &config, control)).unwrap();
            let shapes = Store::shapes(|scope| Carla::build(1, &config, scope)).unwrap();
            assert_eq!(parameters.len(), shapes.len());
            let values: Vec<f32> = shapes
                .iter()
                .flat_map(|(name, shape)| {
                    assert_eq!(parameters[name].dims(), shape);
                    super::values(&parameters[name]).unwrap()
                })
                .collect();
            (values, normal)
        };
        let one = in_pool(1, &RunToEnd);
        assert_eq!(one, in_pool(2, &RunToEnd));
        assert_eq!(one, in_pool(2, &Shared));
        let other = DetectConfig { seed: 1, ..config.clone() };
        let other = train(&data, &starts, &other, &RunToEnd).unwrap();
        assert_ne!(one.0[..4], super::values(&other.0["blocks.0.conv1.weight"]).unwrap()[..4]);
    }

    /// One window, fewer points than neighbours, two classes.
    #[test]
    fn smallest_cases_and_a_stop() {
        struct Stop;
        impl Control for Stop {
            fn cancelled(&self) -> bool {
                true
            }
        }
        let data = sine(0);
        let config =
            DetectConfig { detector_steps: Some(2), classes: 2, ..DetectConfig::default() };
        let (parameters, normal) = train(&data, &[7], &config, &RunToEnd).unwrap();
        let carla = Carla::new(&parameters, 1, &config, normal).unwrap();
        let x = Tensor::from_vec(data.1.gather(&[7], WINDOW), (1, WINDOW, 1), &Device::Cpu);
        let score = super::values(&carla.forward(&x.unwrap()).unwrap()).unwrap();
        // The only window is of the normal class, so that class is the likelier of two.
        assert!(score[0] <= 0.5, "{score:?}");
        assert!(matches!(train(&data, &[7], &config, &Stop), Err(Error::Interrupted)));
        assert!(Carla::new(&parameters, 1, &config, 2).is_err());
        assert!(Carla::new(&Parameters::new(), 1, &config, 0).is_err());
    }

    #[test]
    fn majority_is_the_first_of_the_most_frequent() {
        let rows = [0.2, 0.3, 0.5, 0.4, 0.4, 0.2, 0.1, 0.8, 0.1, 0.1, 0.2, 0.7];
        assert_eq!(majority(&rows, 3), 2);
        assert_eq!(majority(&rows[..9], 3), 0);
    }

    /// The first `n` windows of a pool are the normal ones, negatives come behind them.
    #[test]
    fn negatives_have_no_vote() {
        let (model, matrix) = sine(0);
        let starts = [3, 50, 90];
        let source = NegativeSampler::new(
            &model,
            (&matrix, &matrix),
            &starts,
            (Negatives::Noise, 0),
            0,
            &RunToEnd,
        )
        .unwrap();
        let pool = Pool {
            matrix: &matrix,
            starts: starts.to_vec(),
            window: WINDOW,
            negatives: &source,
            key: 0,
        };
        let seen = pool.each(3, &RunToEnd, |x| Ok(x.clone())).unwrap();
        assert_eq!(seen, matrix.gather(&starts, WINDOW));
        let all = pool.each(pool.len(), &RunToEnd, |x| Ok(x.clone())).unwrap();
        assert_eq!(all.len(), 6 * WINDOW);
        assert_eq!(all[..3 * WINDOW], seen);
        assert_ne!(all[3 * WINDOW..4 * WINDOW], all[4 * WINDOW..5 * WINDOW]);
    }
}
