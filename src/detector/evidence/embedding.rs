//! Embeddings of a window: its values, its shape, its statistics.

use serde::{Deserialize, Serialize};

use super::features::{Features, Values};

/// Maximum number of points per feature, and the number for windows with more than [`MANY`] points
/// in all.
const POINTS: usize = 64;
const FEW_POINTS: usize = 16;
const MANY: usize = 512;
/// Minimum standard deviation by which a joint window is divided.
const JOINT_FLOOR: f32 = 1e-3;

/// An embedding of a window of m rows and d features as a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Embedding {
    /// Values: block means over rows, divided by the square root of their number.
    Raw,
    /// Values minus the mean of the window, per feature.
    Level,
    /// The same, divided by the standard deviation of the window (at least a floor), per feature.
    Shape,
    /// Mean, standard deviation, maximum and minimum, per feature.
    Stats,
    /// Standard deviation and maximum absolute value of the steps between rows, per feature.
    Diff,
    /// Values minus the mean over all features, divided by the standard deviation over all
    /// features.
    Joint,
}

/// Windows of one size of some features.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    pub values: &'a Values,
    pub features: &'a Features,
    pub chosen: &'a [usize],
    pub size: usize,
}

/// Rows per point of a window of `size` rows and `features` features.
fn block(size: usize, features: usize) -> usize {
    let mut block = 1;
    while size / block > POINTS || (size / block > FEW_POINTS && size / block * features > MANY) {
        block *= 2;
    }
    block
}

impl Embedding {
    /// Length of an embedded window.
    pub(super) fn width(self, size: usize, features: usize) -> usize {
        match self {
            Self::Stats => 4 * features,
            Self::Diff => 2 * features,
            _ => size / block(size, features) * features,
        }
    }

    /// The windows that begin at `starts`, [n, width].
    pub(super) fn embed(self, windows: Windows<'_>, starts: &[usize]) -> Vec<f32> {
        let width = self.width(windows.size, windows.chosen.len());
        let mut out = vec![0.0; starts.len() * width];
        for (row, &start) in out.chunks_exact_mut(width.max(1)).zip(starts) {
            self.write(windows, start, row);
        }
        out
    }

    fn write(self, windows: Windows<'_>, start: usize, out: &mut [f32]) {
        match self {
            Self::Stats => statistics(windows, start, out),
            Self::Diff => differences(windows, start, out),
            _ => self.points(windows, start, out),
        }
    }

    /// Block means, [D, points].
    fn points(self, windows: Windows<'_>, start: usize, out: &mut [f32]) {
        let Windows { values, features, chosen, size } = windows;
        let block = block(size, chosen.len());
        let points = size / block;
        for (slots, &d) in out.chunks_exact_mut(points).zip(chosen) {
            let window = values.window(d, start, points * block);
            block_means(window, block, slots);
            match self {
                Self::Level => centre(slots),
                Self::Shape => standardise(slots, features.floor(d)),
                _ => {}
            }
        }
        if self == Self::Joint {
            standardise(out, JOINT_FLOOR);
        }
        let scale = 1.0 / (points as f32).sqrt();
        out.iter_mut().for_each(|x| *x *= scale);
    }
}

fn block_means(window: &[f32], block: usize, out: &mut [f32]) {
    match block {
        1 => out.copy_from_slice(window),
        _ => {
            let means = window.chunks_exact(block).map(|rows| rows.iter().sum::<f32>());
            out.iter_mut().zip(means).for_each(|(slot, sum)| *slot = sum / block as f32);
        }
    }
}

/// Sums in eight lanes: the compiler vectorises them, and the order is fixed.
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += of(*x));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}

fn mean(values: &[f32]) -> f32 {
    sum(values, |x| x) / values.len().max(1) as f32
}

fn deviation(values: &[f32], mean: f32) -> f32 {
    (sum(values, |x| (x - mean) * (x - mean)) / values.len().max(1) as f32).sqrt()
}

fn centre(values: &mut [f32]) {
    let mean = mean(values);
    values.iter_mut().for_each(|x| *x -= mean);
}

fn standardise(values: &mut [f32], floor: f32) {
    let mean = mean(values);
    let scale = 1.0 / deviation(values, mean).max(floor);
    values.iter_mut().for_each(|x| *x = (*x - mean) * scale);
}

/// [4, D]: means, standard deviations, maxima, minima.
fn statistics(windows: Windows<'_>, start: usize, out: &mut [f32]) {
    let width = windows.chosen.len();
    for (i, &d) in windows.chosen.iter().enumerate() {
        let window = windows.values.window(d, start, windows.size);
        let mean = mean(window);
        let high = window.iter().fold(f32::MIN, |most, x| most.max(*x));
        let low = window.iter().fold(f32::MAX, |least, x| least.min(*x));
        let found = [mean, deviation(window, mean), high, low];
        found.into_iter().enumerate().for_each(|(j, x)| out[j * width + i] = x);
    }
}

/// [2, D]: standard deviations and maximum absolute values of the steps.
fn differences(windows: Windows<'_>, start: usize, out: &mut [f32]) {
    let width = windows.chosen.len();
    let mut steps = vec![0f32; windows.size.saturating_sub(1)];
    for (i, &d) in windows.chosen.iter().enumerate() {
        let window = windows.values.window(d, start, windows.size);
        let pairs = window.iter().zip(&window[1..]);
        steps.iter_mut().zip(pairs).for_each(|(step, (a, b))| *step = b - a);
        out[i] = deviation(&steps, mean(&steps));
        out[width + i] = steps.iter().fold(0f32, |most, step| most.max(step.abs()));
    }
}
