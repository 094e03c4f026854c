//! All members together: their fit, and scores of rows.

use std::ops::Range;
use std::sync::OnceLock;

use super::around::Places;
use super::features::{Features, Values};
use super::fusion::{Fusion, RowDistance};
use super::member::{LeftOut, MatchedWindows, Member};
use super::neighbours::Excluded;
use super::own::{OwnWindows, RowHashes};
use super::plan::{MemberPlan, SMALLEST};
use super::ranking::Ranking;
use super::reference::ReferenceRows;
use super::rows::RowMeans;
use super::share::RowShares;
use super::strongest::{StrongestEvidence, StrongestMembers};
use crate::config::{FitConfig, ScoreConfig};
use crate::data::series::Series;
use crate::data::windows;
use crate::detector::row_scores::RowScores;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Queries per window length: consecutive queries are a quarter of a window apart.
const OVERLAP: usize = 4;
/// Maximum number of training rows that a model stores.
const MOST_ROWS: usize = 1 << 16;

/// Scores the rows of a series.
pub(crate) struct Evidence {
    pub(super) features: Features,
    pub(super) reference: ReferenceRows,
    pub(super) members: Vec<Member>,
    /// Largest share of missing values in a window.
    pub(super) max_null: f64,
    /// What rows should have been, once it has been asked for.
    pub(super) around: OnceLock<Places>,
}

/// Scores of the rows of a series.
pub(crate) struct ScoredRows {
    /// >= 0; `None` for a row with a missing value, or without a window.
    pub scores: RowScores,
    /// The share of each row in the distances of the windows that cover it, without an upper bound.
    pub ends: RowShares,
}

/// Scores of the rows of a series, and the strongest evidence of each.
pub(crate) type ScoresAndEvidence = (RowScores, Vec<Option<StrongestEvidence>>);

/// The windows of one size in a series.
struct Queries {
    size: usize,
    /// Stretches of rows, and the windows that are searched in each, including its first and last
    /// one.
    stretches: Vec<(Range<usize>, Vec<usize>)>,
    /// References that each window is not compared with, in the same order.
    excluded: Vec<Excluded>,
}

impl Evidence {
    /// Fits to the rows of a series that are not known anomalies. Also returns the scores of these
    /// rows, each from reference windows that are far from it in time.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Interrupted`].
    pub(crate) fn fit(
        series: &Series<'_>,
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<(Self, RowScores)> {
        let features = Features::fit(series, |t| !series.is_labelled(t));
        let values = features.apply(series)?;
        let keep = |t: usize| !series.is_labelled(t);
        let runs = |size: usize| stretches(series, keep, size, config.max_null);
        let runs = windows::apart(runs(config.window), 1);
        let reference = ReferenceRows::new(&values, &runs, MOST_ROWS);
        let room = |size: usize| match reference.all(size).iter().map(Range::len).sum() {
            0 => 0,
            windows => windows + size - 1,
        };
        let plan = MemberPlan::all(&features, config.window, room);
        let fitted = fit_members(&plan, &reference, &features, control)?;
        let (members, held_out): (Vec<Member>, Vec<LeftOut>) = fitted.into_iter().unzip();
        let (max_null, around) = (config.max_null, OnceLock::new());
        let evidence = Self { features, reference, members, max_null, around };
        let scores = evidence.held_out_scores(&held_out, control)?;
        Ok((evidence, scores))
    }

    /// Scores of the reference rows themselves.
    fn held_out_scores(&self, held_out: &[LeftOut], control: &dyn Control) -> Result<RowScores> {
        let mut fusion = self.fusion(self.reference.rows());
        let mut shares = RowShares::of_scores(self.reference.rows());
        for same in groups(&self.members) {
            let (member, LeftOut { starts, found }) = (&self.members[same[0]], &held_out[same[0]]);
            let mut rows = RowMeans::new(self.reference.rows());
            let z: Vec<f64> = found.iter().map(|found| member.z(found.distance)).collect();
            let nearest: Vec<usize> = found.iter().map(|found| found.index).collect();
            let windows = MatchedWindows { starts, nearest: &nearest, z: &z };
            let all = same.iter().map(|i| &self.members[*i]);
            let accumulators = vec![shares.accumulator(all.clone().map(Member::weight).sum())];
            member.contribute(
                &self.reference.values,
                &self.reference,
                windows,
                accumulators,
                control,
            )?;
            for run in &self.reference.runs {
                let first = starts.partition_point(|start| *start < run.start);
                let end = starts.partition_point(|start| *start < run.end);
                if let Some(last) = starts[first..end].last() {
                    let stretch = starts[first]..last + member.plan.size;
                    rows.add(stretch, member.plan.size, &starts[first..end], &z[first..end]);
                }
            }
            all.for_each(|member| add(&mut fusion, member, &rows, self.reference.rows()));
        }
        let own = |row| Some(shares.score(row, fusion.score(row)?));
        let ranking = Ranking { shares: &shares, largest: self.largest() };
        let ranking =
            ranking.scores(|row| fusion.ranking(row), self.reference.runs.iter().cloned());
        Ok(RowScores::new(ranking, (0..self.reference.rows()).map(own).collect()))
    }

    /// Scores the rows of a series. Rows of the fit are compared with the other ones.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Interrupted`].
    pub(crate) fn score(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<RowScores> {
        self.scored(series, config, None, None, control)
    }

    /// As [`Evidence::score`], with the shares that determine where alarms begin and end.
    ///
    /// # Errors
    /// As [`Evidence::score`].
    pub(crate) fn score_with_ends(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<ScoredRows> {
        let mut ends = RowShares::of_ends(series.len());
        let scores = self.scored(series, config, Some(&mut ends), None, control)?;
        Ok(ScoredRows { scores, ends })
    }

    /// [`Evidence::score`], and the strongest evidence of each row.
    ///
    /// # Errors
    /// As [`Evidence::score`].
    pub(crate) fn score_with_evidence(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<ScoresAndEvidence> {
        let mut strongest = StrongestMembers::new(series.len());
        let scores = self.scored(series, config, None, Some(&mut strongest), control)?;
        let strongest = self.evidence_of(&strongest, &scores);
        Ok((scores, strongest))
    }

    /// [`Evidence::score_with_ends`], and the strongest evidence of each row.
    ///
    /// # Errors
    /// As [`Evidence::score`].
    pub(crate) fn score_with_ends_and_evidence(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<(ScoredRows, Vec<Option<StrongestEvidence>>)> {
        let (mut ends, mut strongest) =
            (RowShares::of_ends(series.len()), StrongestMembers::new(series.len()));
        let scores = self.scored(series, config, Some(&mut ends), Some(&mut strongest), control)?;
        let strongest = self.evidence_of(&strongest, &scores);
        Ok((ScoredRows { scores, ends }, strongest))
    }

    fn evidence_of(
        &self,
        strongest: &StrongestMembers,
        scores: &RowScores,
    ) -> Vec<Option<StrongestEvidence>> {
        let of_row = |(t, score): (usize, &Option<f32>)| {
            strongest.get(t, &self.reference).filter(|_| score.is_some())
        };
        scores.own().iter().enumerate().map(of_row).collect()
    }

    fn scored(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        ends: Option<&mut RowShares>,
        mut strongest: Option<&mut StrongestMembers>,
        control: &dyn Control,
    ) -> Result<RowScores> {
        let values = self.features.apply(series)?;
        let mut fusion = self.fusion(series.len());
        let mut shares = RowShares::of_scores(series.len());
        let mut all: Vec<&mut RowShares> =
            [Some(&mut shares), ends].into_iter().flatten().collect();
        let hashes = RowHashes::new(&values, &self.reference);
        let sizes = sizes(&self.members);
        let mut queries: Vec<Queries> =
            sizes.iter().map(|&size| self.queries(series, &hashes, size, config)).collect();
        let smaller;
        let mut members = &self.members[..];
        if queries.iter().all(Queries::is_empty) {
            queries = vec![self.smaller_queries(series, &hashes, &sizes, config)?];
            smaller = self.resized(queries[0].size, control)?;
            members = &smaller;
        }
        for same in groups(members) {
            let same: Vec<&Member> = same.into_iter().map(|i| &members[i]).collect();
            let size = same[0].plan.size;
            let of_size = queries.iter().find(|queries| queries.size == size);
            for queries in of_size.into_iter().filter(|queries| !queries.is_empty()) {
                let (rows, nearest) = self.row_means(&same, &values, queries, &mut all, control)?;
                same.iter().for_each(|member| add(&mut fusion, member, &rows, series.len()));
                if let Some(strongest) = &mut strongest {
                    let (references, stretches) = (self.reference.starts(size), &queries.stretches);
                    let mut add =
                        |member| strongest.add(member, &rows, stretches, &nearest, &references);
                    same.iter().for_each(|member| add(member));
                }
            }
        }
        if let Some(strongest) = strongest {
            (0..series.len()).for_each(|t| strongest.choose(t, fusion.strongest_group(t)));
        }
        let own = |t: usize| {
            let score = fusion.score(t).filter(|_| series.is_usable(t))?;
            Some(shares.score(t, score))
        };
        let largest = largest(members);
        let edges = [&[0], series.gaps(), &[series.len()]].concat();
        let parts = edges.windows(2).map(|edge| edge[0]..edge[1]);
        let of_row = |t| fusion.ranking(t).filter(|_| series.is_usable(t));
        let ranking = Ranking { shares: &shares, largest }.scores(of_row, parts);
        Ok(RowScores::new(ranking, (0..series.len()).map(own).collect()))
    }

    /// The largest windows, smaller than those of `sizes`, that a series has room for.
    fn smaller_queries(
        &self,
        series: &Series<'_>,
        hashes: &RowHashes<'_>,
        sizes: &[usize],
        config: &ScoreConfig,
    ) -> Result<Queries> {
        let (rows, window) = (series.len(), sizes.first().copied().unwrap_or_default());
        let halves = std::iter::successors(Some(window / 2), |size| Some(size / 2));
        let found = halves
            .take_while(|size| *size >= SMALLEST)
            .map(|size| self.queries(series, hashes, size, config))
            .find(|queries| !queries.is_empty());
        found.ok_or(match rows < window {
            true => Error::TooShort { rows, window },
            false => Error::NoWindow { rows, window },
        })
    }

    /// Members that see windows of `size` rows as the others do theirs.
    fn resized(&self, size: usize, control: &dyn Control) -> Result<Vec<Member>> {
        let mut plan: Vec<MemberPlan> =
            self.members.iter().map(|member| MemberPlan { size, ..member.plan }).collect();
        plan.dedup();
        let fitted = fit_members(&plan, &self.reference, &self.features, control)?;
        Ok(fitted.into_iter().map(|(member, _)| member).collect())
    }

    /// Scores of the rows by members that find the same, and the number of the nearest reference of
    /// every window.
    fn row_means(
        &self,
        same: &[&Member],
        values: &Values,
        queries: &Queries,
        shares: &mut [&mut RowShares],
        control: &dyn Control,
    ) -> Result<(RowMeans, Vec<usize>)> {
        let (member, weight) = (same[0], same.iter().map(|member| member.weight()).sum());
        let all: Vec<usize> =
            queries.stretches.iter().flat_map(|(_, starts)| starts).copied().collect();
        let (nearest, z) = self.nearest(member, values, &all, &queries.excluded, control)?;
        let windows = MatchedWindows { starts: &all, nearest: &nearest, z: &z };
        let accumulators = shares.iter_mut().map(|shares| shares.accumulator(weight)).collect();
        member.contribute(values, &self.reference, windows, accumulators, control)?;
        let mut means = RowMeans::new(values.rows());
        let mut first = 0;
        for (stretch, starts) in &queries.stretches {
            let end = first + starts.len();
            means.add(stretch.clone(), member.plan.size, starts, &z[first..end]);
            first = end;
        }
        Ok((means, nearest))
    }

    /// For every window at `starts`, the number of its nearest reference and z. A window that
    /// equals the previous one shares its result.
    fn nearest(
        &self,
        member: &Member,
        values: &Values,
        starts: &[usize],
        excluded: &[Excluded],
        control: &dyn Control,
    ) -> Result<(Vec<usize>, Vec<f64>)> {
        let repeats = |i: usize| {
            i > 0
                && excluded[i] == excluded[i - 1]
                && values.alike(starts[i - 1], starts[i], member.plan.size)
        };
        let repeats: Vec<bool> = (0..starts.len()).map(repeats).collect();
        let different = (0..starts.len()).filter(|i| !repeats[*i]);
        let different: (Vec<usize>, Vec<Excluded>) =
            different.map(|i| (starts[i], excluded[i].clone())).unzip();
        let (starts, excluded) = &different;
        let found = member.nearest(values, &self.features, starts, excluded, control)?;
        let mut next = 0;
        let mut of_window = |repeat: &bool| {
            next += usize::from(!repeat);
            let found = found[next - 1];
            (found.index, member.z(found.distance))
        };
        Ok(repeats.iter().map(&mut of_window).unzip())
    }

    /// Minimum distance in time of training rows that are compared with each other: the largest
    /// window, so that a long anomaly does not look normal because of its own continuation. At most
    /// a quarter of the rows.
    pub(super) fn reach(&self) -> usize {
        self.largest().min(self.reference.rows() / 4)
    }

    /// Rows of its largest windows.
    pub(crate) fn largest(&self) -> usize {
        largest(&self.members)
    }

    fn queries(
        &self,
        series: &Series<'_>,
        hashes: &RowHashes<'_>,
        size: usize,
        config: &ScoreConfig,
    ) -> Queries {
        let found = stretches(series, |_| true, size, self.max_null);
        let stride = config.score_stride.unwrap_or(size / OVERLAP).max(1);
        let mut starts = series.scored_starts(&found, size, stride);
        starts.dedup();
        // Stretches may share rows, but not windows.
        let own = |stretch: Range<usize>| {
            let first = starts.partition_point(|start| *start < stretch.start);
            let end = starts.partition_point(|start| start + size <= stretch.end);
            (stretch, starts[first..end].to_vec())
        };
        let stretches: Vec<(Range<usize>, Vec<usize>)> = found.into_iter().map(own).collect();
        let own = OwnWindows::find(hashes, size, self.reach());
        let starts = stretches.iter().flat_map(|(_, starts)| starts);
        let references = self.reference.starts(size);
        let excluded = starts.map(|&start| own.near(start).map(|rows| within(&references, &rows)));
        let excluded = excluded.collect();
        Queries { size, stretches, excluded }
    }

    fn fusion(&self, rows: usize) -> Fusion {
        Fusion::new(rows, self.members.iter().map(|member| member.plan.source))
    }
}

impl Queries {
    fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }
}

/// Fits the members of a plan; those that see the same are fitted once.
fn fit_members(
    plan: &[MemberPlan],
    reference: &ReferenceRows,
    features: &Features,
    control: &dyn Control,
) -> Result<Vec<(Member, LeftOut)>> {
    let first = |i: usize| plan.iter().position(|other| other.sees_as(plan[i], features));
    let firsts: Vec<usize> = (0..plan.len()).filter_map(first).collect();
    let different: Vec<usize> = (0..plan.len()).filter(|i| firsts[*i] == *i).collect();
    let fitted = spread_over_pool(different.len(), control, |i| {
        Member::fit(plan[different[i]], reference, features)
    })?;
    let member = |(plan, first): (&MemberPlan, &usize)| {
        let (member, left_out) = &fitted[different.partition_point(|i| i < first)];
        (member.planned(*plan), left_out.clone())
    };
    Ok(plan.iter().zip(&firsts).map(member).collect())
}

/// The numbers of the members, those that find the same together; in the order of the first ones.
fn groups(members: &[Member]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, member) in members.iter().enumerate() {
        match groups.iter_mut().find(|group| members[group[0]].finds_the_same(member)) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// Rows of the largest windows of some members; 0 without one.
fn largest(members: &[Member]) -> usize {
    members.iter().map(|member| member.plan.size).max().unwrap_or(0)
}

/// Window sizes of some members, ascending.
fn sizes(members: &[Member]) -> Vec<usize> {
    let mut sizes: Vec<usize> = members.iter().map(|member| member.plan.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The numbers of the references that begin in some stored rows.
pub(super) fn within(references: &[usize], rows: &Range<usize>) -> Range<usize> {
    let [first, end] = [rows.start, rows.end].map(|row| references.partition_point(|r| *r < row));
    first..end
}

/// Adds the contribution of a member to every row that its windows cover.
fn add(fusion: &mut Fusion, member: &Member, rows: &RowMeans, count: usize) {
    let (source, weight) = (member.plan.source, member.weight());
    for row in 0..count {
        if let Some(z) = rows.get(row) {
            fusion.add(source, weight, row, RowDistance { z, usual: member.scale.usual });
        }
    }
}

/// The stretches of rows where `keep` holds whose windows of `size` rows miss at most a share
/// `max_null` of their values.
fn stretches(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    size: usize,
    max_null: f64,
) -> Vec<Range<usize>> {
    let config = FitConfig { window: size, max_null, ..FitConfig::default() };
    windows::stretches(series, keep, size, config.most_missing(series.columns().width()))
}
