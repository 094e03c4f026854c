//! Kinds in which the values of the rows are lost, and others stand in their place: `dropout`, `stuck`,
//! `reset`, `other-window`.

use super::stretch::Stretch;
use crate::runtime::rng::Rng;
use crate::stats::range;

/// 0, or the lowest value around where that is below it.
pub(super) fn dropout(stretch: &Stretch<'_>) -> Vec<f64> {
    let (low, _) = range(stretch.values);
    let level = stretch.zero.filter(|zero| *zero <= low).unwrap_or(low);
    vec![level; stretch.rows.len()]
}

/// The last value before the segment.
pub(super) fn stuck(stretch: &Stretch<'_>) -> Vec<f64> {
    vec![before(stretch); stretch.rows.len()]
}

/// What the values have grown by since the row before the segment, from 0 on.
pub(super) fn reset(stretch: &Stretch<'_>) -> Vec<f64> {
    let start = before(stretch) - stretch.zero.unwrap_or(0.0);
    stretch.own().iter().map(|z| z - start).collect()
}

/// As many other rows around; the segment backwards where there are none.
pub(super) fn other_window(stretch: &Stretch<'_>, rng: &mut Rng) -> Vec<f64> {
    let (rows, length) = (&stretch.rows, stretch.rows.len());
    let behind = stretch.values.len() - rows.end;
    let [earlier, later] = [rows.start, behind].map(|room| (room + 1).saturating_sub(length));
    if earlier + later == 0 {
        return stretch.own().iter().rev().copied().collect();
    }
    let at = rng.below(earlier + later);
    let start = if at < earlier { at } else { rows.end + at - earlier };
    stretch.values[start..start + length].to_vec()
}

/// The value of the row before the segment, or of its first.
fn before(stretch: &Stretch<'_>) -> f64 {
    stretch.values[stretch.rows.start.saturating_sub(1)]
}
