//! The generator: what is kept of a fit to make anomalies.

use std::collections::BTreeMap;
use std::ops::Range;

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

/// A fitted VAE, and what was learned about its anomalies.
#[derive(Clone, Debug)]
pub struct Generator {
    /// How it was fitted.
    pub config: FitConfig,
    /// Statistics of the training rows.
    pub normaliser: Normaliser,
    /// What every feature can take; empty where that is not known, and so anything.
    pub domain: Vec<FeatureDomain>,
    /// The net, with the calibrated psi; `None` where no feature is live, or none was asked for.
    pub(crate) vae: Option<Vae>,
    /// Thresholds of the deviation patch where none is given: the median deviation of (held-out
    /// window, live feature) pairs, by distance.
    pub tau: BTreeMap<Distance, f64>,
    /// The same by how much a window varies, where the fit was asked for it.
    pub local_tau: Option<LocalTau>,
    /// Normal variation of the live features.
    pub normal_range: NormalRange,
    /// Correlation of the live features, where there are two or more.
    pub(crate) correlation: Option<Correlation>,
    /// Kinds of the anomalies that it makes on held-out windows.
    pub kinds: Clusters,
}

impl Generator {
    /// One that has learned nothing: no feature is live.
    pub(crate) fn inert(config: FitConfig, normaliser: Normaliser) -> Self {
        Self {
            config,
            normaliser,
            domain: Vec::new(),
            vae: None,
            tau: BTreeMap::new(),
            local_tau: None,
            normal_range: NormalRange::default(),
            correlation: None,
            kinds: Clusters::default(),
        }
    }

    /// Refuses a generator without a VAE although features move.
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
    /// When the parameter cannot be read.
    pub fn psi(&self) -> Result<Option<f64>> {
        self.vae.as_ref().map(Vae::psi).transpose()
    }

    /// Entropy-based diversity of the anomalies that it makes on held-out windows
    /// ([`Clusters::edi`]); `None` where no feature moves in training.
    pub fn edi(&self) -> Option<f64> {
        (!self.kinds.shares.is_empty()).then(|| self.kinds.edi())
    }

    /// Largest absolute correlation between two live features, in what the model reconstructs of
    /// blocks of training windows; `None` where fewer than two features are live.
    pub fn strongest_correlation(&self) -> Option<f64> {
        self.correlation.as_ref().map(Correlation::strongest)
    }

    /// The stretches of rows where `keep` holds whose windows miss no more values than the model
    /// allows; see [`crate::windows::stretches`].
    ///
    /// # Errors
    /// [`crate::Error::TooShort`] or [`crate::Error::NoWindow`] where there is none.
    pub(crate) fn stretches(
        &self,
        series: &Series<'_>,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<Range<usize>>> {
        usable_stretches(series, keep, &self.config)
    }

    /// What a deviation is compared with.
    pub(crate) fn rule(&self, config: &GenerateConfig) -> Rule<'_> {
        Rule::new(config, &self.tau, self.local_tau.as_ref(), &self.normal_range)
    }
}
