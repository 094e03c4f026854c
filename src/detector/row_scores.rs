//! Scores of rows.

use std::ops::Range;

/// Scores of the rows of a series: those that rank rows, and those that labels follow.
///
/// For the detector `evidence`, the score of a row by itself says whether it is part of an anomaly: p-values,
/// labels and alarms follow these. `score` gives scores that rank rows: they also count what is near, and start
/// to rise before an anomaly begins. For other detectors both are the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowScores {
    ranking: Vec<Option<f32>>,
    /// `None` where they are those that rank rows.
    own: Option<Vec<Option<f32>>>,
}

/// Scores of some consecutive rows.
#[derive(Clone, Copy)]
pub(crate) struct ScoresView<'a> {
    pub ranking: &'a [Option<f32>],
    pub own: &'a [Option<f32>],
}

impl RowScores {
    pub(crate) fn new(ranking: Vec<Option<f32>>, own: Vec<Option<f32>>) -> Self {
        Self { ranking, own: Some(own) }
    }

    /// Scores that labels follow, too.
    pub(crate) fn same(ranking: Vec<Option<f32>>) -> Self {
        Self { ranking, own: None }
    }

    /// What `score` gives; `None` for a row with a missing value, or without a window.
    pub fn ranking(&self) -> &[Option<f32>] {
        &self.ranking
    }

    /// What p-values, labels and alarms follow; `None` for the same rows.
    pub fn own(&self) -> &[Option<f32>] {
        self.own.as_ref().unwrap_or(&self.ranking)
    }

    /// [`RowScores::ranking`].
    pub fn into_ranking(self) -> Vec<Option<f32>> {
        self.ranking
    }

    pub(crate) fn view(&self) -> ScoresView<'_> {
        ScoresView { ranking: &self.ranking, own: self.own() }
    }

    /// With the scores of `rows` by `other`.
    pub(crate) fn replaced(&self, rows: &Range<usize>, other: &Self) -> Self {
        let with = |old: &[Option<f32>], new: &[Option<f32>]| {
            let mut scores = old.to_vec();
            scores[rows.clone()].copy_from_slice(&new[rows.clone()]);
            scores
        };
        let own = self.own.as_deref().map(|own| with(own, other.own()));
        Self { ranking: with(&self.ranking, &other.ranking), own }
    }
}

impl ScoresView<'_> {
    pub(crate) fn part(self, rows: Range<usize>) -> Self {
        Self { ranking: &self.ranking[rows.clone()], own: &self.own[rows] }
    }
}
