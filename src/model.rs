//! A fitted model: normaliser, VAE and what was learned about both.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::columns::Series;
use crate::config::{DetectorKind, Distance, FitConfig, WINDOW_BUDGET};
use crate::control::Control;
use crate::detector::{Calibration, Trained};
use crate::diversity::Kinds;
use crate::error::{Error, Result};
use crate::joint::Joint;
use crate::normalise::{Matrix, Normaliser};
use crate::train::{INFERENCE_SHARE, Progress, StopReason, spread_over_pool};
use crate::vae::{Architecture, Vae, var_builder};
use crate::variation::{LocalTau, Variation};
use crate::windows;

/// Blocks of windows that are in memory at a time in a pass over a series.
const BLOCKS: usize = 8;

/// A fitted GenIAS model of one series.
#[derive(Clone, Debug)]
pub struct Model {
    /// How it was fitted.
    pub config: FitConfig,
    /// Statistics of the training rows.
    pub normaliser: Normaliser,
    /// What training and calibration found.
    pub report: Report,
    /// Wall time of the fit; not part of the model's bytes, so that these are reproducible.
    pub seconds: Option<f64>,
    pub(crate) parameters: BTreeMap<String, Tensor>,
    pub(crate) vae: Option<Vae>,
    /// How the live features go together, where there are two or more.
    pub(crate) joint: Option<Joint>,
    pub(crate) trained: BTreeMap<DetectorKind, Trained>,
}

/// Diagnostics of a fit. Numbers are `None` where no feature moves in training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Scale of the latent noise after calibration, >= 1.
    pub psi: Option<f64>,
    /// 1 - squared error / squared z-score on held-out windows, decoded from the mean.
    pub r2: Option<f64>,
    /// The same for PCA of the same rank on the same windows.
    pub r2_pca: Option<f64>,
    /// Latent units whose mean varies (variance > 0.01) over training windows.
    pub active_units: usize,
    /// Mean KL divergence per latent unit (exact form), in nats.
    pub kl: Option<f64>,
    /// Thresholds of the deviation patch where none is given: the median deviation of (held-out
    /// window, live feature) pairs, by distance.
    pub tau: BTreeMap<Distance, f64>,
    /// The same by how much a window varies, where the fit was asked for it.
    pub local_tau: Option<LocalTau>,
    /// Normal variation of the live features.
    pub variation: Variation,
    /// Kinds of the anomalies that the model generates on held-out windows.
    pub kinds: Kinds,
    /// Share of (held-out window, live feature) pairs that the deviation patch replaces, with other
    /// noise than tau was set on.
    pub patch_rate: Option<f64>,
    /// Share of held-out windows whose perturbation distance is within [delta_min, delta_max].
    pub in_band: Option<f64>,
    /// Lowest validation loss.
    pub loss: Option<f64>,
    /// The detector that was trained last.
    pub detector: Option<DetectorKind>,
    /// Thresholds of every detector of the model.
    pub calibrations: BTreeMap<DetectorKind, Calibration>,
    /// Windows trained on.
    pub train_windows: usize,
    /// Windows held out.
    pub validation_windows: usize,
    /// Optimiser steps taken.
    pub steps: usize,
    /// Why training ended.
    pub stop_reason: Option<StopReason>,
    /// Named warnings.
    pub health: Vec<Health>,
    /// Validations during training.
    pub history: Vec<Progress>,
}

impl Report {
    /// Whether the model has a VAE, where `live` features move in training.
    pub(crate) fn has_vae(&self, live: usize) -> bool {
        live > 0 && self.stop_reason != Some(StopReason::NotTrained)
    }
}

/// A named warning about a fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No latent unit carries information: the KL weight is too high, or the data is noise.
    PosteriorCollapse,
    /// psi stayed at 1: perturbed windows equal plain reconstructions.
    PsiAtOne,
    /// The deviation patch replaces almost nothing (below 1 %).
    PatchInert,
    /// The deviation patch replaces everything (above 99 %).
    PatchTotal,
    /// The reconstruction is worse than PCA of the same rank by more than 0.05 of R2.
    Underfit,
    /// Generated windows hardly differ from their input (RMS below 1 % of a standard deviation).
    CopiesInput,
    /// A few training values are so far away that they were left out, or that they make up nearly all
    /// of a feature's variance.
    WildValues,
}

impl Health {
    /// Its name in `describe()`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PosteriorCollapse => "posterior_collapse",
            Self::PsiAtOne => "psi_at_one",
            Self::PatchInert => "patch_inert",
            Self::PatchTotal => "patch_total",
            Self::Underfit => "underfit",
            Self::CopiesInput => "copies_input",
            Self::WildValues => "wild_values",
        }
    }
}

impl Model {
    /// Puts a model together; `parameters` is empty when no feature is live.
    pub(crate) fn assemble(
        config: FitConfig,
        normaliser: Normaliser,
        report: Report,
        parameters: HashMap<String, Tensor>,
    ) -> Result<Self> {
        let live = normaliser.live_features().len();
        let vae = report
            .has_vae(live)
            .then(|| {
                let architecture = Architecture::new(&config, live);
                Vae::new(&architecture, var_builder(parameters.clone()))
            })
            .transpose()?;
        let parameters = parameters.into_iter().collect();
        let trained = BTreeMap::new();
        Ok(Self {
            config,
            normaliser,
            report,
            seconds: None,
            parameters,
            vae,
            joint: None,
            trained,
        })
    }

    /// Refuses a model that was fitted to score only, for what needs the VAE.
    pub(crate) fn require_vae(&self) -> Result<()> {
        match self.report.stop_reason {
            Some(StopReason::NotTrained) => {
                let allowed = "one that `fit` made: this one was fitted to score only";
                Err(Error::parameter("model", "a model without a VAE", allowed))
            }
            _ => Ok(()),
        }
    }

    /// Latent units L.
    pub fn latent(&self) -> usize {
        self.config.latent_for(self.normaliser.live_features().len())
    }

    /// Number of parameters, those of detectors included.
    pub fn parameter_count(&self) -> usize {
        let detectors = self.trained.values().flat_map(|trained| trained.parameters.values());
        self.parameters.values().chain(detectors).map(Tensor::elem_count).sum()
    }

    /// Entropy-based diversity of the anomalies that the model generates on held-out windows
    /// ([`Kinds::edi`]); `None` where no feature moves in training.
    pub fn edi(&self) -> Option<f64> {
        (!self.report.kinds.shares.is_empty()).then(|| self.report.kinds.edi())
    }

    /// Largest absolute correlation between two live features, in what the model reconstructs of
    /// blocks of training windows; `None` where fewer than two features are live.
    pub fn strongest_correlation(&self) -> Option<f64> {
        self.joint.as_ref().map(Joint::strongest)
    }

    /// psi, 1 where there is no VAE.
    pub fn psi(&self) -> f64 {
        self.report.psi.unwrap_or(1.0)
    }

    /// The stretches of rows where `keep` holds whose windows miss no more values than the model allows;
    /// see [`windows::stretches`].
    ///
    /// # Errors
    /// [`Error::TooShort`] or [`Error::NoWindow`] where there is none.
    pub(crate) fn runs(
        &self,
        series: &Series<'_>,
        keep: impl Fn(usize) -> bool,
    ) -> Result<Vec<std::ops::Range<usize>>> {
        usable_stretches(series, keep, &self.config)
    }

    /// Passes the windows at `starts` through `work` in blocks, in parallel, and hands the results
    /// to `take` in order.
    pub(crate) fn pass<T: Send>(
        &self,
        matrix: &Matrix,
        starts: &[usize],
        control: &dyn Control,
        work: impl Fn(&Vae, &Tensor) -> Result<T> + Sync + Send,
        take: impl FnMut(&[usize], T),
    ) -> Result<()> {
        let Some(vae) = &self.vae else { return Ok(()) };
        pass(matrix, starts, self.config.window, control, |x| work(vae, x), take)
    }

    /// The latent mean of the windows every `stride` rows: start row and mu [L] of each.
    ///
    /// # Errors
    /// [`Error::ModelFeatures`], [`Error::TooShort`], [`Error::NoWindow`].
    pub fn embed(
        &self,
        series: &Series<'_>,
        stride: Option<usize>,
        control: &dyn Control,
    ) -> Result<Vec<(usize, Vec<f32>)>> {
        self.require_vae()?;
        let size = self.config.window;
        let matrix = self.normaliser.apply(series, control)?;
        let runs = self.runs(series, |_| true)?;
        let stride =
            stride.unwrap_or_else(|| windows::automatic_stride(&runs, size, WINDOW_BUDGET));
        let starts = windows::starts(&runs, size, stride);
        let mut embedded = Vec::with_capacity(starts.len());
        let mean = |vae: &Vae, x: &Tensor| Ok(vae.encode(x)?.0.to_vec2::<f32>()?);
        self.pass(&matrix, &starts, control, mean, |starts, rows| {
            embedded.extend(starts.iter().copied().zip(rows));
        })?;
        if self.vae.is_none() {
            embedded = starts.into_iter().map(|start| (start, vec![0.0; self.latent()])).collect();
        }
        Ok(embedded)
    }
}

/// Passes the windows of `size` rows at `starts` through `work` in blocks, in parallel, and hands the
/// results to `take` in order.
pub(crate) fn pass<T: Send>(
    matrix: &Matrix,
    starts: &[usize],
    size: usize,
    control: &dyn Control,
    work: impl Fn(&Tensor) -> Result<T> + Sync + Send,
    mut take: impl FnMut(&[usize], T),
) -> Result<()> {
    for group in starts.chunks(BLOCKS * INFERENCE_SHARE) {
        if control.cancelled() {
            return Err(Error::Interrupted);
        }
        let blocks: Vec<&[usize]> = group.chunks(INFERENCE_SHARE).collect();
        let results = spread_over_pool(blocks.len(), control, |i| {
            let shape = (blocks[i].len(), size, matrix.features());
            work(&Tensor::from_vec(matrix.gather(blocks[i], size), shape, &Device::Cpu)?)
        })?;
        blocks.into_iter().zip(results).for_each(|(starts, result)| take(starts, result));
    }
    Ok(())
}

/// Start rows of the windows that are trained on; without a `stride` about as many as the budget
/// allows.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] where there is none.
pub(crate) fn clean_starts(series: &Series<'_>, config: &FitConfig) -> Result<Vec<usize>> {
    let size = config.window;
    let runs = usable_stretches(series, |t| !series.is_labelled(t), config)?;
    let automatic = || windows::automatic_stride(&runs, size, WINDOW_BUDGET);
    let stride = config.stride.unwrap_or_else(automatic);
    Ok(windows::starts(&runs, size, stride))
}

/// The stretches of rows where `keep` holds whose windows miss no more values than `config` allows.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] where there is none.
fn usable_stretches(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    config: &FitConfig,
) -> Result<Vec<std::ops::Range<usize>>> {
    let most = config.most_missing(series.columns().width());
    long_enough(series, config.window, |size| windows::stretches(series, keep, size, most))
}

/// The runs of rows where `keep` holds that are at least `window` long.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] where there is none.
pub(crate) fn usable_runs(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    window: usize,
) -> Result<Vec<std::ops::Range<usize>>> {
    long_enough(series, window, |size| windows::runs(series, keep, size))
}

/// What `find` finds for windows of this size.
fn long_enough(
    series: &Series<'_>,
    window: usize,
    find: impl FnOnce(usize) -> Vec<std::ops::Range<usize>>,
) -> Result<Vec<std::ops::Range<usize>>> {
    let rows = series.len();
    if rows < window {
        return Err(Error::TooShort { rows, window });
    }
    let found = find(window);
    if found.is_empty() { Err(Error::NoWindow { rows, window }) } else { Ok(found) }
}
