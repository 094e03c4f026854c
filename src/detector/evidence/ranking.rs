//! The score that ranks rows.
//!
//! Labels follow the score of each row by itself ([`super::share`]): a row beside an anomaly must not be part of an
//! alarm. To rank rows, what is near counts, too: anomalies last, and are surrounded by rows that deviate less. A
//! row with share 0 keeps more of its score, and a third of a score is the mean of those around it.

use std::ops::Range;

use super::share::RowShares;

/// Factor of the score of a row with share 0.
const LEFT: f64 = 0.85;
/// Weight of the mean around a row; the rest is that of the row.
const AROUND: f64 = 1.0 / 3.0;
/// Rows of that mean, in rows of the largest window.
const WIDTH: f64 = 0.5;
/// Scores are summed in multiples of 2^-24: sums do not depend on where a series begins.
const STEP: f64 = (1u64 << 24) as f64;

/// Ranks rows by scores of the evidence at them.
pub(super) struct Ranking<'a> {
    pub shares: &'a RowShares,
    /// Rows of the largest window.
    pub largest: usize,
}

impl Ranking<'_> {
    /// The ranking scores of rows with the combined scores `of_row`; `parts` are the rows between gaps.
    pub(super) fn scores(
        &self,
        of_row: impl Fn(usize) -> Option<f64>,
        parts: impl Iterator<Item = Range<usize>>,
    ) -> Vec<Option<f32>> {
        let reach = (WIDTH * self.largest as f64 / 2.0) as usize;
        let mut found = Vec::new();
        for part in parts {
            let own = |t: usize| Some(of_row(t)? * self.shares.factor(t, LEFT));
            let own: Vec<Option<f64>> = part.map(own).collect();
            let means = Means::new(&own);
            let score = |(row, own): (usize, &Option<f64>)| {
                own.map(|own| (own + AROUND * (means.around(row, reach) - own)) as f32)
            };
            found.extend(own.iter().enumerate().map(score));
        }
        found
    }
}

/// The scores before a row.
#[derive(Clone, Copy, Default)]
struct ScoresBefore {
    sum: i64,
    count: usize,
}

/// Means of consecutive scores.
struct Means(Vec<ScoresBefore>);

impl Means {
    fn new(scores: &[Option<f64>]) -> Self {
        let add = |before: &mut ScoresBefore, score: &Option<f64>| {
            before.sum += score.map_or(0, |score| (score * STEP).round() as i64);
            before.count += usize::from(score.is_some());
            Some(*before)
        };
        let all = scores.iter().scan(ScoresBefore::default(), add);
        Self([ScoresBefore::default()].into_iter().chain(all).collect())
    }

    /// The mean of the `reach` scores on either side of a row and its own; 0 where there are none.
    fn around(&self, row: usize, reach: usize) -> f64 {
        let end = (row + reach + 1).min(self.0.len() - 1);
        let (before, all) = (self.0[row.saturating_sub(reach)], self.0[end]);
        (all.sum - before.sum) as f64 / STEP / (all.count - before.count).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_scores_around() {
        let means = Means::new(&[Some(1.0), None, Some(4.0), Some(0.25), None]);
        let found: Vec<f64> = (0..5).map(|row| means.around(row, 1)).collect();
        assert_eq!(found, [1.0, 2.5, 2.125, 2.125, 0.25]);
        assert_eq!(Means::new(&[None]).around(0, 7), 0.0);
    }
}
