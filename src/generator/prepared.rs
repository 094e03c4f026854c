//! What training and calibration read of a series: its scales, its z-scores and its windows.

use super::calibrate::{Calibrated, PcaReference, Samples, calibrate};
use super::fitted::Generator;
use super::report::{Health, Report};
use crate::anomaly::domain::FeatureDomain;
use crate::config::FitConfig;
use crate::data::normalise::{Matrix, Normaliser};
use crate::data::series::Series;
use crate::data::wild::Wild;
use crate::data::windows::{self, clean_starts, spread};
use crate::error::Result;
use crate::runtime::control::Control;
use crate::stats::pca::Pca;
use crate::vae::train::{StopReason, Task};
use crate::vae::{Architecture, Vae};

/// A series without wild values, ready for training.
pub(super) struct Prepared<'a> {
    pub series: &'a Series<'a>,
    pub config: &'a FitConfig,
    pub normaliser: Normaliser,
    pub matrix: Matrix,
    /// Start rows of the training windows.
    pub train: Vec<usize>,
    /// Start rows of the held-out windows.
    pub validation: Vec<usize>,
    health: Vec<Health>,
}

/// Passes a series to `work`, without its wild values.
///
/// # Errors
/// Those of the options and of `work`; [`crate::Error::TooShort`] and [`crate::Error::NoWindow`].
pub(super) fn with_prepared<T>(
    series: &Series<'_>,
    config: &FitConfig,
    control: &dyn Control,
    work: impl FnOnce(&Prepared<'_>) -> Result<T>,
) -> Result<T> {
    config.validate()?;
    let wild = Wild::find(series);
    match wild.left_out(series)? {
        Some(columns) => work(&Prepared::new(&series.replaced(&columns), &wild, config, control)?),
        None => work(&Prepared::new(series, &wild, config, control)?),
    }
}

/// Statistics of the training rows.
pub(super) fn normaliser(series: &Series<'_>, config: &FitConfig) -> Normaliser {
    Normaliser::fit(series, |t| match config.max_null > 0.0 {
        true => !series.is_labelled(t),
        false => series.is_clean(t),
    })
}

impl<'a> Prepared<'a> {
    fn new(
        series: &'a Series<'a>,
        wild: &Wild,
        config: &'a FitConfig,
        control: &dyn Control,
    ) -> Result<Self> {
        let starts = clean_starts(series, config)?;
        let normaliser = normaliser(series, config);
        let matrix = normaliser.apply(series, control)?;
        let (train, validation) = windows::split(&starts, config.window, config.validation);
        let health = wild.is_any().then_some(Health::WildValues).into_iter().collect();
        Ok(Self { series, config, normaliser, matrix, train, validation, health })
    }

    /// Sizes of a VAE of the series; `None` if no feature varies.
    pub(super) fn architecture(&self) -> Option<Architecture> {
        let live = self.normaliser.live_features().len();
        (live > 0).then(|| Architecture::new(self.config, live))
    }

    /// A training on its windows.
    pub(super) fn task<'b>(
        &'b self,
        architecture: &'b Architecture,
        pca: Option<&'b Pca>,
    ) -> Task<'b> {
        Task {
            matrix: &self.matrix,
            train: &self.train,
            validation: &self.validation,
            architecture,
            config: self.config,
            pca: pca.filter(|_| self.config.linear_path),
        }
    }

    /// A generator without a VAE, for a series in which no feature varies.
    pub(super) fn inert(&self) -> (Generator, Report) {
        let report = Report {
            train_windows: self.train.len(),
            validation_windows: self.validation.len(),
            stop_reason: Some(StopReason::NoLiveFeature),
            health: self.health.clone(),
            ..Report::default()
        };
        (self.untrained(), report)
    }

    fn untrained(&self) -> Generator {
        let series = self.series;
        let domain = FeatureDomain::of_rows(series, |t| !series.is_labelled(t));
        Generator { domain, ..Generator::inert(self.config.clone(), self.normaliser.clone()) }
    }

    /// Calibrates a VAE for the series; `trained` describes its training.
    pub(super) fn calibrated(
        &self,
        vae: &Vae,
        linear: PcaReference<'_>,
        trained: Report,
        control: &dyn Control,
    ) -> Result<(Generator, Report)> {
        let task = self.task(vae.architecture(), None);
        let samples = Samples::draw(&task, self.series, linear)?;
        let (learned, found) = calibrate(vae, &samples, control)?;
        let Calibrated { vae, tau, local_tau, normal_range, correlation, kinds } = learned;
        let report = Report {
            loss: trained.loss,
            steps: trained.steps,
            stop_reason: trained.stop_reason,
            history: trained.history,
            origin: trained.origin,
            train_windows: self.train.len(),
            validation_windows: self.validation.len(),
            health: [self.health.clone(), found.health.clone()].concat(),
            ..found
        };
        let vae = Some(vae);
        let fitted = self.untrained();
        let fitted = Generator { vae, tau, local_tau, normal_range, correlation, kinds, ..fitted };
        Ok((fitted, report))
    }
}

/// Principal components of at most `most` of the windows at `starts`.
pub(super) fn principal_components(
    matrix: &Matrix,
    starts: &[usize],
    architecture: &Architecture,
    most: usize,
) -> Result<Pca> {
    let sample = spread(starts, most);
    let windows = matrix.gather(&sample, architecture.window);
    Pca::fit(&windows, sample.len(), architecture.values(), architecture.latent)
}
