//! Option of `fit`: what its models are for.

use serde_json::{Map, Value};

use super::declare::{options, words};
use super::detect::DetectConfig;
use super::fleet::FleetConfig;
use super::table::{Config, any};
use crate::error::{Error, Result};

words! {
    /// What a model is for.
    pub enum ModelPurpose {
        /// It generates anomalies. No detector is fitted.
        Generate = "generate",
        /// It scores and labels rows. No VAE is trained, unless the detector needs one.
        Score = "score",
    }
}

options! {
    /// What the models are for.
    pub struct PurposeConfig of "model and training", for &["fit"];

    /// The only purpose of a model, which is then smaller and fitted faster; by default, it generates
    /// anomalies and scores rows.
    only: Option<ModelPurpose> = None => any();
}

impl PurposeConfig {
    /// Checks the options of a call: no detector is chosen that is not fitted, and no VAE is shared
    /// that is not trained.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub(super) fn check(&self, fleet: &FleetConfig, given: &Map<String, Value>) -> Result<()> {
        self.check_ranges()?;
        let Some(only) = self.only else { return Ok(()) };
        let refused = |why: &str| Err(Error::parameter("only", only.name(), why));
        match only {
            ModelPurpose::Score if fleet.is_apart() => refused(
                "\"generate\", or left out, with `share` or `warm`: there is no VAE to share",
            ),
            ModelPurpose::Generate
                if DetectConfig::OPTIONS.iter().any(|option| is_own(option.name, given)) =>
            {
                refused("\"score\", or left out, with options of a detector")
            }
            _ => Ok(()),
        }
    }
}

/// Whether an option that only detectors have is given.
fn is_own(name: &str, given: &Map<String, Value>) -> bool {
    name != "seed" && given.get(name).is_some_and(|value| !value.is_null())
}
