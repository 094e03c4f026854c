//! Trains a VAE on windows of several series, each in its own scale.

use super::backbone::Backbone;
use super::fit::learn;
use super::prepared::{Prepared, principal_components};
use crate::config::FitConfig;
use crate::data::normalise::Matrix;
use crate::data::windows::spread;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::vae::Architecture;
use crate::vae::train::Task;

/// Numbers of training and of held-out windows, over all series.
const WINDOWS: [usize; 2] = [8192, 1024];
/// Maximum number of windows for the principal components, unless windows are shorter than that.
const PCA_WINDOWS: usize = 2400;

/// Some windows of a series, in its own scale, for the training of a backbone.
pub struct Excerpt {
    /// Options of the training.
    pub(crate) config: FitConfig,
    /// Names of the features, all of which vary.
    pub(crate) features: Vec<String>,
    /// The training windows, and the held-out ones.
    pub(crate) parts: [Matrix; 2],
}

impl Excerpt {
    /// The share of a series in the windows of `series` series, evenly spaced.
    pub(super) fn new(prepared: &Prepared<'_>, config: &FitConfig, series: usize) -> Self {
        let share = WINDOWS.map(|windows| windows.div_ceil(series.max(1)));
        let train = spread(&prepared.train, share[0]);
        let held_out = spread(&prepared.validation, share[1]);
        let part = |starts: &[usize]| prepared.matrix.excerpt(starts, config.window);
        Self {
            config: config.clone(),
            features: prepared.normaliser.live_names(),
            parts: [part(&train), part(&held_out)],
        }
    }

    /// Number of windows of a part.
    fn windows(&self, part: usize) -> usize {
        self.parts[part].height() / self.config.window
    }
}

/// Trains a backbone on windows of some series with the same features that vary.
///
/// # Errors
/// [`Error::Model`] without windows, or for windows of other features or options;
/// [`Error::Diverged`], [`Error::Interrupted`].
pub fn train_backbone(excerpts: &[Excerpt], control: &dyn Control) -> Result<Backbone> {
    let refused = || Error::Model("excerpts without windows, or of different trainings".into());
    let Excerpt { config, features, .. } = excerpts.first().ok_or_else(refused)?;
    let alike = |one: &Excerpt| one.features == *features && one.config == *config;
    let [trained, held_out] =
        [0, 1].map(|part| excerpts.iter().map(|one| one.windows(part)).sum::<usize>());
    if trained == 0 || !excerpts.iter().all(alike) {
        return Err(refused());
    }
    let parts = |part: usize| excerpts.iter().map(move |one| &one.parts[part]);
    let matrices: Vec<&Matrix> = parts(0).chain(parts(1)).collect();
    let matrix = Matrix::stack(&matrices);
    let mut train: Vec<usize> = (0..trained + held_out).map(|i| i * config.window).collect();
    let validation = train.split_off(trained);
    let architecture = &Architecture::new(config, features.len());
    // The cost is that of the smaller side.
    let most = if architecture.values() <= PCA_WINDOWS { train.len() } else { PCA_WINDOWS };
    let pca = principal_components(&matrix, &train, architecture, most)?;
    let task = Task {
        matrix: &matrix,
        train: &train,
        validation: &validation,
        architecture,
        config,
        pca: config.linear_path.then_some(&pca),
    };
    let (vae, _) = learn(&task, control)?;
    Backbone::new(config.clone(), features.clone(), vae)
}
