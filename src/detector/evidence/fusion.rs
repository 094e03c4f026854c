//! Combines the members into one score per row, by a fixed rule.

use super::plan::Representation;

/// Weighted sums of the members' contributions, per row and group of members.
pub(super) struct Fusion {
    groups: [GroupSums; 3],
}

struct GroupSums {
    values: Vec<f64>,
    weights: Vec<f64>,
}

impl GroupSums {
    fn add(&mut self, row: usize, weight: f64, value: f64) {
        if self.values.is_empty() {
            return;
        }
        self.values[row] += weight * value;
        self.weights[row] += weight;
    }

    fn mean(&self, row: usize) -> Option<f64> {
        let weight = self.weights.get(row).copied().filter(|weight| *weight > 0.0)?;
        Some(self.values[row] / weight)
    }
}

/// The contribution of a member to a row: ln(1 + max(z, 0)).
pub(super) fn member(z: f64) -> f64 {
    z.max(0.0).ln_1p()
}

impl Fusion {
    /// For members of these representations.
    pub(super) fn new(rows: usize, sources: impl Iterator<Item = Representation> + Clone) -> Self {
        let used = |group: usize| sources.clone().any(|source| position(source) == group);
        let sums = |group: usize| {
            let rows = if used(group) { rows } else { 0 };
            GroupSums { values: vec![0.0; rows], weights: vec![0.0; rows] }
        };
        Self { groups: [0, 1, 2].map(sums) }
    }

    /// Adds the contribution of a member with weight `weight` to a row.
    pub(super) fn add(&mut self, source: Representation, weight: f64, row: usize, z: f64) {
        self.groups[position(source)].add(row, weight, member(z));
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
        let [measured, all, joint] = self.means(row);
        let score = match (measured, context(all, joint)) {
            (Some(measured), Some(context)) => Some(measured.max(context)),
            (measured, context) => measured.or(context),
        };
        score.map(|score| score as f32)
    }

    /// The mean contribution of the members of every group to a row.
    fn means(&self, row: usize) -> [Option<f64>; 3] {
        [0, 1, 2].map(|group| self.groups[group].mean(row))
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
