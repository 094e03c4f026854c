//! Training: both stages in turn, then the choice of the normal class.

use super::neighbours::Neighbours;
use super::net::Carla;
use super::resnet::{ResNet, WIDTH};
use super::stage::Pool;
use super::{classify, pretext};
use crate::detector::nets::NetTask;
use crate::error::Result;
use crate::nn::Parameters;
use crate::nn::parameters::Store;
use crate::runtime::control::{Control, Part};

/// Normal windows among which neighbours are searched; as many negatives are added.
const CANDIDATES: usize = 2048;

/// Trains both stages on at least one normal window; returns the parameters, and the class of most
/// normal windows. Each stage takes half of `detector_steps`: twice as many did not help.
///
/// # Errors
/// [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
pub(super) fn train(task: &NetTask<'_>, control: &dyn Control) -> Result<(Parameters, usize)> {
    let (features, config) = (task.matrix.features(), task.config);
    let (candidates, all) = (Pool::new(*task, CANDIDATES), Pool::new(*task, usize::MAX));
    let stage = |stage| Part::new(control, stage, 2);
    let parameters = pretext::train(&all, &stage(0))?;
    let encoder = Store::load(&parameters, |scope| ResNet::build(features, scope))?;
    let points = candidates.each(candidates.len(), control, |x| encoder.forward(x))?;
    let neighbours = Neighbours::find(&points, WIDTH, config.neighbours, control)?;
    let parameters = classify::train(&candidates, &neighbours, &parameters, &stage(1))?;
    let carla = Carla::new(&parameters, features, config, 0)?;
    let normal = all.each(all.starts.len(), control, |x| carla.probabilities(x))?;
    Ok((parameters, majority(&normal, config.classes)))
}

/// The class with the highest probability in most rows of `probabilities` [n, classes], the first
/// one of equals.
fn majority(probabilities: &[f32], classes: usize) -> usize {
    let mut counts = vec![0usize; classes];
    for row in probabilities.chunks_exact(classes) {
        counts[first_largest(row)] += 1;
    }
    first_largest(&counts)
}

/// Index of the largest value, the first one of equals.
fn first_largest<T: PartialOrd>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use candle_core::{Device, Tensor};

    use super::super::stage;
    use super::*;
    use crate::config::{DetectConfig, FitConfig, Negatives};
    use crate::data::columns::Columns;
    use crate::data::normalise::Matrix;
    use crate::data::series::Series;
    use crate::detector::negatives::{NegativeSampler, NegativesPlan};
    use crate::error::Error;
    use crate::generator::Generator;
    use crate::runtime::control::RunToEnd;
    use crate::runtime::rng::{Purpose, Rng};

    const WINDOW: usize = 32;

    /// A noisy sine, and a barely trained model: its VAE is not used here.
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
        let plan = NegativesPlan { source: Negatives::Noise, seed: config.seed, residuals: 64 };
        let source = NegativeSampler::new(generator, matrix, matrix, starts, plan, control)?;
        let negatives = &source;
        let task = NetTask { matrix, starts, window: WINDOW, negatives, config, net: 0 };
        super::train(&task, control)
    }

    /// Share of (shifted, normal) pairs of later windows where the shifted one has the higher
    /// score.
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
            stage::values(&carla.forward(&x).unwrap()).unwrap()
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

    /// The same bytes with any number of threads, and in a shared pool.
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
                    stage::values(&parameters[name]).unwrap()
                })
                .collect();
            (values, normal)
        };
        let one = in_pool(1, &RunToEnd);
        assert_eq!(one, in_pool(2, &RunToEnd));
        assert_eq!(one, in_pool(2, &Shared));
        let other = DetectConfig { seed: 1, ..config.clone() };
        let other = train(&data, &starts, &other, &RunToEnd).unwrap();
        assert_ne!(one.0[..4], stage::values(&other.0["blocks.0.conv1.weight"]).unwrap()[..4]);
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
        let score = stage::values(&carla.forward(&x.unwrap()).unwrap()).unwrap();
        // The only window is in the normal class, which is then the likelier of two.
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

    /// The first `n` windows of a pool are normal, negatives follow.
    #[test]
    fn negatives_have_no_vote() {
        let (model, matrix) = sine(0);
        let starts = [3, 50, 90];
        let plan = NegativesPlan { source: Negatives::Noise, seed: 0, residuals: 0 };
        let source =
            NegativeSampler::new(&model, &matrix, &matrix, &starts, plan, &RunToEnd).unwrap();
        let config = &DetectConfig::default();
        let (matrix, negatives) = (&matrix, &source);
        let task = NetTask { matrix, starts: &starts, window: WINDOW, negatives, config, net: 0 };
        let pool = Pool::new(task, usize::MAX);
        let seen = pool.each(3, &RunToEnd, |x| Ok(x.clone())).unwrap();
        assert_eq!(seen, matrix.gather(&starts, WINDOW));
        let all = pool.each(pool.len(), &RunToEnd, |x| Ok(x.clone())).unwrap();
        assert_eq!(all.len(), 6 * WINDOW);
        assert_eq!(all[..3 * WINDOW], seen);
        assert_ne!(all[3 * WINDOW..4 * WINDOW], all[4 * WINDOW..5 * WINDOW]);
    }
}
