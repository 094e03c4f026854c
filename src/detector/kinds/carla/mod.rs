//! CARLA (Darban et al., 2025, "CARLA: self-supervised contrastive representation learning for time
//! series anomaly detection", Pattern Recognition 157, 110874): representations that separate
//! windows from anomalies made of them, then classes that neighbours agree on.
//!
//! ```text
//! windows, negatives -> pretext (triplets) -> neighbours -> classify -> 1 - P(normal class)
//! ```
//!
//! Differences from the publication: the encoder has no normalisation layers and representations no
//! unit length (`resnet`), there is no projection after the pooling, the margin is constant, and
//! negatives come from any source.

mod classify;
mod neighbours;
mod net;
mod pretext;
mod resnet;
mod stage;
mod train;

use crate::config::{DetectConfig, Negatives};
use crate::detector::nets::{self, train_each};
use crate::detector::normal::TrainingData;
use crate::detector::spec::{DetectorSpec, Fit, Loaded, Stored};
use crate::detector::trained::{Learned, Trained};
use crate::error::Result;
use crate::nn::Shapes;
use crate::nn::parameters::Store;
use crate::runtime::control::Control;
use net::Carla;
use stage::STEPS;

/// The detector `carla`.
pub(super) struct CarlaSpec;

impl DetectorSpec for CarlaSpec {
    fn is_trained(&self) -> bool {
        true
    }

    fn steps(&self) -> usize {
        STEPS
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
        let mut learned = Learned::default();
        let parameters = train_each(normal, &negatives, config, control, |task, control| {
            let (parameters, normal_class) = train::train(task, control)?;
            learned.normal_classes.push(normal_class);
            Ok(parameters)
        })?;
        let trained = Trained::new(config.clone(), learned, parameters);
        Ok(Some(Fit { trained, calibration: None }))
    }

    fn is_sound(&self, learned: &Learned, config: &DetectConfig, _: usize) -> bool {
        learned.normal_classes.len() == config.nets
            && learned.normal_classes.iter().all(|class| *class < config.classes)
            && learned.weights.is_none()
            && learned.evidence.is_none()
    }

    fn shapes(&self, _: &Learned, config: &DetectConfig, features: usize) -> Result<Shapes> {
        let net = Store::shapes(|scope| Carla::build(features, config, scope))?;
        Ok(nets::shapes(config.nets, &net))
    }

    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>> {
        let (trained, features) = (stored.trained()?, stored.features());
        let classes = trained.learned.normal_classes.iter().enumerate();
        let net = |(i, class): (usize, &usize)| {
            Carla::new(&trained.net(i), features, &trained.config, *class)
        };
        Ok(Loaded::Windows(Box::new(classes.map(net).collect::<Result<Vec<_>>>()?)))
    }
}
