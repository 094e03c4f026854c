//! A small dilated convolutional net that separates windows with an anomaly from normal ones, per
//! window and per row.
//!
//! It has no normalisation layers: these would remove the amplitude, which defines many anomalies.

use candle_core::{D, Device, Tensor};

use crate::config::{DetectConfig, Negatives};
use crate::detector::nets::{self, NetTask, train_each};
use crate::detector::normal::TrainingData;
use crate::detector::score_rows::Detector;
use crate::detector::spec::{DetectorSpec, Fit, Loaded, STEPS, Stored};
use crate::detector::trained::{Learned, Trained};
use crate::error::Result;
use crate::kernels::{Block, Conv, Layer, blocks, conv};
use crate::nn::descent::{Descent, Plan};
use crate::nn::parameters::{Linear, Scope, Store};
use crate::nn::training::train;
use crate::nn::{Parameters, Shapes};
use crate::runtime::control::Control;
use crate::runtime::rng::{Purpose, Rng};

/// Windows per task, half of them with anomalies.
const SHARE: usize = 8;
/// Taps of the first convolution.
const FIRST_TAPS: usize = 7;
/// Dilation of the residual blocks after the first.
const DILATIONS: [usize; 5] = [2, 4, 8, 16, 32];
/// z-scores are clamped to this value for the net.
pub(crate) const LIMIT: f32 = 20.0;

/// Row and window logits.
#[derive(Clone, Debug)]
pub(crate) struct Classifier {
    blocks: Vec<Block>,
    row: Layer,
    window: Linear,
}

/// Convolution whose output row t reads rows on both sides.
fn same(kernel: usize, dilation: usize) -> Conv {
    let side = kernel / 2 * dilation;
    Conv { kernel, stride: 1, dilation, left: side, right: side, relu: false }
}

impl Classifier {
    /// Declares its parameters, for windows of `features` features.
    pub(crate) fn build(
        features: usize,
        channels: usize,
        scope: &mut Scope<'_, '_>,
    ) -> Result<Self> {
        let c = channels;
        let mut block = scope.part("blocks.0");
        let mut all = vec![Block {
            first: block.conv("conv1", features, c, same(FIRST_TAPS, 1))?,
            second: block.conv("conv2", c, c, same(3, 1))?,
            skip: Some(block.conv("skip", features, c, same(1, 1))?),
        }];
        for (i, dilation) in (1..).zip(DILATIONS) {
            let mut block = scope.part(format!("blocks.{i}"));
            all.push(Block {
                first: block.conv("conv1", c, c, same(3, dilation))?,
                second: block.conv("conv2", c, c, same(1, 1))?,
                skip: None,
            });
        }
        let row = scope.conv("row", c, 1, same(1, 1))?;
        Ok(Self { blocks: all, row, window: scope.linear("window", 2 * c, 1)? })
    }

    /// Windows [B, W, D] -> logits of rows [B, W] and of windows [B].
    pub(crate) fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let hidden = blocks(x, &self.blocks)?;
        let rows = conv(&hidden, &self.row.weight, &self.row.bias, self.row.geometry)?;
        let pooled = Tensor::cat(&[hidden.mean(1)?, hidden.max(1)?], 1)?;
        let window = self.window.forward(&pooled)?;
        Ok((rows.squeeze(D::Minus1)?, window.squeeze(D::Minus1)?))
    }

    /// Trains a net: in each share, half of the windows are normal, half have an anomaly.
    ///
    /// # Errors
    /// [`crate::Error::Diverged`], [`crate::Error::Interrupted`].
    pub(crate) fn train(task: &NetTask<'_>, control: &dyn Control) -> Result<Parameters> {
        let NetTask { matrix, starts, window, negatives, config, net } = *task;
        let shares = config.detector_batch_size.div_ceil(SHARE / 2);
        let batch = shares * SHARE;
        let steps = config.detector_steps.unwrap_or(STEPS);
        let (learning_rate, seed) = (config.detector_learning_rate, config.seed);
        let build = |scope: &mut Scope<'_, '_>| {
            Self::build(matrix.features(), config.detector_channels, scope)
        };
        let prepare = |_: &Self, step: usize, _: &dyn Control| Ok(step);
        let loss = |classifier: &Self, step: &usize, share: usize| -> Result<Tensor> {
            let key = ((net << 32) + *step as u64, share as u64);
            let mut rng = Rng::new(config.seed, Purpose::Detector, [key.0, key.1]);
            let half = SHARE / 2;
            let picked: Vec<usize> = (0..half).map(|_| starts[rng.below(starts.len())]).collect();
            let mut values = matrix.gather(&picked, window);
            let drawn = negatives.draw(half, key.0 * shares as u64 + key.1);
            values.extend(drawn.windows);
            limit(&mut values);
            let missing: Vec<bool> =
                picked.iter().flat_map(|&start| matrix.rows_missing(start, window)).collect();
            let observed = observed(missing.iter().chain(&drawn.missing));
            let mut hit = vec![0f32; half * window];
            hit.extend(drawn.hit.iter().map(|hit| f32::from(u8::from(*hit))));
            let target = [vec![0f32; half], vec![1f32; half]].concat();
            let device = &Device::Cpu;
            let x = Tensor::from_vec(values, (SHARE, window, matrix.features()), device)?;
            let (rows, windows) = classifier.forward(&x)?;
            let hit = Tensor::from_vec(hit, (SHARE, window), device)?;
            let rows = match observed {
                None => cross_entropy(&rows, &hit, batch * window)?,
                Some(observed) => {
                    let observed = Tensor::from_vec(observed, (SHARE, window), device)?;
                    // Rows with a missing value get the logit -100 and the target 0: no loss, no gradient.
                    let out = ((&observed - 1.0)? * 100.0)?;
                    let rows = ((rows * &observed)? + out)?;
                    cross_entropy(&rows, &(hit * observed)?, batch * window)?
                }
            };
            let windows =
                cross_entropy(&windows, &Tensor::from_vec(target, SHARE, device)?, batch)?;
            Ok((rows.affine(config.row_weight, 0.0)? + windows)?)
        };
        let plan = Plan { learning_rate, steps, shares, seed, net };
        let named = &Parameters::new();
        train(&Descent { plan, build, named, prepare, loss }, control)
    }
}

/// The sum of the log-odds of a row and of its window.
impl Detector for Classifier {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let (rows, of_window) = self.forward(&windows.clamp(-LIMIT, LIMIT)?)?;
        Ok(rows.broadcast_add(&of_window.unsqueeze(1)?)?.flatten_all()?.to_vec1()?)
    }
}

/// The detector `classifier`.
pub(super) struct ClassifierSpec;

impl DetectorSpec for ClassifierSpec {
    fn is_trained(&self) -> bool {
        true
    }

    fn calibrated_on(&self, config: &DetectConfig) -> Negatives {
        config.negatives
    }

    fn train(
        &self,
        data: &TrainingData<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Option<Fit>> {
        let (normal, negatives) = (data.windows(control)?, vec![config.negatives; config.nets]);
        let parameters = train_each(normal, &negatives, config, control, Classifier::train)?;
        let trained = Trained::new(config.clone(), Learned::default(), parameters);
        Ok(Some(Fit { trained, calibration: None }))
    }

    fn shapes(&self, _: &Learned, config: &DetectConfig, features: usize) -> Result<Shapes> {
        shapes(config.nets, features, config)
    }

    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>> {
        let trained = stored.trained()?;
        Ok(Loaded::Windows(Box::new(load(trained, trained.config.nets, stored.features())?)))
    }
}

/// Names and shapes of the parameters of `nets` classifiers.
pub(super) fn shapes(nets: usize, features: usize, config: &DetectConfig) -> Result<Shapes> {
    let channels = config.detector_channels;
    let net = Store::shapes(|scope| Classifier::build(features, channels, scope))?;
    Ok(nets::shapes(nets, &net))
}

/// The first `nets` nets of a trained detector, classifiers of windows of `features` features.
pub(super) fn load(trained: &Trained, nets: usize, features: usize) -> Result<Vec<Classifier>> {
    let channels = trained.config.detector_channels;
    let net = |i: usize| {
        Store::load(&trained.net(i), |scope| Classifier::build(features, channels, scope))
    };
    (0..nets).map(net).collect()
}

/// 1 for rows with all values and 0 for others; `None` if no value is missing.
fn observed<'a>(missing: impl Iterator<Item = &'a bool> + Clone) -> Option<Vec<f32>> {
    let any_missing = missing.clone().any(|missing| *missing);
    any_missing.then(|| missing.map(|missing| f32::from(u8::from(!missing))).collect())
}

/// Clamps z-scores to the range of the net.
pub(crate) fn limit(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.clamp(-LIMIT, LIMIT));
}

/// Sum / `count` of the binary cross-entropy of logits against targets of the same shape:
/// max(z, 0) - z y + log(1 + exp(-|z|)).
fn cross_entropy(logits: &Tensor, targets: &Tensor, count: usize) -> candle_core::Result<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    let losses = ((logits.relu()? - (logits * targets)?)? + softplus)?;
    losses.sum_all()?.affine(1.0 / count as f64, 0.0)
}
