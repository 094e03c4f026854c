//! The evidence as a detector of a model.

use super::detector::Evidence;
use super::kept::Built;
use crate::config::DetectConfig;
use crate::detector::normal::TrainingData;
use crate::detector::spec::{DetectorSpec, Fit, Loaded, Stored};
use crate::detector::threshold::Calibration;
use crate::detector::trained::{Learned, Trained};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::nn::Shapes;
use crate::runtime::control::Control;

/// Largest number of values in the projections of a model that only scores: 0.9 MB, as fitting them
/// again takes a tenth of a second and more for each read of a larger model.
const MOST_VALUES: usize = 225_000;

/// Whether projections are not stored. With a backbone, or without a VAE, they would be most of what
/// a model stores.
fn is_small(generator: &Generator, evidence: &Evidence) -> bool {
    let scores_only = generator.vae.is_none();
    generator.backbone.is_some() || (scores_only && evidence.projected_values() > MOST_VALUES)
}

/// The detector `evidence`. Its thresholds only use normal rows.
pub(crate) struct EvidenceSpec;

impl DetectorSpec for EvidenceSpec {
    fn is_trained(&self) -> bool {
        true
    }

    fn needs_vae(&self) -> bool {
        false
    }

    /// z of the score ln(1 + z). An exponential tail in z can be extrapolated beyond the observed
    /// range; in ln(1 + z), a distance ten times the largest would still count as usual.
    fn distance(&self, score: f32) -> f32 {
        score.exp_m1()
    }

    fn train(
        &self,
        data: &TrainingData<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Option<Fit>> {
        data.generator.normaliser.check(data.series)?;
        let (evidence, scores) = Evidence::fit(data.series, &data.generator.config, control)?;
        let (kept, parameters) = evidence.keep(is_small(data.generator, &evidence))?;
        let learned = Learned { evidence: Some(kept), ..Learned::default() };
        let trained = Trained::new(config.clone(), learned, parameters);
        let trained = Trained { built: Built::new(evidence), ..trained };
        let own = scores.own().iter().flatten();
        let distances: Vec<f32> = own.map(|score| self.distance(*score)).collect();
        let ranking: Vec<f32> = scores.ranking().iter().flatten().copied().collect();
        let calibration = Calibration::of_normal(&ranking).with_reference(&distances);
        Ok(Some(Fit { trained, calibration: Some(calibration) }))
    }

    fn is_sound(&self, learned: &Learned, _: &DetectConfig, features: usize) -> bool {
        learned.evidence.as_ref().is_some_and(|kept| kept.is_sound(features))
            && learned.weights.is_none()
            && learned.normal_classes.is_empty()
    }

    fn shapes(&self, learned: &Learned, _: &DetectConfig, _: usize) -> Result<Shapes> {
        Ok(learned.evidence.iter().flat_map(|kept| kept.shapes()).collect())
    }

    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>> {
        let trained = stored.trained()?;
        let missing = || Error::Model("the detector `evidence` is empty".into());
        let kept = trained.learned.evidence.as_ref().ok_or_else(missing)?;
        Ok(Loaded::Series(trained.built.get(kept, &trained.parameters)?))
    }
}
