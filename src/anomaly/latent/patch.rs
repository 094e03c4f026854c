//! The patch: which features of a decoded anomaly replace the input.

use crate::runtime::rng::random_subset;
use crate::stats::rms;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::anomaly::latent::normal_range::{LocalTau, NormalRange};
use crate::config::{Distance, Form, GenerateConfig, PAPER_TAU, Patch};
use crate::runtime::rng::Rng;
use crate::stats::shape::{dtw, sbd};

/// Minimum RMS change of an anomaly, in training standard deviations; a smaller one hardly differs
/// from its input.
pub(crate) const LEAST: f32 = 0.05;
/// Minimum range for a deviation: half a training standard deviation.
const MIN_RANGE: f32 = 0.5;

/// The window of one anomaly, row-major [W, D] in z-scores, and decoded rows of it.
#[derive(Clone, Copy)]
pub(crate) struct Decoded<'a> {
    pub input: &'a [f32],
    /// X^ and X~ from row `first` of the window.
    pub plain: &'a [f32],
    pub perturbed: &'a [f32],
    pub first: usize,
    pub features: usize,
}

impl Decoded<'_> {
    /// Change of feature `d` over the rows `segment` of the window, before blending.
    pub(crate) fn delta(&self, d: usize, segment: Range<usize>, form: Form) -> Vec<f32> {
        segment
            .map(|t| {
                let i = (t - self.first) * self.features + d;
                match form {
                    Form::Residual | Form::Deformed => self.perturbed[i] - self.plain[i],
                    Form::Decoded => self.perturbed[i] - self.input[t * self.features + d],
                }
            })
            .collect()
    }

    /// Feature `d` over the rows `segment`, without and with `delta`.
    fn pair(&self, d: usize, segment: Range<usize>, delta: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let before: Vec<f32> = segment.map(|t| self.input[t * self.features + d]).collect();
        let after = before.iter().zip(delta).map(|(x, delta)| x + delta).collect();
        (before, after)
    }

    /// Standard deviation of the input over the whole window, per feature.
    pub(crate) fn spreads(&self) -> Vec<f64> {
        let rows = (self.input.len() / self.features.max(1)).max(1) as f64;
        let column = |d: usize| self.input.iter().skip(d).step_by(self.features);
        (0..self.features)
            .map(|d| {
                let mean = column(d).map(|x| f64::from(*x)).sum::<f64>() / rows;
                (column(d).map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / rows).sqrt()
            })
            .collect()
    }

    /// max - min of the input over the whole window, per feature.
    pub(crate) fn ranges(&self) -> Vec<f32> {
        let mut low = vec![f32::INFINITY; self.features];
        let mut high = vec![f32::NEG_INFINITY; self.features];
        for row in self.input.chunks_exact(self.features.max(1)) {
            for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(row) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        high.iter().zip(low).map(|(high, low)| high - low).collect()
    }
}

/// How a deviation is measured, and its threshold.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub distance: Distance,
    pub tau: f32,
    /// Normal variation per feature, in z-scores.
    pub variation: &'a [f64],
    /// tau by the variation of a window; `None` if it is the same for every window.
    pub local: Option<&'a LocalTau>,
}

impl<'a> Rule<'a> {
    /// The given tau, or the learned one for this distance.
    pub(crate) fn new(
        config: &GenerateConfig,
        learned: &BTreeMap<Distance, f64>,
        local: Option<&'a LocalTau>,
        normal_range: &'a NormalRange,
    ) -> Self {
        let own = || learned.get(&config.distance).copied();
        Self {
            distance: config.distance,
            tau: config.tau.or_else(own).unwrap_or(PAPER_TAU) as f32,
            variation: &normal_range.residual,
            local: local.filter(|_| config.tau.is_none()),
        }
    }

    /// Deviation of each feature over the rows `segment`, in the units of tau. A local tau gives
    /// multiples of the window's own tau, times the global one.
    pub(crate) fn deviations(
        &self,
        decoded: Decoded<'_>,
        segment: Range<usize>,
        form: Form,
    ) -> Vec<f32> {
        let ranges = match self.distance {
            Distance::Rms | Distance::L2 => decoded.ranges(),
            _ => Vec::new(),
        };
        let spreads = self.local.map(|_| decoded.spreads()).unwrap_or_default();
        (0..decoded.features)
            .map(|d| {
                let delta = decoded.delta(d, segment.clone(), form);
                let pair = || decoded.pair(d, segment.clone(), &delta);
                let deviation = match self.distance {
                    Distance::Normal => rms(&delta) / self.variation[d] as f32,
                    Distance::Rms => rms(&delta) / ranges[d].max(MIN_RANGE),
                    // Any change of a flat window passes, and no change does not.
                    Distance::L2 => {
                        let norm = rms(&delta) * (delta.len() as f32).sqrt();
                        norm / ranges[d].max(f32::MIN_POSITIVE)
                    }
                    Distance::Dtw => {
                        let (before, after) = pair();
                        dtw(&before, &after) / self.variation[d] as f32
                    }
                    Distance::Sbd => {
                        let (before, after) = pair();
                        sbd(&before, &after)
                    }
                };
                let own = self.local.and_then(|local| local.at(self.distance, spreads[d]));
                own.map_or(deviation, |own| deviation * (self.tau / own))
            })
            .collect()
    }

    /// The features whose deviation exceeds tau.
    pub(crate) fn passing(&self, deviations: &[f32]) -> Vec<usize> {
        (0..deviations.len()).filter(|&d| deviations[d] > self.tau).collect()
    }

    /// The features that an anomaly changes; empty if no deviation exceeds tau.
    pub(crate) fn chosen(&self, patch: Patch, deviations: &[f32], rng: &mut Rng) -> Vec<usize> {
        let n = deviations.len();
        match patch {
            Patch::None => (0..n).collect(),
            Patch::Deviation => self.passing(deviations),
            // Correlation anomalies do not use this draw.
            Patch::Length | Patch::Correlation => random_subset(n, n, rng),
        }
    }
}

/// The feature with the largest deviation.
pub(crate) fn most_deviating(deviations: &[f32]) -> usize {
    let by_deviation = |&a: &usize, &b: &usize| deviations[a].total_cmp(&deviations[b]);
    (0..deviations.len()).max_by(by_deviation).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::Purpose;

    /// Two features over 8 rows: the first changes by 1, the second by 0.01; ranges are 1.75.
    fn deviations(distance: Distance, variation: [f64; 2], segment: Range<usize>) -> Vec<f32> {
        let input: Vec<f32> = (0..16).map(|i| (i / 2) as f32 * 0.25).collect();
        let plain = vec![0.0; 16];
        let perturbed: Vec<f32> = (0..16).map(|i| if i % 2 == 0 { 1.0 } else { 0.01 }).collect();
        let decoded =
            Decoded { input: &input, plain: &plain, perturbed: &perturbed, first: 0, features: 2 };
        let rule = Rule { distance, tau: 0.1, variation: &variation, local: None };
        rule.deviations(decoded, segment, Form::Residual)
    }

    fn close(found: &[f32], expected: [f32; 2]) -> bool {
        found.iter().zip(expected).all(|(x, y)| (x / y - 1.0).abs() < 1e-5)
    }

    #[test]
    fn deviations_have_their_units() {
        let normal = deviations(Distance::Normal, [0.5, 0.001], 2..5);
        assert!(close(&normal, [2.0, 10.0]), "{normal:?}");
        let rms = deviations(Distance::Rms, [1.0; 2], 2..5);
        assert!(close(&rms, [1.0 / 1.75, 0.01 / 1.75]), "{rms:?}");
        // As printed in the paper: the norm, not the mean, against the range.
        let l2 = deviations(Distance::L2, [1.0; 2], 0..4);
        assert!(close(&l2, [2.0 / 1.75, 0.02 / 1.75]), "{l2:?}");
    }

    #[test]
    fn what_passes_tau_is_chosen() {
        let rule = Rule { distance: Distance::Rms, tau: 0.1, variation: &[], local: None };
        let rng = &mut Rng::new(1, Purpose::Anomaly, [0, 0]);
        let found = [0.2, 0.05, 0.11];
        assert_eq!(rule.chosen(Patch::Deviation, &found, rng), [0, 2]);
        assert_eq!(rule.chosen(Patch::None, &found, rng), [0, 1, 2]);
        assert!(rule.chosen(Patch::Deviation, &[0.1, 0.0], rng).is_empty());
        assert!((0..50).all(|_| !rule.chosen(Patch::Length, &found, rng).is_empty()));
        assert_eq!(most_deviating(&found), 0);
    }
}
