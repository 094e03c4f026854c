//! The trained net.

use candle_core::{D, Tensor};
use candle_nn::ops::softmax;

use super::resnet::{ResNet, WIDTH};
use crate::config::DetectConfig;
use crate::detector::kinds::classifier::LIMIT;
use crate::detector::score_rows::Detector;
use crate::error::{Error, Result};
use crate::nn::Parameters;
use crate::nn::parameters::{Linear, Scope, Store};

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

    /// Loads parameters, and the class that is normal.
    ///
    /// # Errors
    /// [`Error::Model`] if a parameter is missing, or class `normal_class` does not exist.
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

    /// Windows [B, W, D], z-scores within [`LIMIT`] -> 1 - P(normal class) in [0, 1], [B].
    ///
    /// Computed as the sum over the other classes, which keeps small differences near 0.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let probabilities = self.probabilities(x)?;
        let classes = probabilities.dim(D::Minus1)?;
        let others = (0..classes).map(|class| f32::from(u8::from(class != self.normal_class)));
        let others = Tensor::from_iter(others, x.device())?;
        Ok(probabilities.broadcast_mul(&others)?.sum(D::Minus1)?.minimum(1f64)?)
    }

    /// Windows [B, W, D] -> class probabilities [B, classes].
    pub(super) fn probabilities(&self, x: &Tensor) -> Result<Tensor> {
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
