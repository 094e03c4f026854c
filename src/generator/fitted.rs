//! The generator: the part of a model that generates anomalies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::backbone::Backbone;
use crate::anomaly::domain::FeatureDomain;
use crate::anomaly::latent::correlation::Correlation;
use crate::anomaly::latent::descriptor::Clusters;
use crate::anomaly::latent::normal_range::{LocalTau, NormalRange};
use crate::anomaly::latent::patch::Rule;
use crate::config::{Distance, FitConfig, GenerateConfig};
use crate::data::normalise::Normaliser;
use crate::data::series::Series;
use crate::data::windows::usable_stretches;
use crate::error::{Error, Result};
use crate::vae::Vae;

/// A fitted VAE, and the statistics of its anomalies.
#[derive(Clone, Debug)]
pub struct Generator {
    /// Options of the fit.
    pub config: FitConfig,
    /// Statistics of the training rows.
    pub normaliser: Normaliser,
    /// The domain of every feature; empty if unknown, so that any value is allowed.
    pub domain: Vec<FeatureDomain>,
    /// The net with the calibrated psi; `None` if no feature is live, or the model only scores.
    pub(crate) vae: Option<Vae>,
    /// The backbone that it shares with other generators.
    pub backbone: Option<Arc<Backbone>>,
    /// Default thresholds of the deviation patch: the median deviation of (held-out window, live
    /// feature) pairs, by distance.
    pub tau: BTreeMap<Distance, f64>,
    /// The same by the variation of a window, if `local` was set.
    pub local_tau: Option<LocalTau>,
    /// Normal variation of the live features.
    pub normal_range: NormalRange,
    /// Correlation of the live features, if there are two or more.
    pub(crate) correlation: Option<Correlation>,
    /// Clusters of its anomalies on held-out windows.
    pub kinds: Clusters,
}

impl Generator {
    /// A generator without a live feature.
    pub(crate) fn inert(config: FitConfig, normaliser: Normaliser) -> Self {
        Self {
            config,
            normaliser,
            domain: Vec::new(),
            vae: None,
            backbone: None,
            tau: BTreeMap::new(),
            local_tau: None,
            normal_range: NormalRange::default(),
            correlation: None,
            kinds: Clusters::default(),
        }
    }

    /// Rejects a generator without a VAE if features vary.
    pub(crate) fn require_vae(&self) -> Result<()> {
        if self.vae.is_some() || self.normaliser.live_features().is_empty() {
            return Ok(());
        }
        let allowed = "a model from `fit`; this one was fitted to score only";
        Err(Error::parameter("model", "a model without a VAE", allowed))
    }

    /// Latent units L.
    pub fn latent(&self) -> usize {
        self.config.latent_for(self.normaliser.live_features().len())
    }

    /// Scale of the latent noise after calibration, >= 1; `None` where there is no VAE.
    ///
    /// # Errors
    /// If the parameter cannot be read.
    pub fn psi(&self) -> Result<Option<f64>> {
        self.vae.as_ref().map(Vae::psi).transpose()
    }

    /// Entropy-based diversity of its anomalies on held-out windows ([`Clusters::edi`]); `None` if
    /// no feature varies in training.
    pub fn edi(&self) -> Option<f64> {
        (!self.kinds.shares.is_empty()).then(|| self.kinds.edi())
    }

    /// Largest absolute correlation between two live features, in the reconstructions of blocks of
    /// training windows; `None` for fewer than two live features.
    pub fn strongest_correlation(&self) -> Option<f64> {
        self.correlation.as_ref().map(Correlation::strongest)
    }

    /// The stretches of rows where `keep` holds whose windows do not miss more values than the
    /// model allows; see [`crate::windows::stretches`].
    ///
    /// # Errors
    /// [`crate::Error::TooShort`] or [`crate::Error::NoWindow`] if there is none.
    pub(crate) fn stretches(
        &self,
        series: &Series<'_>,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<Range<usize>>> {
        usable_stretches(series, keep, &self.config)
    }

    /// The threshold of deviations.
    pub(crate) fn rule(&self, config: &GenerateConfig) -> Rule<'_> {
        Rule::new(config, &self.tau, self.local_tau.as_ref(), &self.normal_range)
    }
}
