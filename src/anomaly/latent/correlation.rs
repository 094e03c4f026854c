//! Anomalies between features: every feature stays in its normal range, but their correlation
//! breaks.
//!
//! Correlations are measured on the reconstructions of normal windows, not on single rows: two
//! command flags that are raised in the same minute, but never in the same row, are correlated. A
//! window is cut into blocks. C is the covariance of the block means of X^ over training windows,
//! plus the variance of their residuals on the diagonal (the covariance of a factor model). The
//! joint distance of a stretch of rows is the mean over its blocks of m' C^-1 m, for block means m.

use std::borrow::Cow;
use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use crate::anomaly::change::Change;
use crate::anomaly::latent::patch::LEAST;
use crate::error::{Error, Result};
use crate::runtime::rng::Rng;
use crate::stats::rms;

/// Blocks of a window.
const BLOCKS: usize = 8;
/// Minimum absolute correlation of two partners.
pub(crate) const PARTNERS: f64 = 0.5;
/// Quantiles of the training rows that bound the normal range of a feature.
const NORMAL: (f64, f64) = (0.001, 0.999);
/// Quantile of the joint distances of normal blocks that bounds the normal range.
const LIMIT: f64 = 0.999;
/// Minimum variance added to the diagonal, in units of the mean variance.
const RIDGE: f64 = 1e-3;
/// Number of candidate changes per anomaly.
const CANDIDATES: usize = 256;
/// Minimum normal range of a feature that changes, in training standard deviations.
const ROOM: f32 = 0.1;

/// Correlation of the live features of a model, in z-scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Correlation {
    /// Normal range of every feature: quantiles of the training rows.
    pub low: Vec<f32>,
    pub high: Vec<f32>,
    /// C, [D, D].
    pub covariance: Vec<f32>,
    /// Joint distance that one normal block in a thousand exceeds.
    pub limit: f32,
    precision: DMatrix<f64>,
}

impl Correlation {
    /// Fits normal windows and their reconstructions, flat [n, W, D] each, and the values of all
    /// training rows by feature.
    ///
    /// # Errors
    /// [`Error::Model`] for values without a covariance.
    pub(crate) fn fit(
        windows: &[f32],
        reconstructed: &[f32],
        window: usize,
        features: usize,
        rows: impl Fn(usize) -> Vec<f32>,
    ) -> Result<Self> {
        let means = |values: &[f32]| -> Vec<Vec<f64>> {
            let windows = values.chunks_exact(window * features);
            windows.flat_map(|values| block_means(values, features, 0..window, window)).collect()
        };
        let (seen, known) = (means(windows), means(reconstructed));
        let n = seen.len().max(1) as f64;
        let centre: Vec<f64> =
            (0..features).map(|d| known.iter().map(|m| m[d]).sum::<f64>() / n).collect();
        let mut covariance = DMatrix::zeros(features, features);
        for m in &known {
            let m = DVector::from_iterator(features, m.iter().zip(&centre).map(|(m, c)| m - c));
            covariance.syger(1.0 / n, &m, &m, 1.0);
        }
        covariance.fill_upper_triangle_with_lower_triangle();
        let ridge = RIDGE * (1.0 + covariance.trace() / features.max(1) as f64);
        for d in 0..features {
            let rest = seen.iter().zip(&known).map(|(x, y)| (x[d] - y[d]).powi(2)).sum::<f64>() / n;
            covariance[(d, d)] += rest + ridge;
        }
        let covariance = covariance.iter().map(|x| *x as f32).collect();
        let (mut low, mut high) = (Vec::new(), Vec::new());
        for d in 0..features {
            let mut values = rows(d);
            low.push(quantile(&mut values, NORMAL.0));
            high.push(quantile(&mut values, NORMAL.1));
        }
        let mut joint = Self::new(low, high, covariance, 0.0)?;
        let mut distances: Vec<f32> = seen.iter().map(|m| joint.square(m) as f32).collect();
        joint.limit = quantile(&mut distances, LIMIT);
        Ok(joint)
    }

    /// From the parts that a model's bytes hold.
    ///
    /// # Errors
    /// [`Error::Model`] for parts that no fit writes.
    pub(crate) fn new(
        low: Vec<f32>,
        high: Vec<f32>,
        covariance: Vec<f32>,
        limit: f32,
    ) -> Result<Self> {
        let features = low.len();
        let ordered = low.iter().zip(&high).all(|(low, high)| low <= high);
        let unsound = || Error::Model("the correlation is inconsistent".into());
        if high.len() != features || covariance.len() != features * features || !ordered {
            return Err(unsound());
        }
        let matrix =
            DMatrix::from_iterator(features, features, covariance.iter().map(|x| f64::from(*x)));
        let precision = matrix.cholesky().ok_or_else(unsound)?.inverse();
        if !precision.iter().all(|x| x.is_finite()) {
            return Err(unsound());
        }
        Ok(Self { low, high, covariance, limit, precision })
    }

    /// Name, shape and values of its parts in a model's bytes.
    pub(crate) fn parts(&self) -> [(&'static str, Vec<usize>, Vec<f32>); 3] {
        let range = [self.low.clone(), self.high.clone()].concat();
        let values = [self.covariance.clone(), range, vec![self.limit]];
        let mut parts = Self::shapes(self.features()).into_iter().zip(values);
        std::array::from_fn(|_| {
            let ((name, shape), values) = parts.next().unwrap_or_default();
            (name, shape, values)
        })
    }

    /// Name and shape of its parts for `features` live features.
    pub(crate) fn shapes(features: usize) -> [(&'static str, Vec<usize>); 3] {
        [
            ("joint.covariance", vec![features, features]),
            ("joint.range", vec![2, features]),
            ("joint.limit", vec![1]),
        ]
    }

    fn features(&self) -> usize {
        self.low.len()
    }

    /// Correlation of two features.
    pub(crate) fn correlation(&self, a: usize, b: usize) -> f64 {
        let at = |i: usize, j: usize| f64::from(self.covariance[i * self.features() + j]);
        at(a, b) / (at(a, a) * at(b, b)).sqrt()
    }

    /// Largest absolute correlation between two features; 0 for a single feature.
    pub(crate) fn strongest(&self) -> f64 {
        let n = self.features();
        let pairs = (0..n).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.map(|(a, b)| self.correlation(a, b).abs()).fold(0.0, f64::max)
    }

    /// Features correlated with feature `d`, directly or through others, including `d`.
    fn group(&self, d: usize) -> Vec<usize> {
        let mut found = vec![d];
        let mut at = 0;
        while let Some(&from) = found.get(at) {
            for to in 0..self.features() {
                if !found.contains(&to) && self.correlation(from, to).abs() >= PARTNERS {
                    found.push(to);
                }
            }
            at += 1;
        }
        found
    }

    /// Groups of two or more correlated features of which at least one can change.
    pub(crate) fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for d in 0..self.features() {
            if !groups.iter().any(|group| group.members.contains(&d)) {
                let mut members = self.group(d);
                members.sort_unstable();
                let room = |d: &usize| self.high[*d] - self.low[*d] > ROOM;
                let free = members.iter().copied().filter(room).collect();
                groups.push(Group { members, free });
            }
        }
        groups.retain(|group| group.members.len() > 1 && !group.free.is_empty());
        groups
    }

    fn square(&self, mean: &[f64]) -> f64 {
        let mean = DVector::from_row_slice(mean);
        mean.dot(&(&self.precision * &mean))
    }

    /// Joint distance of the rows `segment` of a window [W, D].
    pub(crate) fn distance(&self, window: &[f32], segment: Range<usize>) -> f64 {
        let rows = window.len() / self.features().max(1);
        let means = block_means(window, self.features(), segment, rows);
        means.iter().map(|mean| self.square(mean)).sum::<f64>() / means.len().max(1) as f64
    }

    /// Breaks the correlation of the features of a window [W, D] over the rows `segment`. Some
    /// features of one of the `groups`, never all, take their values from another normal window
    /// (`donor`), or are mirrored at their regression on the most correlated partner (y - 2 r x).
    /// All values stay in the normal range of their feature; `weigh` blends the change of a feature
    /// into the input. Returns the candidate with the largest joint distance, and that distance. If
    /// no candidate changes anything, a feature is held at an end of its range.
    pub(crate) fn breach<'a>(
        &self,
        window: &[f32],
        segment: &Range<usize>,
        groups: &[Group],
        donor: impl Fn(&mut Rng) -> Cow<'a, [f32]>,
        weigh: impl Fn(usize, &[f32]) -> Vec<f32>,
        rng: &mut Rng,
    ) -> (Vec<Change>, f64) {
        let at = |t: usize, feature: usize| t * self.features() + feature;
        // Change of feature `d` if its rows become `values`.
        let change = |d: usize, values: &dyn Fn(usize) -> f32| {
            let within = |value: f32| value.max(self.low[d]).min(self.high[d]);
            let before: Vec<f32> = segment.clone().map(|t| window[at(t, d)]).collect();
            // Blends two values in the range; a value outside of it is moved inside.
            let moved = segment.clone().zip(&before).map(|(t, x)| within(values(t)) - within(*x));
            let mut delta: Vec<f32> = moved.collect();
            let weights = weigh(d, &delta);
            for ((delta, weight), x) in delta.iter_mut().zip(weights).zip(&before) {
                *delta = weight * *delta + (within(*x) - x);
            }
            Change { feature: d, delta }
        };
        let base = Base::new(self, window, segment);
        let mut best = (Vec::new(), f64::NEG_INFINITY);
        for _ in 0..CANDIDATES {
            let group = &groups[rng.below(groups.len())];
            let hit = group.part(rng);
            let donor = (rng.below(2) == 0).then(|| donor(rng));
            let one = |&d: &usize| match &donor {
                Some(donor) => change(d, &|t| donor[at(t, d)]),
                None => {
                    let (partner, slope) = self.mirror(d, &group.members, &hit);
                    change(d, &|t| window[at(t, d)] - 2.0 * slope * window[at(t, partner)])
                }
            };
            let mut changes: Vec<Change> = hit.iter().map(one).collect();
            changes.retain(|change| rms(&change.delta) >= LEAST);
            let distance = base.distance(self, &changes);
            if !changes.is_empty() && distance > best.1 {
                best = (changes, distance);
            }
        }
        if best.0.is_empty() {
            let free = &groups[rng.below(groups.len())].free;
            let d = free[rng.below(free.len())];
            let mean = segment.clone().map(|t| window[at(t, d)]).sum::<f32>();
            let middle = 0.5 * (self.low[d] + self.high[d]);
            let end = if mean < middle * segment.len() as f32 { self.high[d] } else { self.low[d] };
            let changes = vec![change(d, &|_| end)];
            let distance = base.distance(self, &changes);
            best = (changes, distance);
        }
        best
    }

    /// The feature of the group outside `hit` with the largest correlation to feature `d`, and the
    /// slope of the regression of `d` on it.
    fn mirror(&self, d: usize, group: &[usize], hit: &[usize]) -> (usize, f32) {
        let n = self.features();
        let outside = group.iter().copied().filter(|e| !hit.contains(e));
        let says = |e: &usize| self.correlation(d, *e).abs();
        let partner = outside.max_by(|a, b| says(a).total_cmp(&says(b))).unwrap_or(d);
        (partner, self.covariance[d * n + partner] / self.covariance[partner * n + partner])
    }
}

/// A group of correlated features.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    members: Vec<usize>,
    /// Members whose normal range is wide enough for a change.
    free: Vec<usize>,
}

impl Group {
    /// Some members that can change, never all members; smaller subsets are more likely.
    fn part(&self, rng: &mut Rng) -> Vec<usize> {
        let mut free = self.free.clone();
        rng.shuffle(&mut free);
        let most = free.len().min(self.members.len() - 1);
        let count = rng.log_uniform(1.0, most as f64).round() as usize;
        free.truncate(count.clamp(1, most));
        free.sort_unstable();
        free
    }
}

/// The rows of a segment before the change, to compute how a change affects their joint distance.
struct Base {
    /// First row of every block within the segment, and the segment's end.
    bounds: Vec<usize>,
    /// C^-1 m of every block.
    pull: Vec<DVector<f64>>,
    distance: f64,
}

impl Base {
    fn new(joint: &Correlation, window: &[f32], segment: &Range<usize>) -> Self {
        let rows = window.len() / joint.features().max(1);
        let means = block_means(window, joint.features(), segment.clone(), rows);
        let pull = means.iter().map(|mean| &joint.precision * DVector::from_row_slice(mean));
        Self {
            bounds: bounds(segment.len(), rows),
            pull: pull.collect(),
            distance: joint.distance(window, segment.clone()),
        }
    }

    /// Joint distance after changes: m' P m + 2 d' P m + d' P d for a change d of the means,
    /// computed over the changed features only.
    fn distance(&self, joint: &Correlation, changes: &[Change]) -> f64 {
        let mut added = 0.0;
        for (pull, block) in self.pull.iter().zip(self.bounds.windows(2)) {
            let moved: Vec<(usize, f64)> = changes
                .iter()
                .map(|Change { feature, delta }| {
                    let delta = &delta[block[0]..block[1]];
                    let sum = delta.iter().map(|x| f64::from(*x)).sum::<f64>();
                    (*feature, sum / delta.len() as f64)
                })
                .collect();
            for (i, d) in &moved {
                let other = moved.iter().map(|(j, e)| joint.precision[(*i, *j)] * e).sum::<f64>();
                added += d * (2.0 * pull[*i] + other);
            }
        }
        self.distance + added / self.pull.len().max(1) as f64
    }
}

/// First rows of the blocks of a segment of `length` rows, and its end, for windows of `rows` rows.
fn bounds(length: usize, rows: usize) -> Vec<usize> {
    let block = rows.div_ceil(BLOCKS).max(1);
    let count = ((length as f64 / block as f64).round() as usize).max(1);
    (0..count).map(|i| i * block).chain([length]).collect()
}

/// Means [D] of consecutive blocks of the rows `segment` of a window of `rows` rows. Blocks start
/// with the segment and are an eighth of the window long; the last one may be up to half a block
/// shorter or longer.
fn block_means(
    window: &[f32],
    features: usize,
    segment: Range<usize>,
    rows: usize,
) -> Vec<Vec<f64>> {
    bounds(segment.len(), rows)
        .windows(2)
        .map(|pair| {
            let block = segment.start + pair[0]..segment.start + pair[1];
            let mut mean = vec![0.0; features];
            for row in window[block.start * features..block.end * features].chunks_exact(features) {
                mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value));
            }
            mean.iter_mut().for_each(|mean| *mean /= block.len() as f64);
            mean
        })
        .collect()
}

/// The value at rank floor(q (n - 1)) for q below 0.5, else ceil: rounded outwards.
fn quantile(values: &mut [f32], q: f64) -> f32 {
    if values.is_empty() {
        return 0.0;
    }
    let rank = q * (values.len() - 1) as f64;
    let rank = if q < 0.5 { rank.ceil() } else { rank.floor() } as usize;
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::anomaly::blend::blend_weights;
    use crate::runtime::rng::{Purpose, Rng};

    const WINDOW: usize = 40;

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Anomaly, [0, 0])
    }

    /// `n` windows of three features: a slow wave, its negative with noise, and an unrelated one.
    fn windows(n: usize) -> Vec<f32> {
        let mut noise = rng(5);
        let mut values = Vec::new();
        for t in 0..n * WINDOW {
            let wave = 1.4 * (t as f32 / 23.0).sin();
            let [e, other] = [noise.normals(1)[0], (t as f32 / 7.7).cos()];
            values.extend([wave, 0.1 * e - wave, other]);
        }
        values
    }

    fn joint(windows: &[f32]) -> Correlation {
        let rows = |d| windows.iter().skip(d).step_by(3).copied().collect();
        Correlation::fit(windows, windows, WINDOW, 3, rows).unwrap()
    }

    #[test]
    fn finds_what_goes_together() {
        let joint = joint(&windows(100));
        assert_eq!(joint.groups(), [Group { members: vec![0, 1], free: vec![0, 1] }]);
        assert!(joint.correlation(0, 1) < -0.95 && joint.strongest() > 0.95);
        // About one block in a thousand of normal windows exceeds the limit.
        let blocks = joint.distance(&windows(1), 0..WINDOW);
        assert!(blocks < f64::from(joint.limit), "{blocks} {}", joint.limit);
    }

    #[test]
    fn inconsistent_parts_are_refused() {
        let ok = || Correlation::new(vec![0.0; 2], vec![1.0; 2], vec![1.0, 0.2, 0.2, 1.0], 3.0);
        assert!(ok().is_ok());
        for (low, high, covariance) in [
            (vec![0.0; 2], vec![1.0], vec![1.0, 0.2, 0.2, 1.0]),
            (vec![2.0; 2], vec![1.0; 2], vec![1.0, 0.2, 0.2, 1.0]),
            (vec![0.0; 2], vec![1.0; 2], vec![1.0, 2.0, 2.0, 1.0]),
            (vec![0.0; 2], vec![1.0; 2], vec![1.0]),
        ] {
            assert!(Correlation::new(low, high, covariance, 3.0).is_err());
        }
    }

    #[test]
    fn what_never_moves_by_itself_is_not_changed_and_nothing_is_inert() {
        let windows = windows(100);
        let mut joint = joint(&windows);
        joint.high[0] = joint.low[0];
        let groups = joint.groups();
        assert_eq!(groups, [Group { members: vec![0, 1], free: vec![1] }]);
        // A donor that returns the window itself, and an uncorrelated partner.
        let window = vec![0.0; WINDOW * 3];
        let weigh = |_: usize, delta: &[f32]| vec![1.0; delta.len()];
        let (changes, _) =
            joint.breach(&window, &(3..30), &groups, |_| Cow::from(&window), weigh, &mut rng(1));
        assert_eq!((changes.len(), changes[0].feature), (1, 1));
        let end = changes[0].delta[0];
        assert!(end == joint.low[1] || end == joint.high[1], "{end}");
    }

    #[test]
    fn blocks_cover_the_segment() {
        let window: Vec<f32> = (0..WINDOW).map(|t| t as f32).collect();
        for (segment, blocks) in [(0..40, 8), (3..4, 1), (0..7, 1), (0..8, 2), (10..24, 3)] {
            let means = block_means(&window, 1, segment.clone(), WINDOW);
            assert_eq!(means.len(), blocks, "{segment:?}");
        }
        assert_eq!(block_means(&window, 1, 3..4, WINDOW), [[3.0]]);
    }

    proptest! {
        #[test]
        fn margins_stay_normal_and_the_joint_does_not(
            seed in 0u64..500, start in 0usize..20, length in 10usize..20,
        ) {
            let windows = windows(100);
            let joint = joint(&windows);
            let at = (seed as usize % 100) * WINDOW * 3;
            let window = &windows[at..at + WINDOW * 3];
            let donor = |rng: &mut Rng| {
                let at = rng.below(100) * WINDOW * 3;
                Cow::from(&windows[at..at + WINDOW * 3])
            };
            let segment = start..start + length;
            let weigh = |_: usize, delta: &[f32]| blend_weights(delta.len());
            let (changes, distance) =
                joint.breach(window, &segment, &joint.groups(), donor, weigh, &mut rng(seed));
            prop_assert_eq!(changes.len(), 1);
            let Change { feature, delta } = &changes[0];
            prop_assert!(*feature < 2 && delta.len() == length && rms(delta) > 0.1);
            for (t, delta) in segment.clone().zip(delta) {
                let value = window[t * 3 + feature] + delta;
                prop_assert!(value >= joint.low[*feature] - 1e-5);
                prop_assert!(value <= joint.high[*feature] + 1e-5);
            }
            let mut changed = window.to_vec();
            for (t, delta) in segment.clone().zip(delta) {
                changed[t * 3 + feature] += delta;
            }
            let direct = joint.distance(&changed, segment.clone());
            prop_assert!((distance / direct - 1.0).abs() < 1e-6, "{} {}", distance, direct);
            prop_assert!(distance > 3.0 * joint.distance(window, segment));
            prop_assert!(distance > f64::from(joint.limit));
        }
    }
}
