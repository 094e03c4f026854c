//! Second stage: classes that a window shares with its nearest neighbours, and not with its
//! furthest ones.

use candle_core::{D, Device, Tensor};

use super::neighbours::Neighbours;
use super::net::Carla;
use super::stage::{Pool, plan, thirds, values};
use crate::config::DetectConfig;
use crate::detector::nets::NetTask;
use crate::error::Result;
use crate::nn::Parameters;
use crate::nn::descent::Descent;
use crate::nn::parameters::Scope;
use crate::nn::training::train as train_net;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// Anchors per task.
const SHARE: usize = 8;
/// Added to a probability before its logarithm.
const EPSILON: f64 = 1e-6;

/// The windows of one step by share, anchors and then a nearest and a furthest neighbour of each
/// [3 SHARE, W, D], and the log of the mean class probabilities of all anchors.
struct ClassBatch {
    shares: Vec<Tensor>,
    log_mean: Tensor,
}

/// Trains a class head together with the encoder of `pretext`. Every step has two passes: one
/// without gradients over the anchors, for the class distribution of the whole batch, and one with
/// the neighbours.
pub(super) fn train(
    pool: &Pool<'_>,
    neighbours: &Neighbours,
    pretext: &Parameters,
    control: &dyn Control,
) -> Result<Parameters> {
    let NetTask { matrix, config, net, .. } = pool.task;
    let features = matrix.features();
    let plan = plan(&pool.task, SHARE);
    let (shares, batch) = (plan.shares, plan.shares * SHARE);
    let build = |scope: &mut Scope<'_, '_>| Carla::build(features, config, scope);
    let prepare = |carla: &Carla, step: usize, control: &dyn Control| -> Result<ClassBatch> {
        let drawn = spread_over_pool(shares, control, |share| {
            let mut rng = Rng::new(
                config.seed,
                Purpose::Detector,
                [(net << 32) + step as u64, (2 << 32) + share as u64],
            );
            let windows = pool.gather(draw(pool.len(), neighbours, &mut rng))?;
            let sum = carla.probabilities(&windows.narrow(0, 0, SHARE)?)?.sum(0)?;
            Ok((windows, values(&sum)?))
        })?;
        let (shares, sums): (Vec<_>, Vec<_>) = drawn.into_iter().unzip();
        Ok(ClassBatch { shares, log_mean: log_mean(&sums, batch)? })
    };
    let loss = |carla: &Carla, ClassBatch { shares, log_mean }: &ClassBatch, share: usize| {
        let probabilities = thirds(&carla.probabilities(&shares[share])?)?;
        class_loss(&probabilities, log_mean, config, batch)
    };
    train_net(&Descent { plan, build, named: pretext, prepare, loss }, control)
}

/// Anchors of one share, then one of the nearest and one of the furthest neighbours of each.
fn draw(items: usize, neighbours: &Neighbours, rng: &mut Rng) -> Vec<usize> {
    let anchors: Vec<usize> = (0..SHARE).map(|_| rng.below(items)).collect();
    let mut drawn = anchors.clone();
    drawn.extend(anchors.iter().map(|&i| neighbours.nearest(i)[rng.below(neighbours.k())]));
    drawn.extend(anchors.iter().map(|&i| neighbours.furthest(i)[rng.below(neighbours.k())]));
    drawn
}

/// Log of the mean of `count` class distributions, whose sums by share are given: [classes].
fn log_mean(sums: &[Vec<f32>], count: usize) -> Result<Tensor> {
    let classes = sums.first().map_or(0, Vec::len);
    let mean = (0..classes).map(|class| {
        let sum: f64 = sums.iter().map(|sum| f64::from(sum[class])).sum();
        (sum / count as f64 + EPSILON).ln() as f32
    });
    Ok(Tensor::from_iter(mean, &Device::Cpu)?)
}

/// Contribution of one share to the mean over `count` anchors of consistency -log(p_a p_near) plus
/// `inconsistency_weight` times inconsistency -log(1 - p_a p_far), minus `entropy_weight` H(q),
/// with the class probabilities p [n, classes] of anchors and neighbours, and q the mean of all
/// p_a.
///
/// With log q constant, -H(q) = sum_a p_a log q / `count` is a sum over shares. Its gradient is
/// exact: the omitted term, the sum over classes of dq, is 0.
fn class_loss(
    [anchors, near, far]: &[Tensor; 3],
    log_mean: &Tensor,
    config: &DetectConfig,
    count: usize,
) -> Result<Tensor> {
    let agreement = |other: &Tensor| (anchors * other)?.sum(D::Minus1);
    let consistency = agreement(near)?.affine(1.0, EPSILON)?.log()?.sum_all()?;
    let inconsistency = agreement(far)?.affine(-1.0, 1.0 + EPSILON)?.log()?.sum_all()?;
    let negative_entropy = anchors.broadcast_mul(log_mean)?.sum_all()?;
    let sum = (negative_entropy.affine(config.entropy_weight, 0.0)?
        - (consistency + inconsistency.affine(config.inconsistency_weight, 0.0)?)?)?;
    Ok(sum.affine(1.0 / count as f64, 0.0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    fn probabilities(rows: &[f32]) -> Tensor {
        Tensor::from_slice(rows, (rows.len() / 2, 2), &Device::Cpu).unwrap()
    }

    fn config() -> DetectConfig {
        DetectConfig { inconsistency_weight: 0.5, entropy_weight: 3.0, ..DetectConfig::default() }
    }

    #[test]
    fn class_loss_by_hand() {
        let parts = [[0.9, 0.1, 0.2, 0.8], [0.8, 0.2, 0.5, 0.5], [0.3, 0.7, 1.0, 0.0]];
        let parts = parts.map(|rows| probabilities(&rows));
        // From two other anchors in another share.
        let log_mean = log_mean(&[vec![1.1, 0.9], vec![0.5, 1.5]], 4).unwrap();
        let loss = class_loss(&parts, &log_mean, &config(), 4).unwrap();
        let consistency = (0.72f64 + 0.02).ln() + (0.1f64 + 0.4).ln();
        let inconsistency = (1.0 - 0.27f64 - 0.07).ln() + (1.0 - 0.2f64).ln();
        let entropy = -(1.1 * 0.4f64.ln() + 0.9 * 0.6f64.ln());
        let expected = (-consistency - 0.5 * inconsistency - 3.0 * entropy) / 4.0;
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-5);
    }

    /// Confident, and in agreement with the furthest: a large but finite loss.
    #[test]
    fn extreme_probabilities_stay_finite() {
        let parts = [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]].map(|row| probabilities(&row));
        let log_mean = log_mean(&[vec![1.0, 0.0]], 1).unwrap();
        let loss = class_loss(&parts, &log_mean, &config(), 1).unwrap();
        let loss = loss.to_scalar::<f32>().unwrap();
        assert!(loss.is_finite() && loss > 15.0, "{loss}");
    }

    /// The gradients of the shares add up to that of the whole batch, whose entropy candle
    /// differentiates.
    #[test]
    fn shares_add_up_to_the_gradient_of_the_batch() {
        let count = 12;
        let mut rng = Rng::new(5, Purpose::Detector, [0, 0]);
        let logits: Vec<Var> = (0..3)
            .map(|_| Var::from_vec(rng.normals(count * 4), (count, 4), &Device::Cpu).unwrap())
            .collect();
        let softmax = |i: usize, at: usize, n: usize| {
            let rows = logits[i].as_tensor().narrow(0, at, n).unwrap();
            candle_nn::ops::softmax(&rows, D::Minus1).unwrap()
        };
        let sums: Vec<Vec<f32>> = (0..3)
            .map(|share| values(&softmax(0, 4 * share, 4).sum(0).unwrap()).unwrap())
            .collect();
        let log_mean = log_mean(&sums, count).unwrap();
        let shares = (0..3).map(|share| {
            let parts = [0, 1, 2].map(|i| softmax(i, 4 * share, 4));
            class_loss(&parts, &log_mean, &config(), count).unwrap()
        });
        let shares = shares.reduce(|a, b| (a + b).unwrap()).unwrap();
        let [anchors, near, far] = [0, 1, 2].map(|i| softmax(i, 0, count));
        let log = |x: Tensor| x.log().unwrap().mean_all().unwrap();
        let dot = |x: &Tensor| (&anchors * x).unwrap().sum(1).unwrap();
        let mean = anchors.mean(0).unwrap();
        let entropy = (&mean * mean.log().unwrap()).unwrap().sum_all().unwrap().neg().unwrap();
        let plain = (log(dot(&near)) + (log((1.0 - dot(&far)).unwrap()) * 0.5).unwrap()).unwrap();
        let plain = (plain + (entropy * 3.0).unwrap()).unwrap().neg().unwrap();
        let difference = |a: &Tensor, b: &Tensor| {
            let d = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
            d.max(0).unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(difference(&shares, &plain) < 1e-4);
        let (shares, plain) = (shares.backward().unwrap(), plain.backward().unwrap());
        for logits in &logits {
            let (a, b) = (shares.get(logits).unwrap(), plain.get(logits).unwrap());
            assert!(difference(a, b) < 1e-4);
        }
    }
}
