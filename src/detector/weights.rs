//! The weights of the nets of an ensemble, from a logistic regression on held-out rows.

use serde::{Deserialize, Serialize};

/// Number of nets.
pub(crate) const MEMBERS: usize = 3;
/// Initial weight of each net.
const EQUAL: f64 = 1.0 / MEMBERS as f64;
/// Strength of the ridge towards equal weights.
const PULL: f64 = 0.3;
/// Rounds of coordinate descent.
const ROUNDS: usize = 50;

/// The log-odds of a row from each net.
pub(crate) type Logits = [f32; MEMBERS];

/// The weight of each net; they add up to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Weights([f64; MEMBERS]);

impl Default for Weights {
    fn default() -> Self {
        Self([EQUAL; MEMBERS])
    }
}

impl Weights {
    /// Whether a fit can have written this.
    pub(crate) fn is_sound(&self) -> bool {
        let sum: f64 = self.0.iter().sum();
        self.0.iter().all(|weight| (0.0..=1.0).contains(weight)) && (sum - 1.0).abs() < 1e-9
    }

    /// Logistic regression of hit rows on the log-odds of the nets, with an intercept, weights >= 0
    /// and a ridge around equal weights; `rows` come with whether they are hit.
    pub(crate) fn fit(rows: &[(Logits, bool)]) -> Self {
        let spread = standard_deviation(rows).max(f64::MIN_POSITIVE);
        let scaled = |(logits, hit): &(Logits, bool)| {
            (logits.map(|logit| f64::from(logit) / spread), f64::from(u8::from(*hit)))
        };
        let weights = regress(&rows.iter().map(scaled).collect::<Vec<_>>());
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 { Self(weights.map(|weight| weight / sum)) } else { Self::default() }
    }

    /// log sum_k w_k exp(l_k): the weighted mean of the odds, close to the largest log-odds. A
    /// confident net counts even if the others were not trained on the anomaly.
    pub(crate) fn mix(&self, logits: &Logits) -> f32 {
        let largest = logits.iter().fold(f32::NEG_INFINITY, |most, logit| most.max(*logit));
        let odds = |(w, logit): (&f64, &f32)| w * f64::from(logit - largest).exp();
        let sum: f64 = self.0.iter().zip(logits).map(odds).sum();
        largest + sum.max(f64::MIN_POSITIVE).ln() as f32
    }
}

/// Over all log-odds together: one scale for all nets, so that a confident net keeps its weight.
fn standard_deviation(rows: &[(Logits, bool)]) -> f64 {
    let all = || rows.iter().flat_map(|(logits, _)| logits.iter().map(|x| f64::from(*x)));
    let n = (rows.len() * MEMBERS).max(1) as f64;
    let mean = all().sum::<f64>() / n;
    (all().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Newton steps on one coordinate at a time, the intercept last.
fn regress(rows: &[([f64; MEMBERS], f64)]) -> [f64; MEMBERS] {
    let n = rows.len().max(1) as f64;
    let mut weights = [EQUAL; MEMBERS];
    let mut logits: Vec<f64> = rows.iter().map(|(x, _)| EQUAL * x.iter().sum::<f64>()).collect();
    for _ in 0..ROUNDS {
        for k in 0..=MEMBERS {
            let x = |row: &[f64; MEMBERS]| row.get(k).copied().unwrap_or(1.0);
            let pull = weights.get(k).map_or(0.0, |weight| PULL * (weight - EQUAL));
            let (mut slope, mut curve) = (pull, if k < MEMBERS { PULL } else { 1e-6 });
            for ((row, target), logit) in rows.iter().zip(&logits) {
                let p = 1.0 / (1.0 + (-logit).exp());
                slope += (p - target) * x(row) / n;
                curve += p * (1.0 - p) * x(row).powi(2) / n;
            }
            let mut step = -slope / curve;
            if let Some(weight) = weights.get_mut(k) {
                step = step.max(-*weight);
                *weight += step;
            }
            logits.iter_mut().zip(rows).for_each(|(logit, (row, _))| *logit += step * x(row));
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which the first net is right, the second guesses, and the third is wrong.
    fn rows() -> Vec<(Logits, bool)> {
        (0..400)
            .map(|i| {
                let (hit, noise) = (i % 4 == 0, ((i * 37) % 101) as f32 / 50.0 - 1.0);
                let right = if hit { 2.0 } else { -2.0 };
                ([right + noise, 2.0 * noise, -right], hit)
            })
            .collect()
    }

    #[test]
    fn weights_prefer_the_net_that_knows() {
        let Weights(weights) = Weights::fit(&rows());
        assert!(weights[0] > 0.6 && weights[0] > weights[1] && weights[2] < 0.05, "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn odds_are_averaged() {
        let even = Weights::default();
        assert!((even.mix(&[1.0; 3]) - 1.0).abs() < 1e-6);
        let sure = even.mix(&[30.0, -5.0, -400.0]);
        assert!((f64::from(sure) - (30.0 - 3f64.ln())).abs() < 1e-5, "{sure}");
        assert!(Weights([0.0, 0.0, 1.0]).mix(&[3e38, -3e38, -3e38]).is_finite());
    }

    #[test]
    fn nothing_known_is_equal_weights() {
        assert_eq!(Weights::fit(&[]), Weights::default());
    }
}
