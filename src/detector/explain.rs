//! Why rows have their scores, and what they should have been.

use std::ops::Range;

use candle_core::Tensor;

use super::collection::{Detectors, overlap, window_scores};
use super::evidence::{Expected, StrongestEvidence};
use super::labels::{Labelled, Labeller};
use super::locate::MOST_BLAME;
use super::row_scores::RowScores;
use super::score_rows::blame;
use super::spec::Loaded;
use crate::alarm::Alarm;
use crate::anomaly::domain::FeatureDomain;
use crate::config::{AlarmConfig, DetectorKind, ScoreConfig, Threshold};
use crate::data::series::Series;
use crate::error::Result;
use crate::generator::Generator;
use crate::runtime::control::Control;

/// What rounding to 32 bits may be off by, in training ranges.
const ROUNDING: f64 = 2e-6;

/// Why the rows of a series have their scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasons {
    /// Scores of every row.
    pub scores: RowScores,
    /// Share of every feature in what is unusual, [D][T], from 0 to 1; those of a row add up to 1, or
    /// are all 0 where nothing is unusual. `None` where there is no score.
    pub blame: Vec<Vec<Option<f32>>>,
    /// The strongest evidence of every row; empty for other detectors.
    pub strongest: Vec<Option<StrongestEvidence>>,
    /// What every feature should have been, where the options ask for bounds; else empty.
    pub bounds: Vec<Bounds>,
}

/// Why there is an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The alarm.
    pub alarm: Alarm,
    /// The features to blame, the main one first.
    pub blame: Vec<Blame>,
    /// The strongest evidence at its peak.
    pub evidence: Option<StrongestEvidence>,
}

/// What one feature has to do with an alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blame {
    /// Its position.
    pub feature: usize,
    /// Its share in what is unusual, in [0, 1].
    pub share: f64,
    /// What it should have been at the peak, in its own unit.
    pub expected: Option<f64>,
}

/// What a feature should have been, in its own unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Of every row.
    pub expected: Vec<Option<f64>>,
    /// What it should not have been below.
    pub lower: Vec<Option<f64>>,
    /// What it should not have been above.
    pub upper: Vec<Option<f64>>,
}

impl Detectors {
    /// What every feature should have been in every row, by the evidence of the model.
    ///
    /// # Errors
    /// As [`Detectors::score`].
    pub(crate) fn expect(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        coverage: f64,
        control: &dyn Control,
    ) -> Result<Vec<Bounds>> {
        let Loaded::Series(evidence) = self.load(DetectorKind::Evidence, generator)? else {
            return Err(self.missing(DetectorKind::Evidence));
        };
        generator.normaliser.check(series)?;
        Ok(all_bounds(&evidence.expect(series, control)?, generator, series, coverage))
    }

    /// Scores, and why they are what they are.
    ///
    /// # Errors
    /// As [`Detectors::score`].
    pub(crate) fn reasons(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Reasons> {
        let kind = config.detector.unwrap_or_else(|| self.default_kind());
        match self.load(kind, generator)? {
            Loaded::Series(evidence) => {
                generator.normaliser.check(series)?;
                let (scores, strongest) = evidence.score_with_evidence(series, config, control)?;
                let expected = evidence.expect(series, control)?;
                let energy = energies(&expected, series);
                let blame = blame_of_rows(&smoothed(energy, expected.block()), scores.own());
                let bounds = config.bounds.map_or_else(Vec::new, |coverage| {
                    all_bounds(&expected, generator, series, coverage)
                });
                Ok(Reasons { scores, blame, strongest, bounds })
            }
            Loaded::Windows(detector) => {
                let scores = window_scores(&*detector, generator, series, config, control)?;
                let width = series.columns().width();
                let work = |x: &Tensor| blame(&*detector, x);
                let rows = overlap(generator, series, config, width, &[], control, work)?;
                let added = |d: usize| {
                    let of_row = |t| f64::from(rows.get(t, d).unwrap_or(0.0));
                    (0..series.len()).map(of_row).collect()
                };
                let added: Vec<Vec<f64>> = (0..width).map(added).collect();
                let blame = blame_of_rows(&added, &scores);
                let scores = RowScores::same(scores);
                let expect = |coverage| self.expect(generator, series, coverage, control);
                let bounds = config.bounds.map(expect).transpose()?.unwrap_or_default();
                Ok(Reasons { scores, blame, strongest: Vec::new(), bounds })
            }
        }
    }

    /// The alarms of a series, and why they are there.
    ///
    /// # Errors
    /// As [`Detectors::alarms`].
    pub(crate) fn explain(
        &self,
        generator: &Generator,
        series: &Series<'_>,
        threshold: Threshold,
        alarm: &AlarmConfig,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Explained>> {
        let labeller = Labeller::new(self, generator, threshold, alarm, config)?;
        match &labeller.loaded {
            Loaded::Series(evidence) => {
                generator.normaliser.check(series)?;
                let (scored, strongest) =
                    evidence.score_with_ends_and_evidence(series, config, control)?;
                let Labelled { alarms, .. } = labeller.labelled(series, scored.into())?;
                if alarms.is_empty() {
                    return Ok(Vec::new());
                }
                let expected = evidence.expect(series, control)?;
                Ok(explained(&expected, &strongest, alarms, generator, series))
            }
            Loaded::Windows(detector) => {
                let scored = labeller.scored(series, control)?;
                let Labelled { alarms, .. } = labeller.labelled(series, scored)?;
                if alarms.is_empty() {
                    return Ok(Vec::new());
                }
                let width = series.columns().width();
                let parts: Vec<Range<usize>> =
                    alarms.iter().map(|alarm| alarm.rows.clone()).collect();
                let work = |x: &Tensor| blame(&**detector, x);
                let rows = overlap(generator, series, config, width, &parts, control, work)?;
                let sum = |alarm: &Alarm, d: usize| -> f64 {
                    let of_row = |t| f64::from(rows.get(t, d).unwrap_or(0.0));
                    alarm.rows.clone().map(of_row).sum()
                };
                let explain = |alarm: Alarm| {
                    let energy = (0..width).map(|d| sum(&alarm, d)).collect();
                    Explained { blame: shared(energy, |_| None), evidence: None, alarm }
                };
                Ok(alarms.into_iter().map(explain).collect())
            }
        }
    }
}

/// The alarms of the evidence.
fn explained(
    expected: &Expected<'_>,
    strongest: &[Option<StrongestEvidence>],
    alarms: Vec<Alarm>,
    generator: &Generator,
    series: &Series<'_>,
) -> Vec<Explained> {
    let energies = energies(expected, series);
    let explain = |alarm: Alarm| {
        let energy = energies.iter().map(|of_rows| of_rows[alarm.rows.clone()].iter().sum());
        let value =
            |d: usize| Some(possible(generator.domain.get(d), expected.value(d, alarm.peak)?));
        let blame = shared(energy.collect(), value);
        Explained { blame, evidence: strongest[alarm.peak], alarm }
    };
    alarms.into_iter().map(explain).collect()
}

/// Squared deviation of every feature and row from what it should have been, beyond the usual one.
fn energies(expected: &Expected<'_>, series: &Series<'_>) -> Vec<Vec<f64>> {
    let energy = |d: usize, t: usize| {
        let deviation = expected.deviation(d, t).unwrap_or(0.0);
        (deviation.min(MOST_BLAME.into()).powi(2) - 1.0).max(0.0)
    };
    let of_feature = |d: usize| (0..series.len()).map(|t| energy(d, t)).collect();
    (0..series.columns().width()).map(of_feature).collect()
}

/// Means over `rows` rows around each.
fn smoothed(values: Vec<Vec<f64>>, rows: usize) -> Vec<Vec<f64>> {
    let half = rows / 2;
    let smooth = |values: Vec<f64>| {
        let mean = |t: usize| {
            let near = &values[t.saturating_sub(half)..(t + half + 1).min(values.len())];
            near.iter().sum::<f64>() / near.len() as f64
        };
        (0..values.len()).map(mean).collect()
    };
    values.into_iter().map(smooth).collect()
}

/// Shares of features in every row that has a score.
fn blame_of_rows(added: &[Vec<f64>], scores: &[Option<f32>]) -> Vec<Vec<Option<f32>>> {
    let sums: Vec<f64> =
        (0..scores.len()).map(|t| added.iter().map(|of_rows| of_rows[t]).sum()).collect();
    let share = |value: f64, t: usize| {
        let share = if sums[t] > 0.0 { value / sums[t] } else { 0.0 };
        scores[t].map(|_| share as f32)
    };
    let of_feature =
        |values: &Vec<f64>| values.iter().enumerate().map(|(t, x)| share(*x, t)).collect();
    added.iter().map(of_feature).collect()
}

/// The features that have a share, the largest first; the first one where none has.
fn shared(energy: Vec<f64>, expected: impl Fn(usize) -> Option<f64>) -> Vec<Blame> {
    let sum: f64 = energy.iter().sum();
    let of_feature = |(feature, energy): (usize, &f64)| Blame {
        feature,
        share: if sum > 0.0 { energy / sum } else { 0.0 },
        expected: expected(feature),
    };
    let mut blame: Vec<Blame> = energy.iter().enumerate().map(of_feature).collect();
    blame.sort_by(|a, b| b.share.total_cmp(&a.share));
    let named = blame.iter().filter(|blame| blame.share > 0.0).count();
    blame.truncate(named.max(1));
    blame
}

/// What every feature should have been, within what it can be.
fn all_bounds(
    expected: &Expected<'_>,
    generator: &Generator,
    series: &Series<'_>,
    coverage: f64,
) -> Vec<Bounds> {
    let of_feature = |d: usize| {
        let domain = generator.domain.get(d).filter(|domain| holds(domain, series, d));
        bounds(expected, d, series.len(), domain, coverage)
    };
    (0..series.columns().width()).map(of_feature).collect()
}

fn bounds(
    expected: &Expected<'_>,
    d: usize,
    rows: usize,
    domain: Option<&FeatureDomain>,
    coverage: f64,
) -> Bounds {
    let possible = |value: f64| possible(domain, value);
    let (lower, upper) = expected
        .bands(d, coverage)
        .into_iter()
        .map(|band| band.map(|(low, high)| (possible(low), possible(high))).unzip())
        .unzip();
    let value = |t: usize| expected.value(d, t).map(possible);
    Bounds { expected: (0..rows).map(value).collect(), lower, upper }
}

/// Whether no row is outside of what a feature can be: else that says nothing of this series.
fn holds(domain: &FeatureDomain, series: &Series<'_>, d: usize) -> bool {
    let (low, high) = (domain.min, domain.max);
    let inside =
        |value: f64| low.is_none_or(|low| low <= value) && high.is_none_or(|high| value <= high);
    (low, high) == (None, None) || (0..series.len()).all(|t| series.value(d, t).is_none_or(inside))
}

/// A value within what a feature can be, and one of those that it takes where it is as good as that.
fn possible(domain: Option<&FeatureDomain>, value: f64) -> f64 {
    let Some(domain) = domain else { return value };
    let value = value.max(domain.min.unwrap_or(value)).min(domain.max.unwrap_or(value));
    let (below, above) = domain.around(value);
    let range = domain.seen.map_or(0.0, |(least, most)| most - least);
    let near = if value - below < above - value { below } else { above };
    if (near - value).abs() <= ROUNDING * range { near } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_the_largest_comes_first() {
        let blame = shared(vec![1.0, 0.0, 3.0], |d| Some(d as f64));
        let of = |blame: &Blame| (blame.feature, blame.share, blame.expected);
        let found: Vec<_> = blame.iter().map(of).collect();
        assert_eq!(found, [(2, 0.75, Some(2.0)), (0, 0.25, Some(0.0))]);
        assert_eq!(shared(vec![0.0; 3], |_| None).len(), 1);
        let rows = blame_of_rows(
            &[vec![1.0, 0.0, 2.0], vec![3.0, 0.0, 2.0]],
            &[Some(1.0), Some(0.0), None],
        );
        assert_eq!(rows, [[Some(0.25), Some(0.0), None], [Some(0.75), Some(0.0), None]]);
    }

    #[test]
    fn means_reach_over_the_ends() {
        assert_eq!(smoothed(vec![vec![3.0, 0.0, 0.0, 6.0]], 2), [[1.5, 1.0, 2.0, 3.0]]);
    }
}
