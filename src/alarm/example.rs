//! Scores for tests.

use std::ops::Range;

use super::follow::{Followed, MEMORY};
use super::lengths::RunLengths;
use super::rule::FollowRule;
use crate::runtime::rng::{Purpose, Rng};

pub(crate) const RULE: FollowRule = FollowRule {
    start: 1e-3,
    go_on: 5e-3,
    memory: Some(MEMORY),
    settle: 100,
    join: 3,
    cooldown: 0,
    reach: 0,
    repeats: 0,
    lengths: RunLengths { join: 3, per_high_row: 1.0, excursion: 1.0 },
};

/// Exponential scores, which stay for 5 rows.
pub(crate) fn normal(seed: u64, rows: usize) -> Vec<f32> {
    let mut rng = Rng::new(seed, Purpose::Detector, [2, 0]);
    let draws = (0..rows.div_ceil(5)).map(|_| -(1.0 - rng.uniform()).ln() as f32);
    draws.flat_map(|score| std::iter::repeat_n(score, 5)).take(rows).collect()
}

pub(crate) fn some(scores: Vec<f32>) -> Vec<Option<f32>> {
    scores.into_iter().map(Some).collect()
}

pub(crate) fn runs(found: &Followed) -> Vec<Range<usize>> {
    found.runs.iter().map(|run| run.rows.clone()).collect()
}
