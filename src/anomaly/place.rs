//! Placement of anomalies: non-overlapping segments of the clean rows.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::runtime::rng::Rng;

/// Draws segments whose lengths add up to `contamination` of `rows`, to within one anomaly, and
/// places them in `runs` without overlap, with at least one row between two of them.
///
/// Lengths are uniform in `length`. Places at least one segment. Returns them in time order.
///
/// # Errors
/// [`Error::DoesNotFit`] with the number of segments that fit.
pub(crate) fn place(
    runs: &[Range<usize>],
    rows: usize,
    contamination: f64,
    (low, high): (usize, usize),
    rng: &mut Rng,
) -> Result<Vec<Range<usize>>> {
    let lengths = draw_lengths(contamination * rows as f64, || low + rng.below(high - low + 1));
    let placed = place_lengths(runs, &lengths, rng).map_err(|fits| Error::DoesNotFit {
        parameter: "contamination",
        value: contamination,
        asked: lengths.len(),
        rows,
        fits,
    })?;
    Ok(placed.into_iter().map(|(segment, _)| segment).collect())
}

/// Places segments of these lengths in `runs` without overlap, with at least one row between two of
/// them. Returns them in time order, each with its position in `lengths`. If not all fit, the error
/// is the number of those that do.
pub(crate) fn place_lengths(
    runs: &[Range<usize>],
    lengths: &[usize],
    rng: &mut Rng,
) -> std::result::Result<Vec<(Range<usize>, usize)>, usize> {
    let mut room: Vec<Room> = runs.iter().map(Room::new).collect();
    // Long segments first, since short ones still fit later. A run is drawn with a probability that
    // grows with its free rows.
    let mut by_size: Vec<usize> = (0..lengths.len()).collect();
    by_size.sort_by_key(|&number| std::cmp::Reverse(lengths[number]));
    for (placed, &number) in by_size.iter().enumerate() {
        let length = lengths[number];
        let free = |room: &Room| room.free.saturating_sub(length);
        let total: usize = room.iter().map(free).sum();
        let mut draw = rng.below(total);
        let chosen = room.iter_mut().find(|room| {
            let free = free(room);
            let here = draw < free;
            draw = draw.saturating_sub(free);
            here
        });
        chosen.ok_or(placed)?.take(number, length);
    }
    let mut segments: Vec<(Range<usize>, usize)> =
        room.into_iter().flat_map(|room| room.lay_out(lengths, rng)).collect();
    segments.sort_unstable_by_key(|(segment, _)| segment.start);
    Ok(segments)
}

/// Lengths whose sum is nearest to `target`; at least one.
pub(crate) fn draw_lengths(target: f64, mut draw: impl FnMut() -> usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut sum = 0.0;
    loop {
        let length = draw();
        if !lengths.is_empty() && target - sum < length as f64 / 2.0 {
            return lengths;
        }
        sum += length as f64;
        lengths.push(length);
    }
}

/// A run and the segments placed in it.
struct Room {
    run: Range<usize>,
    /// Free rows, including one spare row after the run, so that n segments with n separating rows
    /// fit exactly.
    free: usize,
    /// Positions of the segments in the list of lengths.
    taken: Vec<usize>,
}

impl Room {
    fn new(run: &Range<usize>) -> Self {
        Self { run: run.clone(), free: run.len() + 1, taken: Vec::new() }
    }

    fn take(&mut self, number: usize, length: usize) {
        self.free -= length + 1;
        self.taken.push(number);
    }

    /// Random order and random gaps; every division of the free rows is equally likely.
    fn lay_out(mut self, lengths: &[usize], rng: &mut Rng) -> Vec<(Range<usize>, usize)> {
        rng.shuffle(&mut self.taken);
        let mut cuts: Vec<usize> = self.taken.iter().map(|_| rng.below(self.free + 1)).collect();
        cuts.sort_unstable();
        let mut taken = 0;
        self.taken
            .iter()
            .zip(cuts)
            .map(|(&number, cut)| {
                let start = self.run.start + cut + taken;
                taken += lengths[number] + 1;
                (start..start + lengths[number], number)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Place, [0, 0])
    }

    #[test]
    fn says_how_many_fit() {
        let runs = std::slice::from_ref(&(0..100));
        // Three segments of 33 rows and the two rows between them fill 101 rows, not 100.
        assert!(place(std::slice::from_ref(&(0..101)), 101, 1.0, (33, 33), &mut rng(0)).is_ok());
        let error = place(runs, 100, 1.0, (33, 33), &mut rng(0)).unwrap_err();
        assert!(matches!(error, Error::DoesNotFit { asked: 3, fits: 2, .. }), "{error}");
    }

    #[test]
    fn at_least_one_is_placed() {
        let runs = std::slice::from_ref(&(0..439));
        assert_eq!(place(runs, 439, 0.01, (200, 200), &mut rng(3)).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn segments_are_apart_inside_runs_and_meet_the_share(
            lengths in prop::collection::vec(5usize..120, 1..6),
            low in 1usize..8,
            extra in 0usize..20,
            contamination in 0.01f64..0.4,
            seed in 0u64..1000,
        ) {
            let mut runs = Vec::new();
            let mut start = 0;
            for length in lengths {
                runs.push(start..start + length);
                start += length + 3;
            }
            let range = (low, low + extra);
            if let Ok(placed) = place(&runs, start, contamination, range, &mut rng(seed)) {
                for segment in &placed {
                    prop_assert!(runs.iter().any(|r| r.start <= segment.start && segment.end <= r.end));
                    prop_assert!(segment.len() >= range.0 && segment.len() <= range.1);
                }
                for pair in placed.windows(2) {
                    prop_assert!(pair[0].end < pair[1].start);
                }
                let hit: usize = placed.iter().map(ExactSizeIterator::len).sum();
                prop_assert!((hit as f64 - contamination * start as f64).abs() <= range.1 as f64);
            }
        }
    }
}
