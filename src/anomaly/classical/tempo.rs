//! Kinds that read the rows at another tempo or phase: `seasonal`, `frequency`, `pattern-shift`.
//!
//! Each kind maps every row of the segment to a position to read from. Values between rows are
//! interpolated linearly; positions are reflected at the ends of the readable range.

use super::stretch::Stretch;
use crate::stats::reflect;

/// Continues the series `factor` times as fast from the row before the segment; a faster tempo
/// reads rows after the segment.
pub(super) fn seasonal(stretch: &Stretch<'_>, factor: f64) -> Vec<f64> {
    let last = stretch.values.len() - 1;
    let before = stretch.rows.start as f64 - 1.0;
    read(stretch, (0, last), |i| before + factor * (i + 1) as f64)
}

/// The segment's own rows, read `factor` times as fast and reflected at its ends.
pub(super) fn frequency(stretch: &Stretch<'_>, factor: f64) -> Vec<f64> {
    let (first, last) = (stretch.rows.start, stretch.rows.end - 1);
    read(stretch, (first, last), |i| first as f64 + factor * (i + 1) as f64)
}

/// The values `shift` rows later, or earlier if `later` is false or the window ends.
pub(super) fn pattern_shift(stretch: &Stretch<'_>, shift: usize, later: bool) -> Vec<f64> {
    let rows = stretch.values.len();
    let (room_later, room_earlier) =
        (stretch.rows.end + shift <= rows, stretch.rows.start >= shift);
    let later = if room_later == room_earlier { later } else { room_later };
    let shift = if later { shift as f64 } else { -(shift as f64) };
    read(stretch, (0, rows - 1), |i| (stretch.rows.start + i) as f64 + shift)
}

/// Reads the value at the `position` of each row of the segment.
fn read(
    stretch: &Stretch<'_>,
    bounds: (usize, usize),
    position: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let value = |position: f64| {
        let row = position.floor();
        let share = position - row;
        let at = |row: f64| stretch.values[(row as usize).min(bounds.1)];
        if share == 0.0 { at(row) } else { at(row) + share * (at(row + 1.0) - at(row)) }
    };
    (0..stretch.rows.len()).map(|i| value(reflect(position(i), bounds))).collect()
}

#[cfg(test)]
mod tests {
    use crate::stats::reflect;

    #[test]
    fn positions_turn_round_at_the_ends() {
        let folded: Vec<f64> = (-2..8).map(|p| reflect(p as f64, (0, 3))).collect();
        assert_eq!(folded, [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0]);
        assert_eq!(reflect(9.5, (4, 4)), 4.0);
    }
}
