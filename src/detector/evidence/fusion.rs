//! Combines the members into one score per row, by a fixed rule.

use super::plan::Representation;

/// Power of the contributions in the means that rank rows: a few large ones count more than many small ones.
const POWER: f64 = 1.5;

/// Weighted sums of the members' contributions, per row and group of members.
pub(super) struct Fusion {
    groups: [GroupSums; 3],
}

struct GroupSums {
    values: Vec<f64>,
    /// The same for ranking.
    ranking: Vec<f64>,
    weights: Vec<f64>,
}

/// z of a row by a member, and what is usual for normal rows that were not seen.
#[derive(Clone, Copy)]
pub(super) struct RowDistance {
    pub z: f64,
    pub usual: f64,
}

impl GroupSums {
    fn add(&mut self, row: usize, weight: f64, RowDistance { z, usual }: RowDistance) {
        if self.values.is_empty() {
            return;
        }
        self.values[row] += weight * member(z);
        self.ranking[row] += weight * powered(member(z - usual));
        self.weights[row] += weight;
    }

    fn mean_of(&self, values: &[f64], row: usize) -> Option<f64> {
        let weight = self.weights.get(row).copied().filter(|weight| *weight > 0.0)?;
        Some(values[row] / weight)
    }
}

/// The contribution of a member to a row: ln(1 + max(z, 0)).
pub(super) fn member(z: f64) -> f64 {
    z.max(0.0).ln_1p()
}

/// A contribution to the [`POWER`].
fn powered(contribution: f64) -> f64 {
    contribution * contribution.sqrt()
}

impl Fusion {
    /// For members of these representations.
    pub(super) fn new(rows: usize, sources: impl Iterator<Item = Representation> + Clone) -> Self {
        let used = |group: usize| sources.clone().any(|source| position(source) == group);
        let sums = |group: usize| {
            let rows = if used(group) { rows } else { 0 };
            let zeros = || vec![0.0; rows];
            GroupSums { values: zeros(), ranking: zeros(), weights: zeros() }
        };
        Self { groups: [0, 1, 2].map(sums) }
    }

    /// Adds the contribution of a member with weight `weight` to a row.
    pub(super) fn add(
        &mut self,
        source: Representation,
        weight: f64,
        row: usize,
        distance: RowDistance,
    ) {
        self.groups[position(source)].add(row, weight, distance);
    }

    /// The group that a score comes from: the measured one, or the larger of the other two.
    pub(super) fn strongest_group(&self, row: usize) -> usize {
        let [measured, all, joint] = self.means(row);
        match measured >= context(all, joint) {
            true => 0,
            false if joint > all => 2,
            false => 1,
        }
    }

    /// max(measured, (all + joint) / 2), each a mean over its members; `None` without a
    /// contribution.
    pub(super) fn score(&self, row: usize) -> Option<f32> {
        combined(self.means(row)).map(|score| score as f32)
    }

    /// The same for ranking: z counts from what is usual, and means are power means.
    pub(super) fn ranking(&self, row: usize) -> Option<f64> {
        let mean = |group: &GroupSums| group.mean_of(&group.ranking, row);
        combined(self.groups.each_ref().map(mean)).map(|score| score.powf(1.0 / POWER))
    }

    /// The mean contribution of the members of every group to a row.
    fn means(&self, row: usize) -> [Option<f64>; 3] {
        self.groups.each_ref().map(|group| group.mean_of(&group.values, row))
    }
}

/// The larger one of the measured group and the other two.
fn combined([measured, all, joint]: [Option<f64>; 3]) -> Option<f64> {
    match (measured, context(all, joint)) {
        (Some(measured), Some(context)) => Some(measured.max(context)),
        (measured, context) => measured.or(context),
    }
}

/// The mean of the groups that compare all features, or the one that contributes.
fn context(all: Option<f64>, joint: Option<f64>) -> Option<f64> {
    match (all, joint) {
        (Some(all), Some(joint)) => Some(0.5 * (all + joint)),
        (all, joint) => all.or(joint),
    }
}

pub(super) fn position(source: Representation) -> usize {
    match source {
        Representation::Measured(_) => 0,
        Representation::All => 1,
        Representation::Joint => 2,
    }
}
