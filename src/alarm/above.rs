//! Runs of scores above a fixed line.

use super::follow::AlarmRun;

/// Runs of scores above `line`, which nothing follows: `join` rows that are not are bridged, and none
/// starts in the `cooldown` rows after one.
pub(crate) fn runs_above(
    scores: &[Option<f32>],
    line: f64,
    join: usize,
    cooldown: usize,
) -> Vec<AlarmRun> {
    let mut runs: Vec<AlarmRun> = Vec::new();
    let above = (0..scores.len()).filter(|&t| scores[t].is_some_and(|s| f64::from(s) > line));
    for t in above {
        match runs.last_mut() {
            Some(run) if t <= run.rows.end + join => run.rows.end = t + 1,
            Some(run) if t < run.rows.end + join + cooldown => {}
            _ => runs.push(AlarmRun::new(t)),
        }
    }
    let last = runs.last_mut().filter(|run| run.rows.end + join >= scores.len());
    last.into_iter().for_each(|run| run.open = true);
    runs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use super::*;

    #[test]
    fn above_is_rows_above_a_line() {
        let scores = [0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 2.0, 2.0].map(Some);
        let runs_of = |join, cooldown| {
            let found = runs_above(&scores, 1.0, join, cooldown);
            let rows: Vec<_> = found.iter().map(|run| run.rows.clone()).collect();
            (rows, found.last().unwrap().open)
        };
        assert_eq!(runs_of(0, 0), (vec![1..2, 3..4, 6..8], true));
        assert_eq!(runs_of(1, 0), (vec![1..4, 6..8], true));
        assert_eq!(runs_of(0, 2), (vec![1..2, 6..8], true));
    }
}
