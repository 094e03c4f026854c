//! The members together: fitting them, and scoring rows.

use std::ops::Range;

use super::features::{Features, Values};
use super::fusion::Fusion;
use super::member::{HeldOut, Member};
use super::plan::{Plan, Source};
use super::reference::Reference;
use super::rows::RowMeans;
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

/// What scores the rows of a series.
pub(crate) struct Evidence {
    pub(super) features: Features,
    pub(super) reference: Reference,
    pub(super) members: Vec<Member>,
    /// Share of the values of a window that may be missing.
    pub(super) max_null: f64,
}

/// Where the windows of one size lie in a series.
struct Queries {
    size: usize,
    /// Stretches of rows, and the windows that are looked up in each: its first and its last are among
    /// them.
    stretches: Vec<(Range<usize>, Vec<usize>)>,
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
        let reference = Reference::new(&values, &runs, MOST_ROWS);
        let room = |size: usize| match reference.all(size).iter().map(Range::len).sum() {
            0 => 0,
            windows => windows + size - 1,
        };
        let plan = Plan::all(&features, config.window, room);
        let fitted =
            spread_over_pool(plan.len(), control, |i| Member::fit(plan[i], &reference, &features))?;
        let (members, held_out): (Vec<Member>, Vec<HeldOut>) = fitted.into_iter().unzip();
        let evidence = Self { features, reference, members, max_null: config.max_null };
        let scores = evidence.held_out_scores(&held_out);
        Ok((evidence, scores))
    }

    /// Scores of the reference's own rows.
    fn held_out_scores(&self, held_out: &[HeldOut]) -> Vec<f32> {
        let mut fusion = self.fusion(self.reference.rows());
        for (member, HeldOut { starts, distances }) in self.members.iter().zip(held_out) {
            let mut rows = RowMeans::new(self.reference.rows());
            let usual = |d: &f32| if d.is_finite() { member.scale.z(*d) } else { 0.0 };
            let z: Vec<f64> = distances.iter().map(usual).collect();
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
        (0..self.reference.rows()).filter_map(|row| fusion.score(row)).collect()
    }

    /// Score of every row, >= 0; `None` where a row lacks a value, or no window covers it.
    ///
    /// # Errors
    /// [`Error::TooShort`], [`Error::NoWindow`], [`Error::Interrupted`].
    pub(crate) fn score(
        &self,
        series: &Series<'_>,
        config: &ScoreConfig,
        control: &dyn Control,
    ) -> Result<Vec<Option<f32>>> {
        let values = self.features.apply(series)?;
        let mut fusion = self.fusion(series.len());
        let mut sizes: Vec<usize> = self.members.iter().map(|member| member.plan.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let queries: Vec<Queries> =
            sizes.iter().map(|&size| self.queries(series, size, config.score_stride)).collect();
        if queries.iter().all(|queries| queries.stretches.is_empty()) {
            let (rows, window) = (series.len(), sizes.first().copied().unwrap_or_default());
            return Err(match rows < window {
                true => Error::TooShort { rows, window },
                false => Error::NoWindow { rows, window },
            });
        }
        for member in &self.members {
            let of_size = queries.iter().find(|queries| queries.size == member.plan.size);
            for queries in of_size.into_iter().filter(|queries| !queries.stretches.is_empty()) {
                let rows = self.row_means(member, &values, series.len(), queries, control)?;
                add(&mut fusion, member, &rows, series.len());
            }
        }
        let score = |t: usize| fusion.score(t).filter(|_| series.is_usable(t));
        Ok((0..series.len()).map(score).collect())
    }

    fn row_means(
        &self,
        member: &Member,
        values: &Values,
        rows: usize,
        queries: &Queries,
        control: &dyn Control,
    ) -> Result<RowMeans> {
        let all: Vec<usize> =
            queries.stretches.iter().flat_map(|(_, starts)| starts).copied().collect();
        let same = |pair: &[usize]| values.alike(pair[0], pair[1], member.plan.size);
        let repeats: Vec<bool> =
            [false].into_iter().chain(all.windows(2).map(same)).take(all.len()).collect();
        let different = all.iter().zip(&repeats).filter(|(_, repeat)| !**repeat);
        let different: Vec<usize> = different.map(|(start, _)| *start).collect();
        let found = member.nearest(values, &self.features, &different, control)?;
        let mut next = 0;
        let z: Vec<f64> = repeats
            .iter()
            .map(|repeat| {
                next += usize::from(!repeat);
                member.scale.z(found[next - 1].distance)
            })
            .collect();
        let mut means = RowMeans::new(rows);
        let mut first = 0;
        for (stretch, starts) in &queries.stretches {
            let end = first + starts.len();
            means.add(stretch.clone(), member.plan.size, starts, &z[first..end]);
            first = end;
        }
        Ok(means)
    }

    fn queries(&self, series: &Series<'_>, size: usize, stride: Option<usize>) -> Queries {
        let found = stretches(series, |_| true, size, self.max_null);
        let stride = stride.unwrap_or(size / OVERLAP).max(1);
        let mut starts = series.scored_starts(&found, size, stride);
        starts.dedup();
        // Stretches may share rows, but no windows.
        let own = |stretch: Range<usize>| {
            let first = starts.partition_point(|start| *start < stretch.start);
            let end = starts.partition_point(|start| start + size <= stretch.end);
            (stretch, starts[first..end].to_vec())
        };
        Queries { size, stretches: found.into_iter().map(own).collect() }
    }

    fn fusion(&self, rows: usize) -> Fusion {
        Fusion::new(rows, self.members.iter().map(|member| member.plan.source))
    }
}

/// Adds what a member says of every row that its windows cover.
fn add(fusion: &mut Fusion, member: &Member, rows: &RowMeans, count: usize) {
    let source = member.plan.source;
    let weight = match source {
        Source::Measured(_) => source.weight() * member.scale.steady,
        _ => 1.0,
    };
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
