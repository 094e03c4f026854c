//! The unit of distances: the usual distance between windows of normal rows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::is_default;

/// Minimum number of held-out distances per quarter, if there are as many.
const HELD: usize = 250;
/// Parts of the training rows that are held out in turn, and the minimum number of references left.
const PARTS: usize = 4;
const FEWEST: usize = 8;
/// Quantile of the distances that is one unit above the median.
const HIGH: f64 = 0.9;
/// Largest power of the number of references that distances fall with: that of points on a line.
const MOST_SHRINKAGE: f64 = 1.0;
/// Minimum weight of a member.
const LEAST_STEADY: f64 = 1e-6;

/// Distance -> z = (distance - median) / unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DistanceScale {
    /// Median of the leave-one-out distances.
    pub median: f64,
    /// Their 90 % quantile minus the median.
    pub unit: f64,
    /// 90 % quantile of the leave-one-out distances / that of the held-out distances, at most 1. A
    /// member that cannot predict held-out training rows gets a lower weight.
    pub steady: f64,
    /// The power b of distances ~ n^-b to the nearest of n references.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shrinkage: f64,
    /// Median z of held-out distances, at least 0: what rows that were not seen reach.
    #[serde(default, skip_serializing_if = "is_default")]
    pub usual: f64,
}

impl DistanceScale {
    /// From leave-one-out distances, and from held-out distances if there are `quarters`.
    pub(super) fn fit(own: &[f32], held: &[f32], quarters: &[Option<Range<usize>>]) -> Self {
        let own = sorted(own.iter().copied());
        let (median, high) = (quantile(&own, 0.5), quantile(&own, HIGH));
        let unit = (high - median).max(1e-3 * median.max(1e-6)).max(1e-9);
        let held = sorted(thinned(held, quarters).into_iter());
        let steady = match held.is_empty() {
            true => 1.0,
            false => (high / quantile(&held, HIGH).max(1e-9)).clamp(LEAST_STEADY, 1.0),
        };
        Self { median, unit, steady, shrinkage: 0.0, usual: 0.0 }
    }

    pub(super) fn z(&self, distance: f32) -> f64 {
        (f64::from(distance) - self.median) / self.unit
    }

    /// With the power b of distances ~ n^-b to the nearest of n references: 1 / dimension for points that are
    /// spread evenly, 0 where distances do not fall. Where held-out distances are larger than that explains, rows
    /// far away in time are not alike, and more references help less: b counts by the part that it explains.
    pub(super) fn with_shrinkage(self, pairs: &[Shrinkage]) -> Self {
        let usable = |pair: &&Shrinkage| {
            pair.distance_to_fewer.is_finite() && (FEWEST..pair.references).contains(&pair.fewer)
        };
        let sum = |of: &dyn Fn(&Shrinkage) -> f64| pairs.iter().filter(usable).map(of).sum::<f64>();
        let ratio = |a: usize, b: usize| (a as f64 / b as f64).ln();
        let count = sum(&|_| 1.0);
        let fewer = sum(&|pair| ratio(pair.references, pair.fewer)) / count;
        let farther =
            sum(&|pair| f64::from(pair.distance_to_fewer)) / sum(&|p| f64::from(p.distance));
        if !(fewer > 0.0 && farther.is_finite() && farther > 0.0) {
            return self;
        }
        let power = (farther.ln() / fewer).clamp(0.0, MOST_SHRINKAGE);
        let kept = sum(&|pair| ratio(pair.references, pair.all)) / count;
        let explained = (self.steady / (power * kept).exp()).min(1.0);
        Self { shrinkage: power * explained, ..self }
    }

    /// With the z that held-out distances usually have.
    pub(super) fn with_usual(self, held: &[f32]) -> Self {
        let held = sorted(held.iter().copied());
        let usual =
            if held.is_empty() { 0.0 } else { self.z(quantile(&held, 0.5) as f32).max(0.0) };
        Self { usual, ..self }
    }

    /// A distance from the nearest of all references but a `share` of them, as it would be without that.
    pub(super) fn of_all(&self, distance: f32, share: f64) -> f32 {
        if share > 0.0 { distance * (1.0 - share).powf(self.shrinkage) as f32 } else { distance }
    }

    /// Whether a fit can have written this.
    pub(super) fn is_sound(&self) -> bool {
        (0.0..=MOST_SHRINKAGE).contains(&self.shrinkage)
            && self.median.is_finite()
            && self.median >= 0.0
            && self.unit.is_finite()
            && self.unit > 0.0
            && (0.0..=1.0).contains(&self.steady)
            && self.steady > 0.0
            && self.usual.is_finite()
            && self.usual >= 0.0
    }
}

/// The distance of a window from the nearest of some references, and of fewer of these.
pub(super) struct Shrinkage {
    /// Number of all references, of those compared, and of the fewer ones.
    pub all: usize,
    pub references: usize,
    pub fewer: usize,
    pub distance: f32,
    pub distance_to_fewer: f32,
}

/// A subset of the distances of every quarter.
fn thinned(held: &[f32], quarters: &[Option<Range<usize>>]) -> Vec<f32> {
    let with_quarter: Vec<(&f32, &Range<usize>)> =
        held.iter().zip(quarters).filter_map(|(x, quarter)| Some((x, quarter.as_ref()?))).collect();
    let of_quarter = |members: &[(&f32, &Range<usize>)]| {
        let step = (members.len() / HELD).max(1);
        members.iter().step_by(step).map(|(x, _)| **x).collect::<Vec<f32>>()
    };
    with_quarter.chunk_by(|a, b| a.1 == b.1).flat_map(of_quarter).collect()
}

/// For each reference, the references in the same quarter of `all` windows, or less than `size`
/// rows away; `None` if too few others are left.
pub(super) fn quarters(
    starts: &[usize],
    all: &[Range<usize>],
    size: usize,
) -> Vec<Option<Range<usize>>> {
    let windows: usize = all.iter().map(Range::len).sum();
    let edge = |part: usize| nth(all, (part * windows).div_ceil(PARTS));
    let excluded = |part: usize| {
        let (from, to) = (edge(part), edge(part + 1));
        let first = starts.partition_point(|start| from.is_none_or(|from| start + size < from));
        let end = starts.partition_point(|start| to.is_none_or(|to| *start < to + size));
        let left = starts.len() - (end - first.min(end));
        (left >= FEWEST).then_some(first..end)
    };
    let parts: Vec<Option<Range<usize>>> = (0..PARTS).map(excluded).collect();
    let part = |start: &usize| {
        (1..PARTS).rev().find(|part| edge(*part).is_some_and(|from| from <= *start)).unwrap_or(0)
    };
    starts.iter().map(|start| parts[part(start)].clone()).collect()
}

/// Window number `i` of some ranges of windows.
fn nth(ranges: &[Range<usize>], mut i: usize) -> Option<usize> {
    for range in ranges {
        if i < range.len() {
            return Some(range.start + i);
        }
        i -= range.len();
    }
    None
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.filter(|x| x.is_finite()).map(f64::from).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Quantile of sorted values, linearly interpolated; 0 if there are none.
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * sorted.len().saturating_sub(1) as f64;
    let below = at as usize;
    let value = |i: usize| sorted.get(i).or(sorted.last()).copied().unwrap_or(0.0);
    value(below) + (at - below as f64) * (value(below + 1) - value(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distances ~ n^-0.5, from 75 % and from 50 % of 400 references.
    #[test]
    fn shrinkage_is_the_power_of_distances() {
        let scale =
            |steady| DistanceScale { median: 1.0, unit: 1.0, steady, shrinkage: 0.0, usual: 0.0 };
        let pair = |distance: f32| Shrinkage {
            all: 400,
            references: 300,
            fewer: 200,
            distance,
            distance_to_fewer: distance * 1.5f32.sqrt(),
        };
        let pairs = [1.0, 3.0].map(pair);
        let found = scale(0.9).with_shrinkage(&pairs);
        assert!((found.shrinkage - 0.5).abs() < 1e-6);
        assert!((found.of_all(2.0, 0.25) - 2.0 * 0.75f32.sqrt()).abs() < 1e-6);
        assert_eq!(found.of_all(2.0, 0.0), 2.0);
        // Half of what is expected of fewer references: half of the power.
        let moving = scale(0.5 * 0.75f64.sqrt()).with_shrinkage(&pairs);
        assert!((moving.shrinkage - 0.25).abs() < 1e-6);
        assert_eq!(scale(1.0).with_shrinkage(&[]).shrinkage, 0.0);
    }

    #[test]
    fn usual_is_what_held_out_distances_reach() {
        let scale = DistanceScale::fit(&[1.0; 10], &[], &[]);
        let scale = DistanceScale { unit: 2.0, ..scale };
        assert_eq!(scale.with_usual(&[4.0, 2.0, 9.0, f32::INFINITY]).usual, 1.5);
        assert_eq!(scale.with_usual(&[0.5]).usual, 0.0);
        assert_eq!(scale.with_usual(&[]).usual, 0.0);
    }

    /// The checksum of a model is that of what would be written.
    #[test]
    fn scales_of_older_models_are_written_as_they_were() {
        let text = r#"{"median":1.0,"unit":2.0,"steady":0.5}"#;
        let scale: DistanceScale = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&scale).unwrap(), text);
    }
}
