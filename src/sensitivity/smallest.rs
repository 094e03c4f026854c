//! The strength of which most anomalies are caught.

use super::found::CaughtFrom;
use crate::runtime::rng::{Purpose, Rng};

/// Share that is to be caught.
const CAUGHT: f64 = 0.8;
/// Draws of tries with replacement, and the quantiles of their strengths that bound the interval.
const DRAWS: usize = 200;
const ENDS: [f64; 2] = [0.05, 0.95];

/// Ascending strengths, and whether each of their tries was caught.
pub(super) type Outcomes = Vec<(f64, Vec<bool>)>;

/// The strength of which [`CAUGHT`] of the tries are caught, where more strength never catches less: by
/// isotonic regression of the shares, linear in the logarithm of the strength between two that were tried.
/// Its interval is that of tries drawn with replacement, the same ones at every strength.
pub(super) fn smallest(outcomes: &Outcomes, seed: u64) -> CaughtFrom {
    let tries = outcomes.iter().map(|(_, caught)| caught.len()).min().unwrap_or(0);
    if tries == 0 {
        return CaughtFrom::default();
    }
    let all: Vec<usize> = (0..tries).collect();
    let mut rng = Rng::new(seed, Purpose::Bootstrap, [tries as u64, outcomes.len() as u64]);
    let mut draw = |_| {
        let drawn: Vec<usize> = all.iter().map(|_| rng.below(tries)).collect();
        crossing(outcomes, &drawn).unwrap_or(f64::INFINITY)
    };
    let mut found: Vec<f64> = (0..DRAWS).map(&mut draw).collect();
    found.sort_by(f64::total_cmp);
    let [low, high] = ENDS.map(|share| found[(share * (DRAWS - 1) as f64).round() as usize]);
    let finite = |strength: f64| Some(strength).filter(|strength| strength.is_finite());
    CaughtFrom { strength: crossing(outcomes, &all), low: finite(low), high: finite(high) }
}

/// The strength at which the share of some tries that is caught reaches [`CAUGHT`].
fn crossing(outcomes: &Outcomes, tries: &[usize]) -> Option<f64> {
    let share = |(_, caught): &(f64, Vec<bool>)| {
        tries.iter().filter(|&&at| caught[at]).count() as f64 / tries.len() as f64
    };
    let shares = isotonic(&outcomes.iter().map(share).collect::<Vec<_>>());
    let at = shares.iter().position(|share| *share >= CAUGHT)?;
    let strength = outcomes[at].0;
    let Some(before) = at.checked_sub(1) else { return Some(strength) };
    let way = (CAUGHT - shares[before]) / (shares[at] - shares[before]);
    Some(outcomes[before].0 * (strength / outcomes[before].0).powf(way))
}

/// The nearest values that never fall (pool adjacent violators).
fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for value in values {
        blocks.push((*value, 1));
        while let [.., (a, n), (b, m)] = blocks[..] {
            if a <= b {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    blocks.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(caught: &[(f64, usize)]) -> Outcomes {
        let tries = |n: &usize| (0..10).map(|i| i < *n).collect();
        caught.iter().map(|(strength, n)| (*strength, tries(n))).collect()
    }

    #[test]
    fn shares_never_fall() {
        assert_eq!(isotonic(&[0.1, 0.5, 0.3, 0.9]), [0.1, 0.4, 0.4, 0.9]);
        assert_eq!(isotonic(&[3.0, 2.0, 1.0]), [2.0; 3]);
    }

    #[test]
    fn the_strength_lies_between_those_tried() {
        let found = smallest(&outcomes(&[(1.0, 0), (2.0, 6), (4.0, 10)]), 0);
        // Half of the way from .6 to 1, in logarithms.
        assert!((found.strength.unwrap() - 8f64.sqrt()).abs() < 1e-12, "{found:?}");
        assert!(found.low.unwrap() < found.strength.unwrap());
        assert!(found.high.unwrap() > found.strength.unwrap() && found.high.unwrap() <= 4.0);
        assert_eq!(smallest(&outcomes(&[(1.0, 9)]), 0).strength, Some(1.0));
        let never = smallest(&outcomes(&[(1.0, 0), (2.0, 1)]), 0);
        assert_eq!(never, CaughtFrom::default());
        assert_eq!(smallest(&Outcomes::new(), 0), CaughtFrom::default());
    }
}
