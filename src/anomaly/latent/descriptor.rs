//! Diversity of generated anomalies: latent noise spread over its space, descriptors of changes,
//! the choice among several draws, and clusters.

use crate::stats::normal_quantile;
use serde::{Deserialize, Serialize};

use crate::kernels::squared_differences;
use crate::runtime::rng::Rng;
use crate::stats::kmeans::{KMeans, nearest};
use crate::stats::rms;

/// Length of a descriptor.
pub(crate) const WIDTH: usize = 8;
/// Number of latest anomalies that the next one is compared with.
const REMEMBERED: usize = 256;

/// A Latin hypercube sample of N(0, I) (McKay, Beckman and Conover, Technometrics 21, 1979): `n`
/// rows of `width` values, flat. Every column has one value in each of `n` equally likely strata;
/// every single value is normally distributed.
pub(crate) fn latin_normals(n: usize, width: usize, rng: &mut Rng) -> Vec<f32> {
    let mut values = vec![0.0; n * width];
    let mut strata: Vec<usize> = (0..n).collect();
    for j in 0..width {
        rng.shuffle(&mut strata);
        for (i, stratum) in strata.iter().enumerate() {
            // Excludes 0 and 1, where the quantile is infinite.
            let inside = rng.uniform().max(f64::EPSILON);
            values[i * width + j] = normal_quantile((*stratum as f64 + inside) / n as f64) as f32;
        }
    }
    values
}

/// A short description of the change of an anomaly, independent of which features it hits. Every
/// number has a range of about 1, so that Euclidean distances weigh them equally:
///
/// 0. log10 of the RMS change over rows and hit features (training deviations),
/// 1. share of the features that it hits,
/// 2. level: mean / RMS, by absolute value, 0 for an oscillation, 1 for a shift,
/// 3. direction: mean / RMS with its sign,
/// 4. slope: absolute correlation with time,
/// 5. roughness: RMS of the steps / RMS, halved, 0 for smooth, about 0.7 for white noise,
/// 6. middle of its energy within the segment, -1 at the start, 1 at the end,
/// 7. peak: log10 of largest absolute value / RMS.
///
/// Numbers 2 to 7 are energy-weighted means over the hit features.
pub(crate) fn descriptor(deltas: &[impl AsRef<[f32]>], features: usize) -> [f32; WIDTH] {
    let mut sum = [0f64; WIDTH];
    let (mut energy, mut rows) = (0.0, 0);
    for delta in deltas.iter().map(AsRef::as_ref) {
        let square = f64::from(rms(delta)).powi(2) * delta.len() as f64;
        energy += square;
        rows += delta.len();
        if square > 0.0 {
            let shape = shape_numbers(delta);
            sum[2..].iter_mut().zip(shape).for_each(|(sum, number)| *sum += square * number);
        }
    }
    if energy <= 0.0 {
        return [0.0; WIDTH];
    }
    sum.iter_mut().for_each(|number| *number /= energy);
    sum[0] = (energy / rows as f64).sqrt().log10();
    sum[1] = deltas.len() as f64 / features.max(1) as f64;
    sum.map(|number| number as f32)
}

/// Numbers 2 to 7 of [`descriptor`] for the change of one feature, which is not 0 everywhere.
fn shape_numbers(delta: &[f32]) -> [f64; 6] {
    let n = delta.len() as f64;
    let size = f64::from(rms(delta));
    let values = || delta.iter().map(|x| f64::from(*x));
    let mean = values().sum::<f64>() / n;
    let at = |t: usize| t as f64 - 0.5 * (n - 1.0);
    let spread = |sum: f64| (sum / n).sqrt();
    let time = spread((0..delta.len()).map(|t| at(t).powi(2)).sum());
    let deviation = spread(values().map(|x| (x - mean).powi(2)).sum());
    let shared = values().enumerate().map(|(t, x)| at(t) * x).sum::<f64>() / n;
    // The slope of a constant change is rounding error only.
    let slope =
        if time * deviation > 1e-9 * size { (shared / (time * deviation)).abs() } else { 0.0 };
    let steps = delta.windows(2).map(|pair| f64::from(pair[1] - pair[0]).powi(2)).sum::<f64>();
    let roughness = (steps / (n - 1.0).max(1.0)).sqrt() / size;
    let middle = values().enumerate().map(|(t, x)| at(t) * x * x).sum::<f64>() / (n * size * size);
    let middle = middle / (0.5 * (n - 1.0)).max(1.0);
    let peak = values().fold(0.0, |most: f64, x| most.max(x.abs())) / size;
    [(mean / size).abs(), mean / size, slope, 0.5 * roughness, middle, peak.log10()]
}

/// Chooses one draw per window so that the choices cover the space of descriptors: greedily, the
/// draw that is farthest from its nearest previous choice (farthest-first traversal, Gonzalez,
/// 1985).
#[derive(Default)]
pub(crate) struct Coverage {
    chosen: Vec<[f32; WIDTH]>,
    next: usize,
}

impl Coverage {
    /// Position of the chosen draw among those where `allowed` holds; among all if there is none.
    pub(crate) fn choose(&mut self, draws: &[([f32; WIDTH], bool)]) -> usize {
        let any = draws.iter().any(|(_, allowed)| *allowed);
        let gap = |descriptor: &[f32; WIDTH]| {
            let squares = self.chosen.iter().map(|other| {
                let mut square = [0.0];
                squared_differences(&mut square, descriptor, other);
                square[0]
            });
            squares.fold(f64::INFINITY, f64::min)
        };
        let mut best = (0, f64::NEG_INFINITY);
        for (i, (descriptor, allowed)) in draws.iter().enumerate() {
            let gap = gap(descriptor);
            if (*allowed || !any) && gap > best.1 {
                best = (i, gap);
            }
        }
        if let Some((descriptor, _)) = draws.get(best.0) {
            self.remember(*descriptor);
        }
        best.0
    }

    /// Stores the latest descriptors in a ring buffer.
    fn remember(&mut self, descriptor: [f32; WIDTH]) {
        if self.chosen.len() < REMEMBERED {
            self.chosen.push(descriptor);
        } else {
            self.chosen[self.next] = descriptor;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }
}

/// Clusters of a model's anomalies in the space of descriptors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clusters {
    /// Mean descriptor of each cluster; the most frequent cluster comes first.
    pub centres: Vec<[f32; WIDTH]>,
    /// Share of the model's own anomalies in each cluster.
    pub shares: Vec<f64>,
}

impl Clusters {
    /// Finds up to `kinds` clusters of descriptors by k-means.
    pub(crate) fn find(descriptors: &[[f32; WIDTH]], kinds: usize, seed: u64) -> Self {
        if descriptors.is_empty() {
            return Self::default();
        }
        let KMeans { centres, assigned } =
            KMeans::fit(&descriptors.concat(), WIDTH, kinds.max(1), seed);
        let mut counted: Vec<([f32; WIDTH], usize)> = centres
            .as_chunks::<WIDTH>()
            .0
            .iter()
            .enumerate()
            .map(|(kind, centre)| (*centre, assigned.iter().filter(|of| **of == kind).count()))
            .filter(|(_, count)| *count > 0)
            .collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let total = descriptors.len() as f64;
        let (centres, counts): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
        Self { centres, shares: counts.into_iter().map(|n| n as f64 / total).collect() }
    }

    /// Number of the cluster of an anomaly, from 1.
    pub(crate) fn of(&self, descriptor: &[f32; WIDTH]) -> u32 {
        nearest(descriptor, &self.centres.concat()).0 as u32 + 1
    }

    /// Entropy-based diversity index of the model's own anomalies, in [0, ln of the number of
    /// clusters]: the Shannon entropy of their distribution over the clusters, in nats.
    pub fn edi(&self) -> f64 {
        let shares = self.shares.iter().filter(|share| **share > 0.0);
        shares.map(|share| -share * share.ln()).sum::<f64>().max(0.0)
    }

    /// Whether a fit can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        let finite = self.centres.iter().flatten().all(|x| x.is_finite());
        let shares = self.shares.iter().all(|share| (0.0..=1.0).contains(share));
        finite && shares && self.centres.len() == self.shares.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Anomaly, [0, 0])
    }

    /// The normal distribution function, by a series (x in the middle) and a continued fraction.
    fn normal_cdf(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let mut term = x;
            let mut sum = x;
            for k in 1..200 {
                term *= x * x / (2 * k + 1) as f64;
                sum += term;
            }
            return 0.5 + sum * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        }
        let mut fraction = x.abs();
        for k in (1..200).rev() {
            fraction = x.abs() + k as f64 / fraction;
        }
        let tail = (-0.5 * x * x).exp() / (fraction * std::f64::consts::TAU.sqrt());
        if x > 0.0 { 1.0 - tail } else { tail }
    }

    #[test]
    fn quantiles_invert_the_distribution() {
        for p in [1e-9, 1e-5, 0.001, 0.024, 0.0243, 0.3, 0.5, 0.77, 0.9757, 0.976, 0.999] {
            let back = normal_cdf(normal_quantile(p));
            assert!((back / p - 1.0).abs() < 1e-7, "{p}: {back}");
        }
        assert!(normal_quantile(f64::EPSILON).is_finite());
    }

    fn change(delta: Vec<f32>) -> [Vec<f32>; 1] {
        [delta]
    }

    #[test]
    fn descriptors_tell_shift_slope_noise_and_spike_apart() {
        let n = 60;
        let shift = descriptor(&change(vec![2.0; n]), 1);
        assert!((shift[0] - 2f32.log10()).abs() < 1e-5);
        assert_eq!(shift[2..], [1.0, 1.0, 0.0, 0.0, 0.0, 0.0].map(|x: f32| x));
        let slope = descriptor(&change((0..n).map(|t| t as f32).collect()), 4);
        assert!(slope[4] > 0.99 && slope[1] == 0.25 && slope[6] > 0.3);
        let noise = descriptor(&change(rng(0).normals(600)), 1);
        assert!(noise[2] < 0.2 && (noise[5] - 0.7).abs() < 0.1, "{noise:?}");
        let mut spike = vec![0.0; n];
        spike[3] = -1.0;
        let spike = descriptor(&change(spike), 1);
        assert!(spike[7] > 0.8 && spike[3] < 0.0 && spike[6] < -0.8);
        assert_eq!(descriptor(&change(vec![0.0; n]), 1), [0.0; WIDTH]);
        assert!(descriptor(&change(vec![1.0]), 1).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn coverage_takes_the_farthest_that_is_allowed() {
        let at = |x: f32| {
            let mut descriptor = [0.0; WIDTH];
            descriptor[0] = x;
            descriptor
        };
        let mut coverage = Coverage::default();
        assert_eq!(coverage.choose(&[(at(0.0), true), (at(5.0), true)]), 0);
        assert_eq!(coverage.choose(&[(at(0.5), true), (at(2.0), true), (at(9.0), false)]), 1);
        // Nearest chosen: 0 and 2.
        assert_eq!(coverage.choose(&[(at(2.1), true), (at(1.0), true), (at(-0.2), true)]), 1);
        assert_eq!(coverage.choose(&[(at(0.1), false), (at(7.0), false)]), 1);
        for i in 0..2 * REMEMBERED {
            coverage.choose(&[(at(i as f32), true)]);
        }
        assert_eq!(coverage.chosen.len(), REMEMBERED);
    }

    #[test]
    fn kinds_are_the_groups_that_are_there() {
        let mut descriptors = vec![[0.0; WIDTH]; 30];
        descriptors.extend(vec![[5.0; WIDTH]; 60]);
        let kinds = Clusters::find(&descriptors, 4, 0);
        assert_eq!(
            (kinds.centres.len(), kinds.of(&[4.0; WIDTH]), kinds.of(&[1.0; WIDTH])),
            (2, 1, 2)
        );
        let entropy = -(1f64 / 3.0) * (1f64 / 3.0).ln() - (2f64 / 3.0) * (2f64 / 3.0).ln();
        assert!((kinds.edi() - entropy).abs() < 1e-9 && kinds.is_sound());
        assert_eq!(Clusters::find(&[], 4, 0), Clusters::default());
    }

    proptest! {
        #[test]
        fn every_stratum_is_hit_once(n in 1usize..60, width in 1usize..5, seed in 0u64..99) {
            let values = latin_normals(n, width, &mut rng(seed));
            for j in 0..width {
                let mut strata: Vec<usize> = (0..n)
                    .map(|i| (normal_cdf(f64::from(values[i * width + j])) * n as f64) as usize)
                    .map(|stratum| stratum.min(n - 1))
                    .collect();
                strata.sort_unstable();
                // 32-bit rounding can move a value across a border.
                let wrong = strata.iter().enumerate().filter(|(i, stratum)| i != *stratum).count();
                prop_assert!(wrong <= 1);
            }
        }
    }
}
