//! Step 6, patch: which features of a decoded anomaly replace the input, and how its ends meet it.

use crate::config::{Distance, Form, GenerateConfig, PAPER_TAU, Patch};
use crate::rng::Rng;

/// Half a training standard deviation: the least range that a deviation is compared with.
const MIN_RANGE: f32 = 0.5;
/// Rows over which the ends of an anomaly are blended into the input.
const BLEND: usize = 3;
/// Below this a deviation has no shape to scale.
const FLAT: f32 = 1e-7;

/// Windows of one anomaly, row-major [W, D] in z-scores.
#[derive(Clone, Copy)]
pub(crate) struct Decoded<'a> {
    pub input: &'a [f32],
    pub plain: &'a [f32],
    pub perturbed: &'a [f32],
    pub features: usize,
}

/// The change that one anomaly makes to feature `feature` (position among the live ones), in
/// z-scores, one value per row of its segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub feature: usize,
    pub delta: Vec<f32>,
}

impl Decoded<'_> {
    /// What the anomaly would add to feature `d` over the rows `segment`, before blending.
    pub(crate) fn delta(&self, d: usize, segment: std::ops::Range<usize>, form: Form) -> Vec<f32> {
        segment
            .map(|t| {
                let i = t * self.features + d;
                match form {
                    Form::Residual => self.perturbed[i] - self.plain[i],
                    Form::Decoded => self.perturbed[i] - self.input[i],
                }
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

/// How far a feature deviates, in the units of tau.
///
/// `Rms`: RMS(delta) / max(range, half a training deviation). `L2`: ||delta||_2 / range, as printed.
pub(crate) fn deviation(delta: &[f32], range: f32, distance: Distance) -> f32 {
    match distance {
        Distance::Rms => rms(delta) / range.max(MIN_RANGE),
        // A flat window is passed by any change and by no other.
        Distance::L2 => rms(delta) * (delta.len() as f32).sqrt() / range.max(f32::MIN_POSITIVE),
    }
}

/// The changes that an anomaly on the rows `segment` of its window makes: never none.
pub(crate) fn patch(
    decoded: Decoded<'_>,
    segment: std::ops::Range<usize>,
    config: &GenerateConfig,
    rng: &mut Rng,
) -> Vec<Change> {
    let deltas: Vec<Vec<f32>> =
        (0..decoded.features).map(|d| decoded.delta(d, segment.clone(), config.form)).collect();
    let mut hit: Vec<usize> = match config.patch {
        Patch::None => (0..decoded.features).collect(),
        Patch::Deviation => {
            let tau = config.tau.unwrap_or(PAPER_TAU) as f32;
            let ranges = decoded.ranges();
            (0..decoded.features)
                .filter(|&d| deviation(&deltas[d], ranges[d], config.distance) > tau)
                .collect()
        }
        Patch::Length => random_subset(decoded.features, decoded.features, rng),
    };
    if hit.is_empty() {
        hit.extend(
            (0..decoded.features).max_by(|&a, &b| rms(&deltas[a]).total_cmp(&rms(&deltas[b]))),
        );
    }
    let weights = match config.form {
        Form::Residual => blend_weights(segment.len()),
        Form::Decoded => vec![1.0; segment.len()],
    };
    let strength = config.strength.map(|strength| {
        let (low, high) = strength.bounds();
        rng.log_uniform(low, high) as f32
    });
    let up = rng.below(2) == 0;
    hit.into_iter()
        .map(|d| {
            let mut delta: Vec<f32> =
                deltas[d].iter().zip(&weights).map(|(delta, weight)| delta * weight).collect();
            if let Some(strength) = strength {
                rescale(&mut delta, &weights, strength, up);
            }
            Change { feature: d, delta }
        })
        .collect()
}

/// Scales `delta` to the RMS `strength`; a flat one becomes a shift, up or down.
pub(crate) fn rescale(delta: &mut [f32], weights: &[f32], strength: f32, up: bool) {
    if rms(delta) < FLAT {
        let sign = if up { 1.0 } else { -1.0 };
        delta.iter_mut().zip(weights).for_each(|(delta, weight)| *delta = sign * weight);
    }
    let scale = strength / rms(delta);
    delta.iter_mut().for_each(|delta| *delta *= scale);
}

/// Raised-cosine weights: 1 inside, rising over up to three rows at either end.
pub(crate) fn blend_weights(length: usize) -> Vec<f32> {
    let edge = BLEND.min(length.saturating_sub(1) / 2);
    (0..length)
        .map(|t| {
            let from_end = t.min(length - 1 - t) + 1;
            if from_end > edge {
                return 1.0;
            }
            let phase = std::f32::consts::PI * from_end as f32 / (edge + 1) as f32;
            0.5 - 0.5 * phase.cos()
        })
        .collect()
}

/// A random subset of 0..n, not empty, each size up to `most` as likely as any other.
pub(crate) fn random_subset(n: usize, most: usize, rng: &mut Rng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut all);
    all.truncate(1 + rng.below(most));
    all.sort_unstable();
    all
}

/// Root mean square.
pub(crate) fn rms(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    (sum / values.len().max(1) as f64).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OneOrRange;
    use crate::rng::Purpose;

    /// Two features over 8 rows: the first moves by 1, the second by 0.01.
    fn window() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let input: Vec<f32> = (0..16).map(|i| (i / 2) as f32 * 0.25).collect();
        let plain = vec![0.0; 16];
        let perturbed = (0..16).map(|i| if i % 2 == 0 { 1.0 } else { 0.01 }).collect();
        (input, plain, perturbed)
    }

    fn changes(config: &GenerateConfig, segment: std::ops::Range<usize>) -> Vec<Change> {
        let (input, plain, perturbed) = window();
        let decoded = Decoded { input: &input, plain: &plain, perturbed: &perturbed, features: 2 };
        patch(decoded, segment, config, &mut Rng::new(1, Purpose::Anomaly, [0, 0]))
    }

    #[test]
    fn deviation_takes_features_above_tau() {
        let hit = changes(&GenerateConfig::default(), 0..8);
        assert_eq!(hit.len(), 1);
        assert_eq!(hit[0].feature, 0);
        assert_eq!((hit[0].delta[0] < 0.5, hit[0].delta[4]), (true, 1.0));
    }

    #[test]
    fn nothing_above_tau_takes_the_most_deviating() {
        let config = GenerateConfig { tau: Some(100.0), ..Default::default() };
        let hit = changes(&config, 2..5);
        assert_eq!((hit.len(), hit[0].feature, hit[0].delta.len()), (1, 0, 3));
    }

    #[test]
    fn printed_rule_compares_the_norm_with_the_range() {
        let l2 = |range| deviation(&[0.1; 100], range, Distance::L2);
        assert!(l2(9.9) > 0.1 && l2(10.1) < 0.1);
        assert!(l2(0.0) > 1e6);
        assert_eq!(deviation(&[0.0; 100], 0.0, Distance::L2), 0.0);
    }

    #[test]
    fn no_patching_takes_all() {
        let config = GenerateConfig { patch: Patch::None, ..Default::default() };
        assert_eq!(changes(&config, 0..8).len(), 2);
    }

    #[test]
    fn strength_is_the_rms_of_the_change() {
        let config = GenerateConfig { strength: Some(OneOrRange::One(3.0)), ..Default::default() };
        let hit = changes(&config, 0..8);
        assert!((rms(&hit[0].delta) - 3.0).abs() < 1e-5);
        let mut flat = vec![0.0; 4];
        rescale(&mut flat, &[1.0; 4], 2.0, false);
        assert_eq!(flat, [-2.0; 4]);
    }

    #[test]
    fn blending_leaves_short_segments_a_full_row() {
        assert_eq!(blend_weights(1), [1.0]);
        assert_eq!(blend_weights(2), [1.0, 1.0]);
        for length in 3..20 {
            let weights = blend_weights(length);
            assert!(weights.iter().all(|w| *w > 0.0 && *w <= 1.0));
            assert!(weights[0] < 1.0 && weights[length / 2] == 1.0, "{length}: {weights:?}");
        }
    }
}
