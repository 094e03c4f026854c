//! Trains a VAE on windows of several series, each in its own scale.

use super::backbone::Backbone;
use super::fit::learn;
use super::prepared::{Prepared, principal_components};
use crate::config::FitConfig;
use crate::data::normalise::Matrix;
use crate::data::windows::spread;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::vae::Architecture;
use crate::vae::train::Task;

/// Numbers of training and of held-out windows, over all series.
const WINDOWS: [usize; 2] = [8192, 1024];
/// Maximum number of windows for the principal components.
const PCA_WINDOWS: usize = 2400;

/// Trains on windows of some series with the same features that vary.
pub(super) fn train_backbone(
    excerpts: &[Excerpt],
    features: &[String],
    config: &FitConfig,
    control: &dyn Control,
) -> Result<Backbone> {
    let parts = |part: fn(&Excerpt) -> &Matrix| excerpts.iter().map(part);
    let matrices: Vec<&Matrix> =
        parts(|excerpt| &excerpt.train).chain(parts(|excerpt| &excerpt.held_out)).collect();
    let matrix = Matrix::stack(&matrices);
    let windows = |n: usize| (0..n).map(|i| i * config.window).collect::<Vec<_>>();
    let trained: usize = excerpts.iter().map(|excerpt| excerpt.windows[0]).sum();
    let held_out: usize = excerpts.iter().map(|excerpt| excerpt.windows[1]).sum();
    let mut train = windows(trained + held_out);
    let validation = train.split_off(trained);
    let architecture = &Architecture::new(config, features.len());
    let pca = principal_components(&matrix, &train, architecture, PCA_WINDOWS)?;
    let task = Task {
        matrix: &matrix,
        train: &train,
        validation: &validation,
        architecture,
        config,
        pca: config.linear_path.then_some(&pca),
    };
    let (vae, _) = learn(&task, control)?;
    Backbone::new(config.clone(), features.to_vec(), vae)
}

/// Some windows of a series, in its own scale.
pub(super) struct Excerpt {
    train: Matrix,
    held_out: Matrix,
    /// Numbers of windows of both.
    windows: [usize; 2],
}

impl Excerpt {
    /// Its share of the windows of `series` series, evenly spaced.
    pub(super) fn new(prepared: &Prepared<'_>, series: usize) -> Self {
        let share = WINDOWS.map(|windows| windows.div_ceil(series.max(1)));
        let train = spread(&prepared.train, share[0]);
        let held_out = spread(&prepared.validation, share[1]);
        let size = prepared.config.window;
        Self {
            train: prepared.matrix.excerpt(&train, size),
            held_out: prepared.matrix.excerpt(&held_out, size),
            windows: [train.len(), held_out.len()],
        }
    }
}
