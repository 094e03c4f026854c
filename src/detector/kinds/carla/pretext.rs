//! First stage: representations in which a window is closer to one shortly before it than to any
//! anomaly of the batch.

use candle_core::{D, Tensor};

use super::resnet::ResNet;
use super::stage::{Pool, plan, thirds, values};
use crate::detector::nets::NetTask;
use crate::error::Result;
use crate::nn::Parameters;
use crate::nn::descent::Descent;
use crate::nn::parameters::Scope;
use crate::nn::training::train as train_net;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;
use crate::runtime::rng::{Purpose, Rng};

/// Triplets per task.
const SHARE: usize = 8;
/// Maximum number of rows between a positive and its anchor.
const EARLIER: usize = 10;

/// One share of a step: windows [SHARE, W, D] each, and representations with the weights before the
/// step.
struct TripletShare {
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    anchor_points: Vec<f32>,
    negative_points: Vec<f32>,
}

/// Trains the encoder on triplets. Every step has two passes: one without gradients, in which every
/// anchor finds the hardest negative of the whole batch, and one over the triplets.
pub(super) fn train(pool: &Pool<'_>, control: &dyn Control) -> Result<Parameters> {
    let NetTask { matrix, window, config, net, .. } = pool.task;
    let features = matrix.features();
    let plan = plan(&pool.task, SHARE);
    let shares = plan.shares;
    let first = first_of_run(&pool.starts, window);
    let build = |scope: &mut Scope<'_, '_>| ResNet::build(features, scope);
    let prepare =
        |encoder: &ResNet, step: usize, control: &dyn Control| -> Result<Vec<TripletShare>> {
            spread_over_pool(shares, control, |share| {
                let mut rng = Rng::new(
                    config.seed,
                    Purpose::Detector,
                    [(net << 32) + step as u64, (1 << 32) + share as u64],
                );
                let key = ((2 * net) << 32) + (step * shares + share) as u64;
                TripletShare::draw(pool, &first, encoder, key, &mut rng)
            })
        };
    let loss = |encoder: &ResNet, batch: &Vec<TripletShare>, share: usize| -> Result<Tensor> {
        let negatives: Vec<Tensor> = hardest(batch, share)
            .into_iter()
            .map(|i| batch[i / SHARE].negatives.narrow(0, i % SHARE, 1))
            .collect::<candle_core::Result<_>>()?;
        let TripletShare { anchors, positives, .. } = &batch[share];
        let negatives = Tensor::cat(&negatives, 0)?;
        let points = encoder.forward(&Tensor::cat(&[anchors, positives, &negatives], 0)?)?;
        triplet_loss(&thirds(&points)?, config.triplet_margin, shares * SHARE)
    };
    let named = &Parameters::new();
    train_net(&Descent { plan, build, named, prepare, loss }, control)
}

impl TripletShare {
    fn draw(
        pool: &Pool<'_>,
        first: &[usize],
        encoder: &ResNet,
        key: u64,
        rng: &mut Rng,
    ) -> Result<Self> {
        let NetTask { matrix, window, negatives, .. } = pool.task;
        let (mut anchors, mut positives) = (Vec::new(), Vec::new());
        for _ in 0..SHARE {
            let pick = rng.below(pool.starts.len());
            let start = pool.starts[pick];
            let earlier = start.saturating_sub(1 + rng.below(EARLIER)).max(first[pick]);
            anchors.extend_from_slice(&matrix.window(start, window));
            positives.extend_from_slice(&matrix.window(earlier, window));
        }
        let anchors = pool.tensor(anchors)?;
        let negatives = pool.tensor(negatives.draw(SHARE, key).windows)?;
        Ok(Self {
            anchor_points: values(&encoder.forward(&anchors)?)?,
            negative_points: values(&encoder.forward(&negatives)?)?,
            positives: pool.tensor(positives)?,
            anchors,
            negatives,
        })
    }
}

/// For every start, the first row whose window is known to lie in the same run: overlapping windows
/// are in the same run. If the stride is a window or more, that is the start itself.
fn first_of_run(starts: &[usize], window: usize) -> Vec<usize> {
    let mut first: Vec<usize> = Vec::with_capacity(starts.len());
    for (i, &start) in starts.iter().enumerate() {
        let before = i.checked_sub(1).map(|before| (starts[before], first[before]));
        first.push(match before {
            Some((before, first)) if before <= start && start < before + window => first,
            _ => start,
        });
    }
    first
}

/// For every anchor of `share`, the number of the nearest negative of the batch, the first one of
/// equal distances.
fn hardest(batch: &[TripletShare], share: usize) -> Vec<usize> {
    let width = batch[share].anchor_points.len() / SHARE;
    let nearest = |anchor: &[f32]| {
        let negatives = batch.iter().flat_map(|share| share.negative_points.chunks_exact(width));
        let distances = negatives.map(|negative| squared_distance(anchor, negative));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
    };
    batch[share].anchor_points.chunks_exact(width).map(nearest).collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Sum of max(0, |a - p|^2 - |a - n|^2 + margin) / `count`: representations of anchors, positives
/// and negatives, [n, width] each.
///
/// Squared distances, as in the publication; their gradient also exists if a positive is its
/// anchor, at the start of a run.
fn triplet_loss(
    [anchors, positives, negatives]: &[Tensor; 3],
    margin: f64,
    count: usize,
) -> Result<Tensor> {
    let distance = |other: &Tensor| (anchors - other)?.sqr()?.sum(D::Minus1);
    let hinge = ((distance(positives)? - distance(negatives)?)? + margin)?.relu()?;
    Ok(hinge.sum_all()?.affine(1.0 / count as f64, 0.0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn triplet_loss_by_hand() {
        let points = |values: &[f32]| Tensor::from_slice(values, (2, 2), &Device::Cpu).unwrap();
        let triplets = [
            points(&[0.0, 0.0, 1.0, 1.0]),
            points(&[1.0, 0.0, 1.0, 1.0]),
            points(&[1.0, 1.0, 4.0, 1.0]),
        ];
        let loss = |margin| triplet_loss(&triplets, margin, 4).unwrap().to_scalar::<f32>().unwrap();
        // 1 - 2 + 1.5 = 0.5 and 0 - 9 + 1.5 < 0; then 1 - 2 + 10 = 9 and 0 - 9 + 10 = 1.
        assert!((loss(1.5) - 0.5 / 4.0).abs() < 1e-6);
        assert!((loss(10.0) - 10.0 / 4.0).abs() < 1e-6);
    }

    #[test]
    fn positives_stay_in_their_run() {
        assert_eq!(first_of_run(&[5, 7, 9, 20, 29], 10), [5, 5, 5, 20, 20]);
        // Adjacent windows may lie on both sides of a gap.
        assert_eq!(first_of_run(&[0, 10, 19], 10), [0, 10, 10]);
        assert_eq!(first_of_run(&[], 10), Vec::<usize>::new());
    }

    #[test]
    fn hardest_negative_is_the_nearest_of_all_shares() {
        let none = Tensor::zeros((SHARE, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let share = |anchors: f32, negatives: f32| TripletShare {
            anchors: none.clone(),
            positives: none.clone(),
            negatives: none.clone(),
            anchor_points: vec![anchors; SHARE],
            negative_points: (0..SHARE).map(|i| negatives + i as f32).collect(),
        };
        let batch = [share(12.2, 0.0), share(3.4, 10.0)];
        assert_eq!(hardest(&batch, 0), [SHARE + 2; SHARE]);
        assert_eq!(hardest(&batch, 1), [3; SHARE]);
    }
}
