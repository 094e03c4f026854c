//! Scores of normal rows -> probability of a score at least as high.
//!
//! Scores of neighbouring rows are correlated, so n rows count as fewer independent ones. The
//! extremal index theta (Ferro & Segers, JRSS B 2003) is the inverse of the mean number of rows per
//! excursion: n rows count as theta n. Up to a high quantile u the p-value is conformal with that
//! number, p(s) = (1 + theta n F(s)) / (1 + theta n), with F the share of scores >= s. Beyond u it
//! is p(u) (1 + xi (s - u) / sigma)^(-1/xi), a generalised Pareto tail fitted by
//! probability-weighted moments (Hosking & Wallis, Technometrics 1987). xi is shrunk towards 0 and
//! raised by 1/k: this turns an exponential tail into its predictive distribution, given a scale
//! estimated from k excursions. k is theta times the number of scores above u, plus k0 excursions
//! with the mean excess that an exponential distribution with the same median and u has,
//! (u - median) / ln 5: most of a tail follows from the body of the scores.

/// Share of the scores beyond u.
const TAIL: f64 = 0.1;
/// Weight of the shrinkage: xi counts as if this many excursions with an exponential tail had also
/// been observed.
const PRIOR: f64 = 30.0;
/// k0: the mean excess counts as if this many excursions with the prior mean had also been observed.
const PRIOR_EXCESSES: f64 = 10.0;
/// Bounds of xi.
const LIGHTEST: f64 = -0.3;
const HEAVIEST: f64 = 0.3;
/// Minimum scale of the tail.
const LEAST_SCALE: f64 = 1e-9;

/// p-values of scores against scores of normal rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tail {
    sorted: Vec<f32>,
    /// Effective number of independent scores.
    effective: f64,
    /// Start of the Pareto tail, and p there.
    start: f64,
    p_start: f64,
    scale: f64,
    shape: f64,
    /// Mean number of scores beyond u per excursion.
    cluster: f64,
}

impl Tail {
    /// Fits scores of normal rows in time order. Without any, every p is 1.
    pub(crate) fn fit(scores: &[f32]) -> Self {
        let mut sorted = scores.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        Self::of(sorted, scores)
    }

    /// [`Tail::fit`] to `scores`: those of this tail without the `old` ones, and with the `new` ones.
    pub(crate) fn slide(&mut self, old: &[f32], new: &[f32], scores: &[f32]) {
        let sorted = replaced(&self.sorted, old, new);
        *self = Self::of(sorted, scores);
    }

    /// From scores of normal rows in ascending order and in time order.
    fn of(sorted: Vec<f32>, scores: &[f32]) -> Self {
        let n = sorted.len();
        let at = ((1.0 - TAIL) * n as f64).ceil() as usize;
        let start = sorted.get(at.min(n.saturating_sub(1))).copied().unwrap_or(f32::INFINITY);
        let beyond: Vec<usize> = (0..n).filter(|&t| scores[t] > start).collect();
        let index = extremal_index(&beyond);
        let effective = (index * n as f64).max(1.0);
        let excesses = sorted[n - beyond.len()..].iter().map(|s| f64::from(s - start)).collect();
        let median = sorted.get(n / 2).copied().unwrap_or(start);
        let prior = f64::from(start - median) / (0.5 / TAIL).ln();
        let (scale, shape) = pareto(excesses, (index * beyond.len() as f64).max(1.0), prior);
        let share = beyond.len() as f64 / n.max(1) as f64;
        let p_start = (1.0 + effective * share) / (1.0 + effective);
        Self {
            sorted,
            effective,
            start: f64::from(start),
            p_start: if n == 0 { 1.0 } else { p_start },
            scale,
            shape,
            cluster: 1.0 / index,
        }
    }

    /// Probability of a score of at least `score` in a normal row, in [0, 1].
    pub(crate) fn p(&self, score: f64) -> f64 {
        if score > self.start {
            return self.p_start * survival((score - self.start) / self.scale, self.shape);
        }
        let n = self.sorted.len();
        if n == 0 {
            return 1.0;
        }
        let below = self.sorted.partition_point(|s| f64::from(*s) < score);
        let share = (n - below) as f64 / n as f64;
        (1.0 + self.effective * share) / (1.0 + self.effective)
    }

    /// The score that a normal row exceeds with probability `p`: the inverse of [`Tail::p`].
    pub(crate) fn line(&self, p: f64) -> f64 {
        if p < self.p_start {
            return self.start + self.scale * excess(p / self.p_start, self.shape);
        }
        let n = self.sorted.len() as f64;
        let share = (p * (1.0 + self.effective) - 1.0) / self.effective;
        let at = (n * (1.0 - share)).ceil().clamp(0.0, (n - 1.0).max(0.0)) as usize;
        self.sorted.get(at).map_or(self.start, |s| f64::from(*s))
    }

    /// Quantile of the scores, the nearest below; 0 if there are none.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let at = (q * self.sorted.len().saturating_sub(1) as f64) as usize;
        self.sorted.get(at).map_or(0.0, |s| f64::from(*s))
    }

    /// Mean number of rows per excursion beyond the threshold.
    pub(crate) fn cluster(&self) -> f64 {
        self.cluster
    }
}

/// Ascending values with the `new` ones and without the `old` ones. Of thousands of values dozens change: what
/// lies between those is copied as a whole.
fn replaced(sorted: &[f32], old: &[f32], new: &[f32]) -> Vec<f32> {
    let changes = new.iter().map(|x| (*x, true)).chain(old.iter().map(|x| (*x, false)));
    let mut changes: Vec<(f32, bool)> = changes.collect();
    changes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut found = Vec::with_capacity(sorted.len() + new.len());
    let mut rest = sorted;
    for equal in changes.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let value = equal[0].0;
        let (below, from) = rest.split_at(rest.partition_point(|x| x.total_cmp(&value).is_lt()));
        let (same, above) = from.split_at(from.partition_point(|x| x.total_cmp(&value).is_eq()));
        let added = equal.iter().filter(|change| change.1).count();
        let dropped = equal.len() - added;
        found.extend_from_slice(below);
        found.extend(std::iter::repeat_n(value, (same.len() + added).saturating_sub(dropped)));
        rest = above;
    }
    found.extend_from_slice(rest);
    found
}

/// P(X > x) of a generalised Pareto variable of scale 1.
fn survival(x: f64, shape: f64) -> f64 {
    if shape.abs() < 1e-9 {
        return (-x).exp();
    }
    (1.0 + shape * x).max(0.0).powf(-1.0 / shape)
}

/// The inverse of [`survival`].
fn excess(p: f64, shape: f64) -> f64 {
    if shape.abs() < 1e-9 { -p.ln() } else { (p.powf(-shape) - 1.0) / shape }
}

/// Scale and shape of a generalised Pareto tail, from ascending excesses that count as `excursions`
/// independent ones, and the prior mean of excesses.
fn pareto(excesses: Vec<f64>, excursions: f64, prior: f64) -> (f64, f64) {
    let m = excesses.len() as f64;
    let first = excesses.iter().sum::<f64>() / m.max(1.0);
    let known = if prior > LEAST_SCALE && prior.is_finite() { PRIOR_EXCESSES } else { 0.0 };
    let all = excursions + known;
    let mean = (excursions * first + known * prior) / all;
    let shape = own_shape(&excesses, first) * excursions / (excursions + PRIOR);
    let shape = shape.max(LIGHTEST);
    ((mean * (1.0 - shape)).max(LEAST_SCALE), shape + 1.0 / all)
}

/// The shape of ascending excesses alone, by their mean and E[X (1 - F(X))], with the plotting positions
/// (i - 0.35) / m for i = 1..=m; 0 where they do not say.
fn own_shape(excesses: &[f64], mean: f64) -> f64 {
    let m = excesses.len() as f64;
    if excesses.len() < 2 || mean <= LEAST_SCALE {
        return 0.0;
    }
    let weighted = |(i, x): (usize, &f64)| x * (m - 0.65 - i as f64) / m;
    let second = excesses.iter().enumerate().map(weighted).sum::<f64>() / m;
    let ratio = mean - 2.0 * second;
    if ratio > 1e-12 * mean { (2.0 - mean / ratio).clamp(-1.0, HEAVIEST) } else { HEAVIEST }
}

/// Extremal index of the rows that exceed a threshold (ascending): the inverse of the mean number
/// of rows per excursion. Times between excursions are exponential (Ferro & Segers, equation 4).
fn extremal_index(rows: &[usize]) -> f64 {
    let times: Vec<f64> = rows.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    if times.is_empty() {
        return 1.0;
    }
    let long = times.iter().any(|t| *t > 2.0);
    let (a, b) = if long { (1.0, 2.0) } else { (0.0, 0.0) };
    let sum: f64 = times.iter().map(|t| t - a).sum();
    let squares: f64 = times.iter().map(|t| (t - a) * (t - b)).sum();
    let index = 2.0 * sum * sum / (times.len() as f64 * squares);
    index.clamp(1.0 / rows.len() as f64, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    /// Exponential scores, each repeated for `stay` rows.
    fn exponential(seed: u64, rows: usize, stay: usize) -> Vec<f32> {
        let mut rng = Rng::new(seed, Purpose::Detector, [1, 0]);
        let draws = (0..rows / stay).map(|_| -(1.0 - rng.uniform()).ln() as f32);
        draws.flat_map(|score| std::iter::repeat_n(score, stay)).collect()
    }

    /// Mean over seeds of the probability that an exponential score exceeds the threshold of `p`.
    fn realised(p: f64, rows: usize, stay: usize) -> f64 {
        let passes = |seed| (-Tail::fit(&exponential(seed, rows, stay)).line(p)).exp();
        (0..200).map(passes).sum::<f64>() / 200.0
    }

    #[test]
    fn lines_are_passed_as_often_as_they_say() {
        for (rows, stay) in [(2000, 1), (2000, 20), (8000, 100)] {
            for p in [0.05, 0.01, 0.001] {
                let ratio = realised(p, rows, stay) / p;
                assert!((0.4..2.0).contains(&ratio), "{rows} {stay} {p}: {ratio}");
            }
        }
    }

    #[test]
    fn rows_that_stay_count_once() {
        for stay in [1, 5, 50] {
            let tail = Tail::fit(&exponential(3, 8000, stay));
            let ratio = tail.cluster() / stay as f64;
            assert!((0.5..2.0).contains(&ratio), "{stay}: {}", tail.cluster());
            let ratio = tail.effective * stay as f64 / 8000.0;
            assert!((0.5..2.0).contains(&ratio), "{stay}: {}", tail.effective);
        }
    }

    /// Fewer excursions raise the threshold.
    #[test]
    fn a_short_series_has_a_wide_tail() {
        let mean = |rows| {
            let line = |seed| Tail::fit(&exponential(seed, rows, 20)).line(1e-4);
            (0..50).map(line).sum::<f64>() / 50.0
        };
        assert!(mean(1000) > 1.02 * mean(8000), "{} {}", mean(1000), mean(8000));
    }

    #[test]
    fn without_scores_nothing_is_improbable() {
        let none = Tail::fit(&[]);
        assert_eq!([none.p(0.0), none.p(1e9)], [1.0, 1.0]);
        let same = Tail::fit(&[2.0; 100]);
        assert!(same.p(2.0) > 0.5 && same.p(2.1) < 1e-9 && same.line(0.001).is_finite());
    }

    proptest! {
        /// Scores on a coarse grid, so that there are ties.
        #[test]
        fn sliding_is_fitting_again(
            scores in prop::collection::vec((0i8..20).prop_map(|x| f32::from(x) / 4.0), 1..300),
            (memory, steps) in (1usize..120, prop::collection::vec(1usize..40, 0..12)),
        ) {
            let (mut held, mut coming) = (Vec::new(), scores.into_iter());
            let mut tail = Tail::fit(&held);
            for step in steps {
                let new: Vec<f32> = coming.by_ref().take(step).collect();
                held.extend(&new);
                let old: Vec<f32> = held.drain(..held.len().saturating_sub(memory)).collect();
                tail.slide(&old, &new, &held);
                prop_assert_eq!(&tail, &Tail::fit(&held));
            }
        }

        #[test]
        fn p_falls_with_the_score_and_line_inverts_it(
            scores in prop::collection::vec(0.0f32..5.0, 1..400),
            p in 1e-6f64..0.9,
        ) {
            let tail = Tail::fit(&scores);
            let all: Vec<f64> = (0..200).map(|i| tail.p(f64::from(i) * 0.05)).collect();
            prop_assert!(all.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12));
            prop_assert!(all.iter().all(|p| (0.0..=1.0).contains(p)));
            let line = tail.line(p);
            prop_assert!(line.is_finite());
            prop_assert!(tail.p(line + 1e-6 * (1.0 + line.abs())) <= p + 1e-3 * p + 1.0 / tail.effective);
        }
    }
}
