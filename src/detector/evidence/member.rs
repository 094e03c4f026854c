//! One way to see windows, with its references and its scale.

use std::ops::Range;

use super::calibration::{Scale, quarters};
use super::embedding::Windows;
use super::features::{Features, Values};
use super::neighbours::{Neighbour, QUERIES, References};
use super::plan::Plan;
use super::projection::Projection;
use super::reference::Reference;
use crate::error::Result;
use crate::runtime::control::Control;
use crate::runtime::pool::spread_over_pool;

/// Leave-one-out distances that the scale is set on: at least so many, where there are.
const CALIBRATION: usize = 1000;

/// The windows of one size, of some features, seen in one way.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub plan: Plan,
    pub projection: Projection,
    pub scale: Scale,
    chosen: Vec<usize>,
    references: References,
}

/// What a fit of a member finds beside it: the distance of every reference to those that are far from
/// it in time, and where each begins.
pub(super) struct HeldOut {
    pub starts: Vec<usize>,
    pub distances: Vec<f32>,
}

impl Member {
    /// Fits the scale to distances between windows of normal rows.
    pub(super) fn fit(
        plan: Plan,
        reference: &Reference,
        features: &Features,
    ) -> Result<(Self, HeldOut)> {
        let starts = reference.starts(plan.size);
        let chosen = plan.source.chosen(features);
        let windows =
            Windows { values: &reference.values, features, chosen: &chosen, size: plan.size };
        let embedded = plan.source.embedding().embed(windows, &starts);
        let width = plan.source.embedding().width(plan.size, chosen.len());
        let projection = Projection::fit(&embedded, width)?;
        let coordinates = projection.coordinates();
        let references = References::new(projection.apply(embedded)?, coordinates);
        let overlapping = |i: usize| overlapping(&starts, i, plan.size);
        let every: Vec<usize> = (0..starts.len()).collect();
        let some: Vec<usize> =
            every.iter().copied().step_by((starts.len() / CALIBRATION).max(1)).collect();
        let own = to_others(&references, &some, overlapping)?;
        let quarters = quarters(&starts, &reference.all(plan.size), plan.size);
        let apart = |i: usize| match &quarters[i] {
            Some(quarter) => quarter.clone(),
            None => overlapping(i),
        };
        let held = to_others(&references, &every, apart)?;
        let scale = Scale::fit(&own, &held, &quarters);
        let member = Self { plan, projection, scale, chosen, references };
        Ok((member, HeldOut { starts, distances: held }))
    }

    /// From what a model keeps.
    pub(super) fn restore(
        plan: Plan,
        projection: Projection,
        scale: Scale,
        reference: &Reference,
        features: &Features,
    ) -> Result<Self> {
        let chosen = plan.source.chosen(features);
        let references = References::new(Vec::new(), projection.coordinates());
        let mut member = Self { plan, projection, scale, chosen, references };
        let starts = reference.starts(plan.size);
        let mut rows = Vec::new();
        for block in starts.chunks(QUERIES) {
            rows.extend(member.coordinates(&reference.values, features, block)?);
        }
        member.references = References::new(rows, member.projection.coordinates());
        Ok(member)
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

    /// The nearest reference of the windows at `starts`.
    pub(super) fn nearest(
        &self,
        values: &Values,
        features: &Features,
        starts: &[usize],
        control: &dyn Control,
    ) -> Result<Vec<Neighbour>> {
        let blocks: Vec<&[usize]> = starts.chunks(QUERIES).collect();
        let found = spread_over_pool(blocks.len(), control, |i| {
            self.references.nearest(&self.coordinates(values, features, blocks[i])?, |_| 0..0)
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Distances of some references to the nearest that is not excluded; infinite where all are.
fn to_others(
    references: &References,
    some: &[usize],
    excluded: impl Fn(usize) -> Range<usize>,
) -> Result<Vec<f32>> {
    let queries: Vec<f32> = some.iter().flat_map(|&i| references.row(i)).copied().collect();
    let found = references.nearest(&queries, |i| excluded(some[i]))?;
    Ok(found.into_iter().map(|neighbour| neighbour.distance).collect())
}

/// The references whose window overlaps or touches that of reference `i`.
fn overlapping(starts: &[usize], i: usize, size: usize) -> Range<usize> {
    let first = starts.partition_point(|start| start + size < starts[i]);
    let end = starts.partition_point(|start| *start <= starts[i] + size);
    first..end
}
