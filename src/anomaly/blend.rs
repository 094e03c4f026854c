//! Blending of the ends of an anomaly into the input, and scaling to a strength.
//!
//! The steps from the row before an anomaly into its first row, and out of its last row, stay
//! within the steps that the feature makes in normal rows: each ramp is as long as its height
//! requires, and the outermost values are bounded.

use std::f32::consts::{FRAC_PI_2, PI};

use crate::stats::rms;

/// Minimum length of a ramp, in rows.
const BLEND: usize = 3;
/// A ramp takes at most one part in this many of a segment.
const LONGEST_RAMP: usize = 3;
/// A deviation with a smaller RMS has no shape to scale.
const FLAT: f32 = 1e-7;
/// Shortest segment whose ends are bounded.
const BOUNDED: usize = 3;

/// One feature around a segment, in z-scores.
pub(crate) struct Around<'a> {
    /// The input over the segment.
    pub input: &'a [f32],
    /// The row before it; `None` if no row precedes it without a gap.
    pub before: Option<f32>,
    /// The row after it; `None` if no row follows it without a gap.
    pub after: Option<f32>,
    /// Largest step allowed at an end.
    pub step: f32,
}

/// Raised-cosine weights: 1 inside, ramps of up to three rows at both ends.
pub(crate) fn blend_weights(length: usize) -> Vec<f32> {
    let edge = least_edge(length);
    ramps(length, edge, edge)
}

fn least_edge(length: usize) -> usize {
    BLEND.min(length.saturating_sub(1) / 2)
}

/// Raised-cosine weights that rise over `start` rows and fall over `end` rows.
fn ramps(length: usize, start: usize, end: usize) -> Vec<f32> {
    let rise = |row: usize, edge: usize| {
        if row > edge {
            return 1.0;
        }
        let phase = PI * row as f32 / (edge + 1) as f32;
        0.5 - 0.5 * phase.cos()
    };
    (0..length).map(|t| f32::min(rise(t + 1, start), rise(length - t, end))).collect()
}

/// Length of a ramp of `height` whose steepest step is `step`, limited by the length of the
/// segment. A raised cosine over n rows rises by at most pi / 2 / n of its height per row.
fn edge(length: usize, height: f32, step: f32) -> usize {
    let least = least_edge(length);
    let asked = (FRAC_PI_2 * height / step).ceil() as usize;
    asked.clamp(least, least.max(length / LONGEST_RAMP))
}

/// Weights of a segment whose change is about `height`; a slow onset of `creep` rows, if any,
/// replaces the first ramp.
pub(crate) fn weights(length: usize, height: f32, step: f32, creep: usize) -> Vec<f32> {
    let edge = edge(length, height, step);
    let mut weights = ramps(length, if creep > 0 { 0 } else { edge }, edge);
    slow_onset(&mut weights, creep);
    weights
}

/// Lets the first `creep` weights rise linearly.
pub(crate) fn slow_onset(weights: &mut [f32], creep: usize) {
    for (t, weight) in weights.iter_mut().take(creep).enumerate() {
        *weight *= (t + 1) as f32 / (creep + 1) as f32;
    }
}

/// Scales `delta` to the RMS `strength`; a flat `delta` becomes a shift, up or down.
pub(crate) fn rescale(delta: &mut [f32], weights: &[f32], strength: f32, up: bool) {
    if rms(delta) < FLAT {
        let sign = if up { 1.0 } else { -1.0 };
        delta.iter_mut().zip(weights).for_each(|(delta, weight)| *delta = sign * weight);
    }
    let scale = strength / rms(delta);
    delta.iter_mut().for_each(|delta| *delta *= scale);
}

impl Around<'_> {
    /// Bounds the first and the last value of a change, so that the steps at its ends do not exceed
    /// the input's own steps there, or `step`.
    pub(crate) fn bound(&self, delta: &mut [f32]) {
        let (Some(&first), Some(&last)) = (self.input.first(), self.input.last()) else { return };
        if delta.len() < BOUNDED {
            return;
        }
        if let (Some(before), Some(delta)) = (self.before, delta.first_mut()) {
            *delta = self.bounded(*delta, before - first);
        }
        if let (Some(after), Some(delta)) = (self.after, delta.last_mut()) {
            *delta = self.bounded(*delta, after - last);
        }
    }

    /// Bounds the change of an end value whose neighbour is `gap` away.
    fn bounded(&self, delta: f32, gap: f32) -> f32 {
        let most = self.step.max(gap.abs());
        // Not `clamp`: the gap of values beyond the range of floats is NaN and sets no bound.
        delta.max(gap - most).min(gap + most)
    }

    /// Scales a weighted change to the RMS `strength`, with bounded ends.
    pub(crate) fn fit(&self, delta: &mut [f32], weights: &[f32], strength: f32, up: bool) {
        rescale(delta, weights, strength, up);
        self.bound(delta);
        let n = delta.len();
        if n < BOUNDED {
            return;
        }
        // The inner rows compensate for the bounded ends.
        let ends = delta[0].powi(2) + delta[n - 1].powi(2);
        let inside = &mut delta[1..n - 1];
        let asked = (n as f32 * strength.powi(2) - ends).max(0.0) / (n - 2) as f32;
        rescale(inside, &weights[1..n - 1], asked.sqrt(), up);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    #[test]
    fn flat_changes_become_shifts() {
        let mut flat = vec![0.0; 4];
        rescale(&mut flat, &[1.0; 4], 2.0, false);
        assert_eq!(flat, [-2.0; 4]);
    }

    #[test]
    fn ramps_are_as_long_as_their_height_asks_for() {
        let steepest = |weights: &[f32]| {
            weights.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(weights[0], f32::max)
        };
        let gentle = weights(100, 2.0, 0.2, 0);
        assert!(2.0 * steepest(&gentle) < 0.2, "{gentle:?}");
        assert_eq!(weights(100, 0.1, 0.2, 0), blend_weights(100));
        // Limited room: a third of the segment at either end, and at least one row at full weight.
        let short = weights(12, 100.0, 0.01, 0);
        assert_eq!(short.iter().filter(|w| **w == 1.0).count(), 4);
    }

    #[test]
    fn values_beyond_the_floats_bound_nothing() {
        let input = [f32::INFINITY; 3];
        let around = Around { input: &input, before: Some(f32::INFINITY), after: None, step: 1.0 };
        let mut delta = [1.0, 2.0, 3.0];
        around.bound(&mut delta);
        assert_eq!(delta, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn onset_is_a_line() {
        let creeping = weights(20, 1.0, 1.0, 9);
        for (t, weight) in creeping.iter().take(9).enumerate() {
            assert!((weight - (t + 1) as f32 / 10.0).abs() < 1e-6, "{creeping:?}");
        }
        assert!(creeping[9] == 1.0 && creeping[19] < 1.0);
    }

    proptest! {
        #[test]
        fn ends_are_bounded_and_the_strength_is_met(
            delta in prop::collection::vec(-3f32..3.0, 3..40),
            input in prop::collection::vec(-2f32..2.0, 42),
            (step, strength) in (0.01f32..1.0, 0.2f32..10.0),
            creep in 0usize..40,
        ) {
            let n = delta.len();
            let weights = weights(n, strength, step, creep.min(n));
            let mut delta: Vec<f32> = delta.iter().zip(&weights).map(|(x, w)| x * w).collect();
            let (before, after) = (Some(input[0]), Some(input[n + 1]));
            let around = Around { input: &input[1..=n], before, after, step };
            around.fit(&mut delta, &weights, strength, true);
            prop_assert!((rms(&delta) / strength - 1.0).abs() < 1e-3);
            let seam = |out: usize, at: usize, i: usize| {
                let own = (input[out] - input[at]).abs();
                let found = (input[out] - input[at] - delta[i]).abs();
                found <= own.max(step) * 1.0001 + 1e-5
            };
            prop_assert!(seam(0, 1, 0) && seam(n + 1, n, n - 1), "{delta:?}");
        }
    }
}
