//! Learns the domain of a feature from its training rows.

use super::feature::FeatureDomain;
use super::lattice::Lattice;
use crate::data::normalise::CONSTANT_RANGE;
use crate::data::series::Series;
use crate::stats::range;

/// Maximum number of distinct values of a feature with few values.
const STATES: usize = 16;
/// The same for evenly spaced values without a gap; with more, the feature is a number.
const STATES_IN_LINE: usize = 4;
/// Minimum frequency of each of more than two such values: count, and share of the rows.
const STATE_TIMES: usize = 10;
const STATE_SHARE: f64 = 0.01;
/// Minimum frequency of a limit: count, share of the rows, and ratio to the next value.
const PILE_TIMES: usize = 5;
const PILE_SHARE: f64 = 0.005;
const PILE_FACTOR: usize = 3;
/// Upper ends of fractions and percentages, and the smallest share of them that values must reach.
const WHOLES: [f64; 2] = [1.0, 100.0];
const REACHED: f64 = 0.1;
/// Counters: minimum number of rows and share of rises, maximum share of resets, and how low they
/// fall.
const COUNTER_ROWS: usize = 32;
const COUNTER_RISES: f64 = 0.05;
const COUNTER_RESETS: f64 = 0.02;
const RESET_TO: f64 = 0.1;

impl FeatureDomain {
    /// The domain of every feature of a series, from the rows where `train` holds.
    pub(crate) fn of_rows(series: &Series<'_>, train: impl Fn(usize) -> bool) -> Vec<Self> {
        let mut values = vec![0.0; series.len()];
        let domain = |d: usize| {
            series.read(d, 0, &mut values);
            let kept = |(t, value): (usize, &f64)| (train(t) && !value.is_nan()).then_some(*value);
            Self::learn(&values.iter().enumerate().filter_map(kept).collect::<Vec<_>>())
        };
        (0..series.columns().width()).map(domain).collect()
    }

    /// Learns the domain from the values of training rows, in time order:
    ///
    /// - few distinct values (up to two; or up to 16, each in 10 or more rows and 1 % of them, that skip
    ///   some steps or are at most four): only these values;
    /// - evenly spaced values: only multiples of the step;
    /// - no negative values, or no positive ones: the same for anomalies;
    /// - fractions and percentages (0 to 1 or 0 to 100, with values of at least a tenth): no value above;
    /// - values that accumulate at an end of their range (5 or more, 0.5 % of the rows, and 3 times as
    ///   many as at the next value): no value beyond;
    /// - values that never fall, except for up to 2 % of resets to the lowest tenth: a counter.
    pub(crate) fn learn(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let (low, high) = range(values);
        let constant = high - low <= CONSTANT_RANGE * low.abs().max(high.abs());
        let lattice = Lattice::find(values);
        let monotone = !constant && is_counter(values, low);
        let own = (!constant && !monotone).then(|| states(values, lattice.as_ref())).flatten();
        let (below, above) = limits(values, (low, high), constant);
        let seen = (!constant).then_some((low, high));
        Self { min: below, max: above, seen, lattice, values: own, monotone }
    }
}

/// The only values, where they are few.
fn states(values: &[f64], lattice: Option<&Lattice>) -> Option<Vec<f64>> {
    let mut found: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        match found.iter().position(|(known, _)| *known == value) {
            Some(at) => found[at].1 += 1,
            None if found.len() == STATES => return None,
            None => found.push((value, 1)),
        }
    }
    let often = (STATE_SHARE * values.len() as f64).max(STATE_TIMES as f64);
    let states = found.iter().all(|(_, times)| *times as f64 >= often);
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let found: Vec<f64> = found.into_iter().map(|(value, _)| value).collect();
    let in_line = lattice.is_some_and(|lattice| {
        let steps = (found[found.len() - 1] - found[0]) / lattice.spacing();
        steps < found.len() as f64 - 0.5
    });
    let most = if in_line { STATES_IN_LINE } else { STATES };
    (found.len() <= 2 || (states && found.len() <= most)).then_some(found)
}

/// Hard limits below and above.
fn limits(values: &[f64], (low, high): (f64, f64), constant: bool) -> (Option<f64>, Option<f64>) {
    let mut below = (low >= 0.0).then_some(0.0);
    let mut above = (high <= 0.0 && low < 0.0).then_some(0.0);
    if low >= 0.0 && !constant {
        let part = |whole: &&f64| high <= **whole && high >= REACHED * **whole;
        above = WHOLES.iter().find(part).copied();
    }
    if !constant {
        below = if piles_up(values, low, |a, b| a < b) { Some(low) } else { below };
        above = if piles_up(values, high, |a, b| a > b) { Some(high) } else { above };
    }
    (below, above)
}

/// Whether values accumulate at the `end` of their range but not next to it. `nearer` tells which
/// of two values is nearer to this end.
fn piles_up(values: &[f64], end: f64, nearer: impl Fn(f64, f64) -> bool) -> bool {
    let mut beside: Option<(f64, usize)> = None;
    let mut times = 0;
    for &value in values {
        match beside {
            _ if value == end => times += 1,
            Some((known, _)) if nearer(known, value) => (),
            Some((known, times)) if known == value => beside = Some((known, times + 1)),
            _ => beside = Some((value, 1)),
        }
    }
    let often = (PILE_SHARE * values.len() as f64).max(PILE_TIMES as f64);
    times as f64 >= often && beside.is_some_and(|(_, next)| times >= PILE_FACTOR * next)
}

/// Whether values only rise, except for resets.
fn is_counter(values: &[f64], low: f64) -> bool {
    let n = values.len() as f64;
    let (mut rises, mut resets) = (0, 0);
    for pair in values.windows(2) {
        rises += usize::from(pair[1] > pair[0]);
        if pair[1] < pair[0] {
            resets += 1;
            let far = pair[1] - low <= RESET_TO * (pair[0] - low);
            if !far || resets as f64 > COUNTER_RESETS * n {
                return false;
            }
        }
    }
    values.len() >= COUNTER_ROWS && rises as f64 >= COUNTER_RISES * n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn noise(n: usize) -> Vec<f64> {
        let noise = Rng::new(1, Purpose::Place, [0, 0]).normals(n);
        noise.into_iter().map(f64::from).collect()
    }

    fn learn(of: impl Fn(f64) -> f64) -> FeatureDomain {
        FeatureDomain::learn(&noise(2000).into_iter().map(of).collect::<Vec<_>>())
    }

    fn ends(of: impl Fn(f64) -> f64) -> (Option<f64>, Option<f64>) {
        let found = learn(of);
        (found.min, found.max)
    }

    #[test]
    fn limits_are_those_of_sorts_of_values() {
        assert_eq!(ends(|x| x), (None, None));
        assert_eq!(ends(|x| 100.0 * x.exp()), (Some(0.0), None));
        assert_eq!(ends(|x| -x.exp()), (None, Some(0.0)));
        assert_eq!(ends(|x| 40.0 + 5.0 * x), (Some(0.0), Some(100.0)));
        assert_eq!(ends(|x| 0.4 + 0.05 * x), (Some(0.0), Some(1.0)));
        assert_eq!(ends(|x| 400.0 + 5.0 * x), (Some(0.0), None));
        // Clipped at either end.
        assert_eq!(ends(|x| x.clamp(-1.5, 2.0)), (Some(-1.5), Some(2.0)));
    }

    #[test]
    fn few_values_are_all_and_counts_go_on() {
        let flag = learn(|x| f64::from(u8::from(x > 3.0)));
        assert_eq!(flag.values, Some(vec![0.0, 1.0]));
        let states = learn(|x| [0.0, 2.0, 7.0, 9.0, 40.0][((x + 9.0) * 5.0) as usize % 5]);
        assert_eq!(states.values, Some(vec![0.0, 2.0, 7.0, 9.0, 40.0]));
        // A long tail: larger values are possible.
        let count = learn(|x| (x.max(0.0) * 1.2).floor());
        assert_eq!((count.values, count.min), (None, Some(0.0)));
        assert_eq!(count.lattice.map(|lattice| lattice.spacing()), Some(1.0));
        let degrees = learn(|x| 20.0 + (2.0 * x).clamp(-4.0, 4.0).round());
        assert_eq!(degrees.values, None);
    }

    #[test]
    fn counters_never_fall_but_for_resets() {
        let mut total = 0.0;
        let mut count = |t: usize| {
            total = if t % 400 == 399 { 0.0 } else { total + (t % 3) as f64 };
            total
        };
        let counter: Vec<f64> = (0..2000).map(&mut count).collect();
        assert!(FeatureDomain::learn(&counter).monotone);
        let sunk: Vec<f64> =
            counter.iter().enumerate().map(|(t, x)| x - (t / 500) as f64).collect();
        assert!(!FeatureDomain::learn(&sunk).monotone);
        assert!(!learn(|x| x).monotone);
        assert!(!FeatureDomain::learn(&[3.0; 100]).monotone);
    }

    #[test]
    fn constants_and_nothing_limit_little() {
        assert_eq!(FeatureDomain::learn(&[]), FeatureDomain::default());
        let constant = FeatureDomain::learn(&[1.0; 50]);
        assert_eq!((constant.min, constant.max, constant.seen), (Some(0.0), None, None));
        assert_eq!((constant.values, constant.lattice.map(|l| l.spacing())), (None, Some(1.0)));
    }
}
