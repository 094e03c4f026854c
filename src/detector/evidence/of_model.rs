//! The evidence as a detector of a model.

use super::{Built, Evidence};
use crate::columns::Series;
use crate::config::{DetectConfig, DetectorKind, ScoreConfig};
use crate::control::Control;
use crate::detector::{Calibration, Learned, Trained};
use crate::error::{Error, Result};
use crate::model::Model;

impl Model {
    /// The evidence of a series and its thresholds.
    pub(in crate::detector) fn fit_evidence(
        &self,
        series: &Series<'_>,
        config: &DetectConfig,
        control: &dyn Control,
    ) -> Result<(Trained, Calibration)> {
        self.normaliser.check(series)?;
        let (evidence, scores) = Evidence::fit(series, &self.config, control)?;
        let (kept, parameters) = evidence.keep()?;
        let learned = Learned { evidence: Some(kept), ..Learned::default() };
        let built = Built::new(evidence);
        let trained = Trained { config: config.clone(), learned, parameters, built };
        Ok((trained, Calibration::of_normal(&scores)))
    }

    /// Score of every row by the evidence; `None` where the model holds none.
    pub(in crate::detector) fn score_evidence(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Option<Vec<Option<f32>>>> {
        let Some(trained) = self.trained.get(&DetectorKind::Evidence) else { return Ok(None) };
        let kept = trained.learned.evidence.as_ref();
        let kept = kept.ok_or_else(|| Error::Model("the evidence is missing".into()))?;
        self.normaliser.check(series)?;
        trained.built.get(kept, &trained.parameters)?.score(series, config, control).map(Some)
    }
}
