//! One representation of windows, with its references and its scale.

use std::ops::Range;
use std::sync::Arc;

use super::calibration::{DistanceScale, Shrinkage, quarters};
use super::embedding::Windows;
use super::features::{Features, Values};
use super::neighbours::{Excluded, Neighbour, QUERIES, References};
use super::plan::{MemberPlan, Representation};
use super::projection::Projection;
use super::reference::ReferenceRows;
use super::share::{Compared, Match, ShareAccumulator};
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Minimum number of leave-one-out distances for the scale, if there are as many.
const CALIBRATION: usize = 1000;
/// Blocks of windows whose row shares are in memory at once.
const BLOCKS: usize = 64;

/// The windows of one size over some features in one representation.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub plan: MemberPlan,
    pub projection: Arc<Projection>,
    pub scale: DistanceScale,
    /// Usual difference of rows of normal windows, per feature; empty if windows are not compared
    /// row by row.
    pub units: Vec<f32>,
    chosen: Vec<usize>,
    references: Arc<References>,
}

/// By-product of a member's fit: the start of every reference, and its nearest reference that is
/// far from it in time.
#[derive(Clone)]
pub(super) struct LeftOut {
    pub starts: Vec<usize>,
    pub found: Vec<Neighbour>,
}

/// What a model stores of a member.
pub(super) struct StoredMember {
    pub plan: MemberPlan,
    pub projection: Option<Projection>,
    pub scale: DistanceScale,
    pub units: Vec<f32>,
}

/// Windows of a series, ascending, with the number of the nearest reference of each, and z of its distance.
#[derive(Clone, Copy)]
pub(super) struct MatchedWindows<'a> {
    pub starts: &'a [usize],
    pub nearest: &'a [usize],
    pub z: &'a [f64],
}

impl Member {
    /// Fits the scale to distances between windows of normal rows.
    pub(super) fn fit(
        plan: MemberPlan,
        reference: &ReferenceRows,
        features: &Features,
    ) -> Result<(Self, LeftOut)> {
        let starts = reference.starts(plan.size);
        let chosen = plan.source.chosen(features);
        let (projection, references) = projected(plan, reference, features)?;
        let overlapping = |i: usize| overlapping(&starts, i, plan.size);
        let quarters = quarters(&starts, &reference.all(plan.size), plan.size);
        let quarter = |i: usize| quarters[i].clone().unwrap_or_else(|| overlapping(i));
        let found = references.nearest_of_own(overlapping, quarter)?;
        let held: Vec<Neighbour> = found.iter().map(|found| found.elsewhere).collect();
        let some: Vec<usize> =
            (0..starts.len()).step_by((starts.len() / CALIBRATION).max(1)).collect();
        let own: Vec<Neighbour> = some.iter().map(|&i| found[i].apart).collect();
        let scale = DistanceScale::fit(&distances(&own), &distances(&held), &quarters);
        let scale = scale.with_shrinkage(&shrinkage_of(&held, &references, &some, &quarters)?);
        let left_out = |i: usize| quarters[i].as_ref().map_or(0, Range::len);
        let held = held.into_iter().enumerate();
        let held: Vec<Neighbour> =
            held.map(|(i, found)| of_all(found, left_out(i), &scale, starts.len())).collect();
        let scale = scale.with_usual(&distances(&held));
        let mut member = Self { plan, projection, scale, units: Vec::new(), chosen, references };
        if let Some(compared) = member.compared(&reference.values, reference) {
            let pairs = some.into_iter().zip(&own).filter(|(_, found)| found.distance.is_finite());
            let matched = |(i, found): (usize, &Neighbour)| Match {
                start: starts[i],
                nearest: starts[found.index],
            };
            let pairs: Vec<Match> = pairs.map(matched).collect();
            member.units = compared.units(&pairs);
        }
        Ok((member, LeftOut { starts, found: held }))
    }

    /// From the stored form; a projection that is not stored is fitted again.
    pub(super) fn restore(
        stored: StoredMember,
        reference: &ReferenceRows,
        features: &Features,
    ) -> Result<Self> {
        let StoredMember { plan, projection, scale, units } = stored;
        let chosen = plan.source.chosen(features);
        let Some(projection) = projection else {
            let (projection, references) = projected(plan, reference, features)?;
            return Ok(Self { plan, projection, scale, units, chosen, references });
        };
        let starts = reference.starts(plan.size);
        let references = References::new(Vec::new(), projection.coordinates()).into();
        let projection = Arc::new(projection);
        let mut member = Self { plan, projection, scale, units, chosen, references };
        let mut rows = Vec::new();
        for block in starts.chunks(QUERIES) {
            rows.extend(member.coordinates(&reference.values, features, block)?);
        }
        member.references = References::new(rows, member.projection.coordinates()).into();
        Ok(member)
    }

    /// The same for another plan that sees the same.
    pub(super) fn planned(&self, plan: MemberPlan) -> Self {
        Self { plan, ..self.clone() }
    }

    /// A stored member with the projection and the references of this one.
    pub(super) fn restored(&self, stored: StoredMember) -> Self {
        let StoredMember { plan, scale, units, .. } = stored;
        Self { plan, scale, units, ..self.clone() }
    }

    /// Whether a stored member has the projection and the references of this one.
    pub(super) fn sees_as(&self, stored: &StoredMember, features: &Features) -> bool {
        let same = |projection: &Projection| *projection == *self.projection;
        self.plan.sees_as(stored.plan, features) && stored.projection.as_ref().is_none_or(same)
    }

    /// Whether another member finds the same windows at the same z.
    pub(super) fn finds_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.references, &other.references)
            && self.plan.size == other.plan.size
            && self.scale == other.scale
            && self.units == other.units
    }

    /// z of a distance, in units of the scale; 0 if there was nothing to compare with.
    pub(super) fn z(&self, distance: f32) -> f64 {
        if distance.is_finite() { self.scale.z(distance) } else { 0.0 }
    }

    /// What its contribution counts for among those of its group.
    pub(super) fn weight(&self) -> f64 {
        match self.plan.source {
            Representation::Measured(_) => self.plan.source.weight() * self.scale.steady,
            _ => 1.0,
        }
    }

    /// Windows and their references for a comparison row by row; `None` if they are not compared
    /// so.
    fn compared<'a>(
        &'a self,
        values: &'a Values,
        reference: &'a ReferenceRows,
    ) -> Option<Compared<'a>> {
        let level_free = self.plan.source.level_free()?;
        let (chosen, size) = (&self.chosen, self.plan.size);
        Some(Compared { values, reference: &reference.values, chosen, size, level_free })
    }

    /// Passes to `shares` the contributions of windows to the rows that they cover.
    pub(super) fn contribute(
        &self,
        values: &Values,
        reference: &ReferenceRows,
        matched: MatchedWindows<'_>,
        mut shares: Vec<ShareAccumulator<'_>>,
        control: &dyn Control,
    ) -> Result<()> {
        let Some(compared) = self.compared(values, reference) else { return Ok(()) };
        let MatchedWindows { starts, nearest, z } = matched;
        let most: Vec<f32> = shares.iter().map(ShareAccumulator::most).collect();
        let references = reference.starts(self.plan.size);
        let blocks: Vec<_> = (0..starts.len()).step_by(QUERIES).collect();
        for group in blocks.chunks(BLOCKS) {
            let contributions = spread_over_pool(group.len(), control, |i| {
                let block = group[i]..starts.len().min(group[i] + QUERIES);
                let pair = |i: usize| Match { start: starts[i], nearest: references[nearest[i]] };
                let pairs: Vec<_> = block.clone().map(pair).collect();
                Ok(compared.contributions(&pairs, &z[block], &self.units, &most))
            })?;
            for sums in contributions {
                shares.iter_mut().zip(sums).for_each(|(shares, sums)| shares.add(sums));
            }
        }
        shares.into_iter().for_each(ShareAccumulator::finish);
        Ok(())
    }

    /// Windows in coordinates, [n, coordinates].
    fn coordinates(
        &self,
        values: &Values,
        features: &Features,
        starts: &[usize],
    ) -> Result<Vec<f32>> {
        let windows = Windows { values, features, chosen: &self.chosen, size: self.plan.size };
        self.projection.apply(self.plan.source.embedding().embed(windows, starts))
    }

    /// The nearest reference of the windows at `starts`, except those in `excluded`.
    pub(super) fn nearest(
        &self,
        values: &Values,
        features: &Features,
        starts: &[usize],
        excluded: &[Excluded],
        control: &dyn Control,
    ) -> Result<Vec<Neighbour>> {
        let blocks: Vec<&[usize]> = starts.chunks(QUERIES).collect();
        let found = spread_over_pool(blocks.len(), control, |i| {
            let windows = self.coordinates(values, features, blocks[i])?;
            self.references.nearest(&windows, |query| excluded[i * QUERIES + query].clone())
        })?;
        let as_of_all = |(found, excluded): (Neighbour, &Excluded)| {
            of_all(found, union(excluded), &self.scale, self.references.len())
        };
        Ok(found.into_iter().flatten().zip(excluded).map(as_of_all).collect())
    }
}

/// Fits a projection to the windows of normal rows, and applies it to them.
fn projected(
    plan: MemberPlan,
    reference: &ReferenceRows,
    features: &Features,
) -> Result<(Arc<Projection>, Arc<References>)> {
    let (values, chosen) = (&reference.values, plan.source.chosen(features));
    let windows = Windows { values, features, chosen: &chosen, size: plan.size };
    let embedded = plan.source.embedding().embed(windows, &reference.starts(plan.size));
    let (projection, coordinates) = Projection::fit(embedded, plan.width(features))?;
    let references = References::new(coordinates, projection.coordinates());
    Ok((projection.into(), references.into()))
}

fn distances(found: &[Neighbour]) -> Vec<f32> {
    found.iter().map(|neighbour| neighbour.distance).collect()
}

/// The references whose window overlaps or touches that of reference `i`.
fn overlapping(starts: &[usize], i: usize, size: usize) -> Range<usize> {
    let first = starts.partition_point(|start| start + size < starts[i]);
    let end = starts.partition_point(|start| *start <= starts[i] + size);
    first..end
}

/// Whether distances fall with the number of references: those outside of the quarter of each window,
/// `held`, and those outside of the opposite quarter, too.
fn shrinkage_of(
    held: &[Neighbour],
    references: &References,
    some: &[usize],
    quarters: &[Option<Range<usize>>],
) -> Result<Vec<Shrinkage>> {
    let n = references.len();
    let left_out = |i: usize| quarters[i].clone().unwrap_or(0..0);
    let both = |i: usize| [left_out(i), left_out((i + n / 2) % n)];
    let queries: Vec<f32> = some.iter().flat_map(|&i| references.row(i)).copied().collect();
    let fewer = references.nearest(&queries, |query| both(some[query]))?;
    let pairs = some.iter().zip(&fewer).map(|(&i, fewer)| Shrinkage {
        all: n,
        references: n - left_out(i).len(),
        fewer: n - union(&both(i)),
        distance: held[i].distance,
        distance_to_fewer: fewer.distance,
    });
    Ok(pairs.collect())
}

/// The nearest of `n` references without `excluded` ones, at the distance that it would have among all.
fn of_all(found: Neighbour, excluded: usize, scale: &DistanceScale, n: usize) -> Neighbour {
    Neighbour { distance: scale.of_all(found.distance, excluded as f64 / n as f64), ..found }
}

/// Number of references in either range.
fn union([a, b]: &Excluded) -> usize {
    let shared = a.end.min(b.end).saturating_sub(a.start.max(b.start));
    a.len() + b.len() - shared
}
