//! Thresholds without labels, from scores of held-out windows with and without generated anomalies.

use serde::{Deserialize, Serialize};

use crate::alarm::Reference;
use crate::config::Threshold;

/// The automatic threshold is at least this quantile of the scores of normal rows.
const NORMAL_QUANTILE: f64 = 0.99;
/// Quantile of the scores of normal rows beyond which a tail is fitted.
const TAIL_QUANTILE: f64 = 0.98;
/// Probability that a normal row scores above the threshold "pot".
const RISK: f64 = 1e-3;
/// The same for "auto", if no generated anomalies are used.
const QUIET: f64 = 1e-4;
/// Minimum number of scores in the tail for a fit; with fewer, the largest score is used.
const FEWEST: usize = 10;
/// Number of steps between the stored quantiles.
const STEPS: usize = 200;
/// Quantiles up to this one are evenly spaced; beyond it, steps become smaller towards 1.
const LOG_STEPS: f64 = 3.0;

/// Thresholds of one detector, set by its fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`Threshold::Auto`].
    pub auto: f64,
    /// [`Threshold::Pot`].
    pub pot: f64,
    /// F1 at `auto` on the generated anomalies used for it.
    pub synthetic_f1: f64,
    /// Quantiles of the scores of held-out normal rows, denser towards 1.
    quantiles: Vec<f32>,
    /// Scores of normal rows in time order, if labels follow an accepted rate of false alarms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference: Option<Reference>,
}

impl Calibration {
    /// From scores of normal rows, and of the rows of anomalous windows with whether they are hit.
    pub(crate) fn new(normal: &[f32], anomalous: &[(f32, bool)]) -> Self {
        let mut sorted: Vec<f64> = normal.iter().map(|score| f64::from(*score)).collect();
        sorted.sort_by(f64::total_cmp);
        let hit = anomalous.iter().filter(|row| row.1).map(|row| (f64::from(row.0), true));
        let rows = sorted.iter().map(|score| (*score, false)).chain(hit);
        let (auto, synthetic_f1) = best_f1(rows.collect(), at(&sorted, NORMAL_QUANTILE));
        let quantiles = (0..=STEPS).map(|i| at(&sorted, level(i)) as f32).collect();
        Self {
            auto,
            pot: peaks_over_threshold(&sorted, RISK),
            synthetic_f1,
            quantiles,
            reference: None,
        }
    }

    /// From scores of normal rows only: `auto` is above all of them, and above the score that one
    /// row in ten thousand exceeds, from a fitted tail.
    pub(crate) fn of_normal(normal: &[f32]) -> Self {
        let mut sorted: Vec<f64> = normal.iter().map(|score| f64::from(*score)).collect();
        sorted.sort_by(f64::total_cmp);
        let largest = sorted.last().copied().unwrap_or(0.0);
        let auto = peaks_over_threshold(&sorted, QUIET).max(largest);
        Self { auto, ..Self::new(normal, &[]) }
    }

    /// Adds the reference scores of normal rows, in time order, for labels at an accepted rate of
    /// false alarms.
    pub(crate) fn with_reference(self, normal: &[f32]) -> Self {
        Self { reference: Some(Reference::new(normal)), ..self }
    }

    /// The score at which `threshold` lies.
    pub fn threshold(&self, threshold: Threshold) -> f64 {
        match threshold {
            Threshold::Auto => self.auto,
            Threshold::Pot => self.pot,
            Threshold::Number(number) => number,
            Threshold::Quantile(q) => self.quantile(q),
        }
    }

    /// Quantile of the scores of held-out normal rows, linear between the stored ones.
    fn quantile(&self, q: f64) -> f64 {
        let above = (0..=STEPS).position(|i| level(i) >= q).unwrap_or(STEPS);
        let value = |i: usize| self.quantiles.get(i).map_or(f64::INFINITY, |x| f64::from(*x));
        let Some(below) = above.checked_sub(1) else { return value(0) };
        let share = (q - level(below)) / (level(above) - level(below));
        value(below) + share * (value(above) - value(below))
    }

    /// Whether a fit can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        let numbers = [self.auto, self.pot, self.synthetic_f1];
        numbers.iter().all(|x| x.is_finite())
            && self.quantiles.len() == STEPS + 1
            && self.quantiles.iter().all(|x| x.is_finite())
            && self.reference.iter().all(Reference::is_sound)
    }
}

/// Level of stored quantile `i`: 1 - 10^-3 at the last but one, 1 at the last.
fn level(i: usize) -> f64 {
    if i == STEPS {
        return 1.0;
    }
    1.0 - 10f64.powf(-LOG_STEPS * i as f64 / (STEPS - 1) as f64)
}

/// Quantile of sorted values, the nearest; 0 if there are none.
fn at(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * q).round() as usize).copied().unwrap_or(0.0)
}

/// The score with the best F1, at least `floor`, and the F1 there.
fn best_f1(mut rows: Vec<(f64, bool)>, floor: f64) -> (f64, f64) {
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let positives = rows.iter().filter(|row| row.1).count() as f64;
    let (mut hits, mut best) = (0.0, (floor, 0.0));
    for (i, row) in rows.iter().enumerate() {
        if row.0 <= floor {
            break;
        }
        hits += f64::from(u8::from(row.1));
        let next = rows.get(i + 1).map(|next| next.0);
        if next == Some(row.0) {
            continue;
        }
        let f1 = 2.0 * hits / (positives + (i + 1) as f64);
        if f1 > best.1 {
            // Labels are scores above the threshold, so it lies between this score and the next.
            let below = next.map_or(row.0 - 1e-6 * row.0.abs(), |next| 0.5 * (row.0 + next));
            best = (below.max(floor), f1);
        }
    }
    best
}

/// t + sigma/gamma ((risk n / n_t)^-gamma - 1), with gamma and sigma of the excesses over t from
/// probability-weighted moments (Hosking & Wallis, Technometrics 1987).
fn peaks_over_threshold(sorted: &[f64], risk: f64) -> f64 {
    let t = at(sorted, TAIL_QUANTILE);
    let excesses: Vec<f64> = sorted.iter().map(|x| x - t).filter(|x| *x > 0.0).collect();
    let n = excesses.len() as f64;
    let largest = sorted.last().copied().unwrap_or(0.0);
    if excesses.len() < FEWEST {
        return largest;
    }
    let first = excesses.iter().sum::<f64>() / n;
    // E[X (1 - F(X))], with the plotting positions (i - 0.35) / n for i = 1..=n.
    let weighted = |(i, x): (usize, &f64)| x * (n - 0.65 - i as f64) / n;
    let second = excesses.iter().enumerate().map(weighted).sum::<f64>() / n;
    let ratio = first - 2.0 * second;
    if !(ratio > 1e-12 * first.abs() && second > 0.0) {
        return largest;
    }
    let shape = 2.0 - first / ratio;
    let scale = 2.0 * first * second / ratio;
    let rarer = risk * sorted.len() as f64 / n;
    let beyond = if shape.abs() < 1e-6 {
        -scale * rarer.ln()
    } else {
        scale / shape * (rarer.powf(-shape) - 1.0)
    };
    if beyond.is_finite() { t + beyond.max(0.0) } else { largest }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    /// The value that a generalised Pareto variable of scale 2 exceeds with probability `p`.
    fn pareto(p: f64, shape: f64) -> f64 {
        if shape == 0.0 { -2.0 * p.ln() } else { 2.0 / shape * (p.powf(-shape) - 1.0) }
    }

    /// F1 of the labels "above `threshold`", by counting.
    fn f1(threshold: f64, normal: &[f32], anomalous: &[(f32, bool)]) -> f64 {
        let above = |score: f32| f64::from(score) > threshold;
        let hit = || anomalous.iter().filter(|row| row.1);
        let found = hit().filter(|row| above(row.0)).count() as f64;
        let false_alarms = normal.iter().filter(|score| above(**score)).count() as f64;
        let missed = hit().count() as f64 - found;
        2.0 * found / (2.0 * found + false_alarms + missed).max(1.0)
    }

    #[test]
    fn pot_is_the_quantile_of_a_pareto_tail() {
        for shape in [-0.3, 0.0, 0.2] {
            let expected = pareto(RISK, shape);
            let ratios = (0..5).map(|seed| {
                let mut rng = Rng::new(seed, Purpose::Detector, [0, 0]);
                let draw = |_| pareto(1.0 - rng.uniform(), shape) as f32;
                let normal: Vec<f32> = (0..20_000).map(draw).collect();
                let ratio = Calibration::new(&normal, &[]).pot / expected;
                assert!((ratio - 1.0).abs() < 0.1, "shape {shape}, seed {seed}: {ratio}");
                ratio
            });
            let mean = ratios.sum::<f64>() / 5.0;
            assert!((mean - 1.0).abs() < 0.05, "shape {shape}: {mean}");
        }
    }

    #[test]
    fn too_few_scores_in_the_tail_give_the_largest() {
        assert_eq!(Calibration::new(&[3.5; 5000], &[]).pot, 3.5);
        let normal: Vec<f32> = (0..400).map(|i| i as f32).collect();
        assert_eq!(Calibration::new(&normal, &[]).pot, 399.0);
        assert!(Calibration::new(&[], &[]).is_sound());
    }

    /// Anomalies separate from normal rows: a threshold in between. Anomalies like normal rows: the
    /// floor.
    #[test]
    fn auto_separates_what_can_be_separated() {
        let normal: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let rows = |score: f32| vec![(score, true), (score, true), (5000.0, false)];
        let apart = Calibration::new(&normal, &rows(2000.0));
        assert_eq!((apart.auto, apart.synthetic_f1), (0.5 * (999.0 + 2000.0), 1.0));
        let hidden = Calibration::new(&normal, &rows(10.0));
        assert_eq!((hidden.auto, hidden.synthetic_f1), (989.0, 0.0));
    }

    proptest! {
        /// Scores on a coarse grid, with ties.
        #[test]
        fn thresholds_are_what_they_say(
            normal in prop::collection::vec(-20i32..20, 1..300),
            anomalous in prop::collection::vec((-20i32..60, prop::bool::ANY), 0..100),
            qs in prop::collection::vec(0.0f64..=1.0, 2..20),
        ) {
            let normal: Vec<f32> = normal.into_iter().map(|x| x as f32 / 2.0).collect();
            let anomalous: Vec<(f32, bool)> =
                anomalous.into_iter().map(|(x, hit)| (x as f32 / 2.0, hit)).collect();
            let found = Calibration::new(&normal, &anomalous);
            prop_assert!(found.is_sound());
            let mut sorted: Vec<f64> = normal.iter().map(|x| f64::from(*x)).collect();
            sorted.sort_by(f64::total_cmp);
            let floor = sorted[((sorted.len() - 1) as f64 * 0.99).round() as usize];
            prop_assert!(found.auto >= floor && found.pot.is_finite());
            prop_assert!((f1(found.auto, &normal, &anomalous) - found.synthetic_f1).abs() < 1e-12);
            let scores = normal.iter().copied().chain(anomalous.iter().map(|row| row.0));
            for candidate in scores.map(f64::from).filter(|score| *score >= floor) {
                prop_assert!(f1(candidate, &normal, &anomalous) <= found.synthetic_f1 + 1e-12);
            }
            let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
            let mut last = low;
            let mut qs = qs;
            qs.sort_by(f64::total_cmp);
            for q in [0.0].into_iter().chain(qs).chain([1.0]) {
                let value = found.threshold(Threshold::Quantile(q));
                prop_assert!(value >= last - 1e-9 && value <= high + 1e-9, "{q}: {value}");
                last = value;
            }
            prop_assert_eq!(found.threshold(Threshold::Quantile(0.0)), low);
            prop_assert_eq!(found.threshold(Threshold::Quantile(1.0)), high);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_scores() {
        let normal: Vec<f32> = (0..=10_000).map(|i| i as f32).collect();
        let found = Calibration::new(&normal, &[]);
        for q in [0.1, 0.5, 0.95, 0.995, 0.9995] {
            let value = found.threshold(Threshold::Quantile(q));
            assert!((value - 10_000.0 * q).abs() <= 1.0, "{q}: {value}");
        }
        assert_eq!(found.threshold(Threshold::Auto), found.auto);
        assert_eq!(found.threshold(Threshold::Pot), found.pot);
        assert_eq!(found.threshold(Threshold::Number(-7.0)), -7.0);
    }
}
