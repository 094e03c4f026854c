//! Features in the scale of distances, and the kind of each.

use serde::{Deserialize, Serialize};

use crate::data::normalise::CONSTANT_RANGE;
use crate::data::positions::mixed;
use crate::data::series::Series;
use crate::error::{Error, Result};

/// Maximum absolute value of a scaled feature, so that distances fit 32 bits.
const LIMIT: f64 = 1e8;
/// Minimum standard deviation of a shape: this share of the feature's own, and this value.
const FLOOR_SHARE: f64 = 0.05;
const FLOOR: f64 = 1e-3;

/// Kind of a feature in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FeatureKind {
    /// Takes values other than 0 and 1.
    Measurement,
    /// Varies between 0 and 1.
    Flag,
    /// Does not vary.
    Constant,
}

/// How the features of a series are scaled: x -> (x - centre) / divisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Features {
    /// Mean over the training rows.
    centre: Vec<f64>,
    /// Range over the training rows; 1 if that is 0.
    divisor: Vec<f64>,
    kind: Vec<FeatureKind>,
    /// Minimum standard deviation of a window for its shape, in units of the divisor.
    floor: Vec<f64>,
}

/// The scaled values of a series by feature: [D][T].
pub(crate) struct Values(Vec<Vec<f32>>);

/// Statistics of one pass over the values of a feature; halved, so that no sum of finite values
/// overflows.
#[derive(Default)]
struct Extent {
    low: f64,
    high: f64,
    binary: bool,
    mean: f64,
}

impl Features {
    /// Statistics over the values of the rows where `keep` holds.
    pub(super) fn fit(series: &Series<'_>, keep: impl Fn(usize) -> bool) -> Self {
        let mut features =
            Self { centre: Vec::new(), divisor: Vec::new(), kind: Vec::new(), floor: Vec::new() };
        let mut column = vec![0.0; series.len()];
        for d in 0..series.columns().width() {
            series.read(d, 0, &mut column);
            let kept = |(t, x): (usize, &f64)| (keep(t) && !x.is_nan()).then_some(*x);
            features.add(&column.iter().enumerate().filter_map(kept).collect::<Vec<f64>>());
        }
        features
    }

    fn add(&mut self, values: &[f64]) {
        let Extent { low, high, binary, mean, .. } = Extent::of(values);
        let moves = high / 2.0 - low / 2.0 > 0.5 * CONSTANT_RANGE * low.abs().max(high.abs());
        let divisor = if moves { (high - low).min(f64::MAX) } else { 1.0 };
        let n = values.len().max(1) as f64;
        let square = |x: &f64| (x / divisor - mean / divisor).powi(2);
        let deviation = (values.iter().map(square).sum::<f64>() / n).sqrt();
        self.centre.push(mean);
        self.divisor.push(divisor);
        self.kind.push(match (moves, binary) {
            (false, _) => FeatureKind::Constant,
            (true, true) => FeatureKind::Flag,
            (true, false) => FeatureKind::Measurement,
        });
        self.floor.push((FLOOR_SHARE * deviation).clamp(FLOOR, LIMIT));
    }

    /// Number of features D.
    pub(super) fn len(&self) -> usize {
        self.kind.len()
    }

    /// The features of some kinds.
    pub(super) fn of(&self, chosen: impl Fn(FeatureKind) -> bool) -> Vec<usize> {
        (0..self.len()).filter(|&d| chosen(self.kind[d])).collect()
    }

    pub(super) fn floor(&self, d: usize) -> f32 {
        self.floor[d] as f32
    }

    /// One scaled unit in the unit of feature `d`.
    pub(super) fn divisor(&self, d: usize) -> f64 {
        self.divisor[d]
    }

    /// A scaled value in the unit of feature `d`.
    pub(super) fn restored(&self, d: usize, scaled: f32) -> f64 {
        self.centre[d] + f64::from(scaled) * self.divisor[d]
    }

    /// Whether a fit can have written this for `n` features.
    pub(super) fn is_sound(&self, n: usize) -> bool {
        let sizes = [self.centre.len(), self.divisor.len(), self.kind.len(), self.floor.len()];
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        sizes == [n; 4]
            && self.centre.iter().all(|x| x.is_finite())
            && self.divisor.iter().chain(&self.floor).all(positive)
    }

    /// A series in this scale. Missing values are interpolated linearly.
    pub(super) fn apply(&self, series: &Series<'_>) -> Result<Values> {
        if series.columns().width() != self.len() {
            let allowed = format!("a series of the model's {} features", self.len());
            return Err(Error::parameter("features", series.columns().width(), allowed));
        }
        let mut column = vec![0.0; series.len()];
        let scaled = |d: usize| {
            series.read(d, 0, &mut column);
            let mut values: Vec<f32> = column.iter().map(|x| self.scaled(d, *x)).collect();
            let edges = [&[0], series.gaps(), &[series.len()]].concat();
            if !series.is_complete() {
                edges.windows(2).for_each(|edge| fill(&mut values[edge[0]..edge[1]]));
            }
            values
        };
        Ok(Values((0..self.len()).map(scaled).collect()))
    }

    fn scaled(&self, d: usize, x: f64) -> f32 {
        let (centre, divisor) = (self.centre[d], self.divisor[d]);
        let difference = x - centre;
        let scaled = match difference.is_finite() || x.is_nan() {
            true => difference / divisor,
            false => x / divisor - centre / divisor,
        };
        scaled.clamp(-LIMIT, LIMIT) as f32
    }
}

impl Extent {
    fn of(values: &[f64]) -> Self {
        let (Some(&first), n) = (values.first(), values.len() as f64) else {
            return Self::default();
        };
        let low = values.iter().fold(first, |low, x| low.min(*x));
        let high = values.iter().fold(first, |high, x| high.max(*x));
        let binary = values.iter().all(|x| *x == 0.0 || *x == 1.0);
        // Relative to the first value, so that small variation at a high level keeps its digits.
        let about = if (high - low).is_finite() { first } else { 0.0 };
        let mean = about + values.iter().map(|x| (x - about) / n).sum::<f64>();
        Self { low, high, binary, mean }
    }
}

impl Values {
    /// From scaled columns.
    pub(super) fn new(columns: Vec<Vec<f32>>) -> Self {
        Self(columns)
    }

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// The values of feature `d` in `size` rows from row `start`.
    pub(super) fn window(&self, d: usize, start: usize, size: usize) -> &[f32] {
        &self.0[d][start..start + size]
    }

    /// Whether two windows of `size` rows are equal.
    pub(super) fn alike(&self, a: usize, b: usize, size: usize) -> bool {
        (0..self.0.len()).all(|d| self.window(d, a, size) == self.window(d, b, size))
    }

    /// The rows of `pieces`, concatenated.
    pub(super) fn picked(&self, pieces: &[std::ops::Range<usize>]) -> Self {
        let pick = |column: &Vec<f32>| -> Vec<f32> {
            pieces.iter().flat_map(|piece| &column[piece.clone()]).copied().collect()
        };
        Self(self.0.iter().map(pick).collect())
    }

    /// A hash of the values of every row.
    pub(super) fn row_hashes(&self) -> Vec<u64> {
        let mut hashes = vec![0u64; self.rows()];
        for column in &self.0 {
            let rows = hashes.iter_mut().zip(column);
            rows.for_each(|(hash, value)| *hash = mixed(*hash ^ u64::from(value.to_bits())));
        }
        hashes
    }

    /// By feature, [D, T].
    pub(super) fn flat(&self) -> Vec<f32> {
        self.0.concat()
    }
}

/// Interpolates linearly between known values, and repeats the nearest one outside of them. 0 if
/// all are missing.
fn fill(values: &mut [f32]) {
    let known: Vec<usize> = (0..values.len()).filter(|&t| !values[t].is_nan()).collect();
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
        values.fill(0.0);
        return;
    };
    let (before, after) = (values[first], values[last]);
    values[..first].fill(before);
    values[last + 1..].fill(after);
    for pair in known.windows(2).filter(|pair| pair[1] > pair[0] + 1) {
        let (from, to) = (values[pair[0]], values[pair[1]]);
        let steps = (pair[1] - pair[0]) as f32;
        for (step, value) in values[pair[0] + 1..pair[1]].iter_mut().enumerate() {
            *value = from + (to - from) * ((step + 1) as f32 / steps);
        }
    }
}
