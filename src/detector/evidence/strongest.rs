//! The evidence that contributes most to the score of a row, and where in the training rows its nearest
//! window lies.

use std::ops::Range;

use super::fusion;
use super::member::Member;
use super::plan::MemberPlan;
use super::reference::ReferenceRows;
use super::rows::RowMeans;

/// The evidence that contributes most to the score of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrongestEvidence {
    /// Its name; `None` where nothing is unusual.
    pub name: Option<&'static str>,
    /// Rows of these windows.
    pub size: usize,
    /// Where the nearest window of normal rows begins, in rows of the training series; `None` where a
    /// model of an older version does not say it.
    pub nearest: Option<usize>,
    /// The row of that window that stands where the row does in its own.
    pub offset: usize,
}

/// The strongest member of a group at a row.
#[derive(Clone, Copy, Debug)]
struct StrongestMember {
    contribution: f32,
    plan: MemberPlan,
    /// Where the nearest of the kept windows begins, and the row's place in its own window.
    reference: u32,
    offset: u32,
}

/// The strongest members of every row.
pub(super) struct StrongestMembers {
    groups: [Vec<Option<StrongestMember>>; 3],
    chosen: Vec<usize>,
}

impl StrongestMembers {
    pub(super) fn new(rows: usize) -> Self {
        Self { groups: [0; 3].map(|_| vec![None; rows]), chosen: vec![0; rows] }
    }

    /// Adds the scores of rows by a member, and the windows of every stretch with the number of the nearest
    /// of `references` of each.
    pub(super) fn add(
        &mut self,
        member: &Member,
        rows: &RowMeans,
        stretches: &[(Range<usize>, Vec<usize>)],
        mut nearest: &[usize],
        references: &[usize],
    ) {
        let group = &mut self.groups[fusion::position(member.plan.source)];
        for (stretch, starts) in stretches {
            let (of_stretch, rest) = nearest.split_at(starts.len());
            nearest = rest;
            for t in stretch.clone() {
                let Some(z) = rows.get(t) else { continue };
                let contribution = (member.weight() * fusion::member(z)) as f32;
                if group[t].is_some_and(|strongest| strongest.contribution >= contribution) {
                    continue;
                }
                let i = middlemost(starts, member.plan.size, t);
                group[t] = Some(StrongestMember {
                    contribution,
                    plan: member.plan,
                    reference: references[of_stretch[i]] as u32,
                    offset: t.saturating_sub(starts[i]).min(member.plan.size - 1) as u32,
                });
            }
        }
    }

    /// Sets the group from which the score of a row comes.
    pub(super) fn choose(&mut self, row: usize, group: usize) {
        self.chosen[row] = group;
    }

    /// The strongest evidence of a row; `None` where nothing was compared.
    pub(super) fn get(&self, row: usize, reference: &ReferenceRows) -> Option<StrongestEvidence> {
        let strongest = self.groups[self.chosen[row]][row]?;
        Some(StrongestEvidence {
            name: (strongest.contribution > 0.0).then(|| strongest.plan.source.name()),
            size: strongest.plan.size,
            nearest: reference.origin(strongest.reference as usize),
            offset: strongest.offset as usize,
        })
    }
}

/// Which of some windows has row `t` nearest to its middle.
fn middlemost(starts: &[usize], size: usize, t: usize) -> usize {
    let middle = |i: usize| (starts[i] + size / 2).abs_diff(t);
    let after = starts.partition_point(|start| start + size / 2 < t);
    let last = starts.len() - 1;
    match after {
        0 => 0,
        after if after > last || middle(after - 1) <= middle(after) => after - 1,
        after => after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_with_a_row_in_its_middle() {
        let starts = [0, 4, 10];
        let found: Vec<usize> = (0..18).map(|t| middlemost(&starts, 8, t)).collect();
        assert_eq!(found, [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    }
}
