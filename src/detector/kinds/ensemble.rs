//! A weighted mix of the odds of three nets: two trained against generated and classical anomalies,
//! one also against noise. The weights come from held-out windows with generated anomalies
//! ([`Weights::fit`]).
//!
//! The nets were chosen on the development series of `docs/benchmark.md`. The VAE's error and the
//! amplitude are not included: with weights fitted to generated anomalies, they lowered the results
//! there.

use candle_core::Tensor;

use super::classifier::{self, Classifier};
use crate::config::{DetectConfig, Negatives};
use crate::detector::nets::train_each;
use crate::detector::normal::{HeldOut, NormalWindows, TrainingData};
use crate::detector::score_rows::Detector;
use crate::detector::spec::{DetectorSpec, Fit, Loaded, Stored};
use crate::detector::trained::{Learned, Trained};
use crate::detector::weights::{Logits, MEMBERS, Weights};
use crate::error::Result;
use crate::nn::Shapes;
use crate::runtime::control::Control;

/// Negatives of each net.
const SOURCES: [Negatives; MEMBERS] = [Negatives::Mixed, Negatives::Mixed, Negatives::All];

/// The nets, unweighted: one per entry of [`SOURCES`].
struct Members(Vec<Classifier>);

impl Members {
    /// Loads a trained ensemble for windows of `features` features.
    fn load(trained: &Trained, features: usize) -> Result<Self> {
        Ok(Self(classifier::load(trained, MEMBERS, features)?))
    }

    /// Log-odds of every row of windows [B, W, D] by every net.
    fn scores(&self, windows: &Tensor) -> Result<Vec<Logits>> {
        let mut all = vec![[0f32; MEMBERS]; windows.dim(0)? * windows.dim(1)?];
        for (k, net) in self.0.iter().enumerate() {
            let logits = net.rows(windows)?;
            all.iter_mut().zip(logits).for_each(|(row, logit)| row[k] = logit);
        }
        Ok(all)
    }
}

/// The weighted mix.
struct Ensemble {
    members: Members,
    weights: Weights,
}

impl Detector for Ensemble {
    fn rows(&self, windows: &Tensor) -> Result<Vec<f32>> {
        let logits = self.members.scores(windows)?;
        Ok(logits.iter().map(|row| self.weights.mix(row)).collect())
    }
}

/// The detector `ensemble`.
pub(super) struct EnsembleSpec;

impl DetectorSpec for EnsembleSpec {
    fn is_trained(&self) -> bool {
        true
    }

    fn train(
        &self,
        data: &TrainingData<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<Option<Fit>> {
        let normal = data.windows(control)?;
        let parameters = train_each(normal, &SOURCES, config, control, Classifier::train)?;
        let mut trained = Trained::new(config.clone(), Learned::default(), parameters);
        trained.learned.weights = Some(weigh(&trained, normal, control)?);
        Ok(Some(Fit { trained, calibration: None }))
    }

    fn is_sound(&self, learned: &Learned, _: &DetectConfig, _: usize) -> bool {
        learned.weights.as_ref().is_some_and(Weights::is_sound)
            && learned.normal_classes.is_empty()
            && learned.evidence.is_none()
    }

    fn shapes(&self, _: &Learned, config: &DetectConfig, features: usize) -> Result<Shapes> {
        classifier::shapes(MEMBERS, features, config)
    }

    fn load<'a>(&self, stored: Stored<'a>) -> Result<Loaded<'a>> {
        let trained = stored.trained()?;
        let members = Members::load(trained, stored.features())?;
        let weights = trained.learned.weights.clone().unwrap_or_default();
        Ok(Loaded::Windows(Box::new(Ensemble { members, weights })))
    }
}

/// Weights of the trained nets, from held-out windows with other anomalies of the same kinds.
fn weigh(trained: &Trained, normal: &NormalWindows<'_>, control: &dyn Control) -> Result<Weights> {
    let members = Members::load(trained, normal.matrix.features())?;
    let held_out = HeldOut::draw(normal, &SOURCES, trained.config.seed, control)?;
    let rows = held_out.marked(control, |windows: &Tensor| members.scores(windows))?;
    Ok(Weights::fit(&rows))
}
