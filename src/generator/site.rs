//! Site and size of an anomaly.

use std::ops::Range;

use crate::data::batches::map_windows;
use crate::data::normalise::Matrix;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::rng::Rng;
use crate::stats::rms;
use crate::vae::Vae;

/// Number of windows of a series whose decodings are used to deform others.
const DECODED: usize = 64;
/// A segment and the window in which it is decoded.
pub(crate) struct Site {
    pub window: usize,
    pub segment: Range<usize>,
}

impl Site {
    /// The rows of the segment within the window.
    pub(super) fn rows(&self) -> Range<usize> {
        self.segment.start - self.window..self.segment.end - self.window
    }
}

/// The requested size of an anomaly, and the blending of its ends.
pub(super) struct Size {
    /// RMS of the change of each feature; `None` to leave it as decoded.
    pub target: Option<f32>,
    /// The same in the unit of each feature, where that is what was asked for.
    pub unit: Option<f64>,
    /// One weight per row, for each hit feature.
    pub weights: Vec<Vec<f32>>,
    /// Direction of a change without a shape.
    pub up: bool,
}

impl Size {
    /// RMS of the change of a feature of deviation `std`; `None`: as it was decoded.
    pub(super) fn of_feature(&self, std: f64) -> Option<f32> {
        self.unit.map(|unit| (unit / std) as f32).or(self.target)
    }

    /// RMS of blended changes over all of their values.
    pub(super) fn of(&self, deltas: &[Vec<f32>]) -> f32 {
        let pairs = deltas.iter().zip(&self.weights);
        let weighted = pairs.flat_map(|(delta, weights)| delta.iter().zip(weights));
        rms(&weighted.map(|(delta, weight)| delta * weight).collect::<Vec<_>>())
    }
}

/// Start of a random window of `size` rows, among those in a run of at least that length; `None` if
/// there is no run.
pub(super) fn random_start(runs: &[Range<usize>], size: usize, rng: &mut Rng) -> Option<usize> {
    let free = |run: &Range<usize>| run.len() + 1 - size;
    let mut at = rng.below(runs.iter().map(free).sum());
    for run in runs {
        if at < free(run) {
            return Some(run.start + at);
        }
        at -= free(run);
    }
    None
}

/// dec(mu) of some random windows of a series, flat [n, W, D].
pub(crate) fn decodings(
    vae: &Vae,
    matrix: &Matrix,
    runs: &[Range<usize>],
    rng: &mut Rng,
    control: &dyn Control,
) -> Result<Vec<f32>> {
    let window = vae.architecture().window;
    let starts: Vec<usize> = (0..DECODED).filter_map(|_| random_start(runs, window, rng)).collect();
    let parts = map_windows(matrix, &starts, window, control, |x| vae.decode_mean(x))?;
    Ok(parts.concat())
}
