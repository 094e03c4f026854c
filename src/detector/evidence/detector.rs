//! The members together: fitting them, and scoring rows.

use std::ops::Range;

use super::features::{Features, Values};
use super::fusion::Fusion;
use super::member::{LeftOut, Member};
use super::neighbours::Excluded;
use super::own::{OwnWindows, RowHashes};
use super::plan::{MemberPlan, Representation};
use super::reference::ReferenceRows;
use super::rows::RowMeans;
use super::share::RowShares;
use crate::config::{FitConfig, ScoreConfig};
use crate::data::series::Series;
use crate::data::windows;
use crate::error::{Error, Result};
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Windows of a size that begin within its size: queries are this far apart.
const OVERLAP: usize = 4;
/// Most training rows that a model keeps.
const MOST_ROWS: usize = 1 << 16;

/// Scores the rows of a series.
pub(crate) struct Evidence {
    pub(super) features: Features,
    pub(super) reference: ReferenceRows,
    pub(super) members: Vec<Member>,
    /// Share of the values of a window that may be missing.
    pub(super) max_null: f64,
}

/// Scores of the rows of a series.
pub(crate) struct ScoredRows {
    /// >= 0; `None` where a row lacks a value, or no window covers it.
    pub scores: Vec<Option<f32>>,
    pub windows: Vec<ScoredWindows>,
}

/// The windows of a series that a member has compared.
pub(crate) struct ScoredWindows {
    /// Number of the member.
    member: usize,
    /// Where they begin, ascending, the number of the nearest reference of each, and z.
    starts: Vec<usize>,
    nearest: Vec<usize>,
    z: Vec<f64>,
}

/// Where the windows of one size lie in a series.
struct Queries {
    size: usize,
    /// Stretches of rows, and the windows that are looked up in each: its first and its last are among
    /// them.
    stretches: Vec<(Range<usize>, Vec<usize>)>,
    /// References that each of the windows is not compared with, in the same order.
    excluded: Vec<Excluded>,
}

impl Evidence {
    /// Fits to the rows of a series that are no known anomalies; and the scores of these rows, each from
    /// windows that are far from it in time.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Interrupted`].
    pub(crate) fn fit(
        series: &Series<'_>,
        config: &FitConfig,
        control: &dyn Control,
    ) -> Result<(Self, Vec<f32>)> {
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
        let fitted =
            spread_over_pool(plan.len(), control, |i| Member::fit(plan[i], &reference, &features))?;
        let (members, held_out): (Vec<Member>, Vec<LeftOut>) = fitted.into_iter().unzip();
        let evidence = Self { features, reference, members, max_null: config.max_null };
        let scores = evidence.held_out_scores(&held_out, control)?;
        Ok((evidence, scores))
    }

    /// Scores of the reference's own rows.
    fn held_out_scores(&self, held_out: &[LeftOut], control: &dyn Control) -> Result<Vec<f32>> {
        let mut fusion = self.fusion(self.reference.rows());
        let mut shares = RowShares::of_scores(self.reference.rows());
        for (member, LeftOut { starts, found }) in self.members.iter().zip(held_out) {
            let mut rows = RowMeans::new(self.reference.rows());
            let z: Vec<f64> = found.iter().map(|found| member.z(found.distance)).collect();
            let nearest: Vec<usize> = found.iter().map(|found| found.index).collect();
            let windows = (&starts[..], &nearest[..], &z[..]);
            let adding = shares.adding(weight(member));
            member.say(&self.reference.values, &self.reference, windows, adding, control)?;
            for run in &self.reference.runs {
                let first = starts.partition_point(|start| *start < run.start);
                let end = starts.partition_point(|start| *start < run.end);
                if let Some(last) = starts[first..end].last() {
                    let stretch = starts[first]..last + member.plan.size;
                    rows.add(stretch, member.plan.size, &starts[first..end], &z[first..end]);
                }
            }
            add(&mut fusion, member, &rows, self.reference.rows());
        }
        let score = |row| Some(shares.score(row, fusion.score(row)?));
        Ok((0..self.reference.rows()).filter_map(score).collect())
    }

    /// Scores the rows of a series. Rows that the evidence was fitted on are compared with the others.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Interrupted`].
    pub(crate) fn score(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f32>>> {
        self.scored(series, config, None, control)
    }

    /// [`Evidence::score`], and the windows that scores come from.
    ///
    /// # Errors
    /// As [`Evidence::score`].
    pub(crate) fn score_with_windows(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<ScoredRows> {
        let mut windows = Vec::new();
        let scores = self.scored(series, config, Some(&mut windows), control)?;
        Ok(ScoredRows { scores, windows })
    }

    /// How much some rows take part in what the windows that cover them differ by, however far that is.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn ends(
        &self,
        values: &Values,
        windows: &[ScoredWindows],
        rows: &Range<usize>,
        control: &dyn Control,
    ) -> Result<RowShares> {
        let mut shares = RowShares::of_ends(rows.clone());
        for windows in windows {
            let member = &self.members[windows.member];
            let size = member.plan.size;
            let first = windows.starts.partition_point(|start| start + size <= rows.start);
            let end = windows.starts.partition_point(|start| *start < rows.end);
            if first < end {
                let some = first..end;
                let z = &windows.z[some.clone()];
                let some = (&windows.starts[some.clone()], &windows.nearest[some], z);
                member.say(
                    values,
                    &self.reference,
                    some,
                    shares.adding(weight(member)),
                    control,
                )?;
            } else if member.compares_rows() {
                shares.add_silent(weight(member));
            }
        }
        Ok(shares)
    }

    fn scored(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        mut windows: Option<&mut Vec<ScoredWindows>>,
        control: &dyn Control,
    ) -> Result<Vec<Option<f32>>> {
        let values = self.features.apply(series)?;
        let mut fusion = self.fusion(series.len());
        let mut shares = RowShares::of_scores(series.len());
        let mut sizes: Vec<usize> = self.members.iter().map(|member| member.plan.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let hashes = RowHashes::new(&values, &self.reference);
        let queries: Vec<Queries> =
            sizes.iter().map(|&size| self.queries(series, &hashes, size, config)).collect();
        if queries.iter().all(|queries| queries.stretches.is_empty()) {
            let (rows, window) = (series.len(), sizes.first().copied().unwrap_or_default());
            return Err(match rows < window {
                true => Error::TooShort { rows, window },
                false => Error::NoWindow { rows, window },
            });
        }
        for (number, member) in self.members.iter().enumerate() {
            let of_size = queries.iter().find(|queries| queries.size == member.plan.size);
            for queries in of_size.into_iter().filter(|queries| !queries.stretches.is_empty()) {
                let found = self.compare((number, member), &values, queries, control)?;
                let adding = shares.adding(weight(member));
                let compared = (&found.starts[..], &found.nearest[..], &found.z[..]);
                member.say(&values, &self.reference, compared, adding, control)?;
                let rows = row_means(member, series.len(), queries, &found.z);
                add(&mut fusion, member, &rows, series.len());
                if let Some(windows) = windows.as_deref_mut() {
                    windows.push(found);
                }
            }
        }
        let score = |t: usize| {
            let score = fusion.score(t).filter(|_| series.is_usable(t))?;
            Some(shares.score(t, score))
        };
        Ok((0..series.len()).map(score).collect())
    }

    fn compare(
        &self,
        (number, member): (usize, &Member),
        values: &Values,
        queries: &Queries,
        control: &dyn Control,
    ) -> Result<ScoredWindows> {
        let starts: Vec<usize> =
            queries.stretches.iter().flat_map(|(_, starts)| starts).copied().collect();
        let (nearest, z) = self.nearest(member, values, (&starts, &queries.excluded), control)?;
        Ok(ScoredWindows { member: number, starts, nearest, z })
    }

    /// The number of the nearest reference of every window that begins at one of `starts`, and z. A window
    /// that equals the one before it shares its result.
    fn nearest(
        &self,
        member: &Member,
        values: &Values,
        (starts, excluded): (&[usize], &[Excluded]),
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
        let of_different = (&different.0[..], &different.1[..]);
        let found = member.nearest(values, &self.features, of_different, control)?;
        let mut next = 0;
        let mut of_window = |repeat: &bool| {
            next += usize::from(!repeat);
            let found = found[next - 1];
            (found.index, member.z(found.distance))
        };
        Ok(repeats.iter().map(&mut of_window).unzip())
    }

    /// How far apart training rows are that are compared with each other: the largest window, so that a
    /// long anomaly does not look usual because of its own continuation. A quarter of the rows at most.
    fn reach(&self) -> usize {
        let largest = self.members.iter().map(|member| member.plan.size).max();
        largest.unwrap_or(0).min(self.reference.rows() / 4)
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
        // Stretches may share rows, but no windows.
        let own = |stretch: Range<usize>| {
            let first = starts.partition_point(|start| *start < stretch.start);
            let end = starts.partition_point(|start| start + size <= stretch.end);
            (stretch, starts[first..end].to_vec())
        };
        let stretches: Vec<(Range<usize>, Vec<usize>)> = found.into_iter().map(own).collect();
        let own = OwnWindows::find(hashes, (size, self.reach()));
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

/// What a member says of rows, z being that of the windows that were looked up.
fn row_means(member: &Member, rows: usize, queries: &Queries, z: &[f64]) -> RowMeans {
    let mut means = RowMeans::new(rows);
    let mut first = 0;
    for (stretch, starts) in &queries.stretches {
        let end = first + starts.len();
        means.add(stretch.clone(), member.plan.size, starts, &z[first..end]);
        first = end;
    }
    means
}

/// The numbers of the references that begin in some kept rows.
fn within(references: &[usize], rows: &Range<usize>) -> Range<usize> {
    let [first, end] = [rows.start, rows.end].map(|row| references.partition_point(|r| *r < row));
    first..end
}

fn weight(member: &Member) -> f64 {
    let source = member.plan.source;
    match source {
        Representation::Measured(_) => source.weight() * member.scale.steady,
        _ => 1.0,
    }
}

/// Adds the contribution of a member to every row that its windows cover.
fn add(fusion: &mut Fusion, member: &Member, rows: &RowMeans, count: usize) {
    let (source, weight) = (member.plan.source, weight(member));
    for row in 0..count {
        if let Some(z) = rows.get(row) {
            fusion.add(source, weight, row, z);
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
