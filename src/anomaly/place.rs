//! Placement of anomalies: non-overlapping segments of the clean rows.

use std::ops::Range;

use crate::config::{AnomalyKind, Quota};
use crate::error::Error;
use crate::runtime::rng::Rng;

/// An anomaly is not shortened below this, but for the only one.
pub(crate) const SHORTEST: usize = 4;

/// What a series has room for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// Names the random streams of the series.
    pub(crate) key: [u64; 2],
    /// Rows that anomalies may take.
    pub(crate) runs: Vec<Range<usize>>,
    /// Number of rows T.
    pub(crate) rows: usize,
    /// Rows of a day, where times are known.
    pub(crate) per_day: Option<f64>,
    /// Most rows of an anomaly.
    pub(crate) longest: usize,
}

/// Rows to hit, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationSite {
    /// The kind of the anomaly, if kinds were asked for by name.
    pub kind: Option<AnomalyKind>,
    /// Rows of the series.
    pub rows: Range<usize>,
}

/// Deals kinds by chance, in equal numbers to within one.
pub(crate) struct Deck<'a, K> {
    kinds: &'a [K],
    left: Vec<K>,
}

impl<'a, K: Copy> Deck<'a, K> {
    pub(crate) fn new(kinds: &'a [K]) -> Self {
        Self { kinds, left: Vec::new() }
    }

    /// The next kind; `None` where there are none.
    pub(crate) fn deal(&mut self, rng: &mut Rng) -> Option<K> {
        if self.left.is_empty() && !self.kinds.is_empty() {
            self.left.extend_from_slice(self.kinds);
            rng.shuffle(&mut self.left);
        }
        self.left.pop()
    }
}

/// What several series have room for together.
pub(crate) struct Grounds<'a> {
    /// In an order that does not depend on that of the series.
    sorted: Vec<(usize, &'a Ground)>,
}

/// Segments of one series, in time order, each with its number among those of all series.
pub(crate) type Placed = Vec<(Range<usize>, usize)>;

impl<'a> Grounds<'a> {
    pub(crate) fn new(grounds: &'a [Ground]) -> Self {
        let mut sorted: Vec<(usize, &Ground)> = grounds.iter().enumerate().collect();
        sorted.sort_by_key(|(_, ground)| ground.key);
        Self { sorted }
    }

    /// Names the random streams of what is drawn for all.
    pub(crate) fn key(&self) -> [u64; 2] {
        let turned = |key: [u64; 2], ground: &Ground| {
            [key[0].rotate_left(1) ^ ground.key[0], key[1].rotate_left(1) ^ ground.key[1]]
        };
        self.sorted.iter().fold([0, 0], |key, (_, ground)| turned(key, ground))
    }

    pub(crate) fn rows(&self) -> usize {
        self.sorted.iter().map(|(_, ground)| ground.rows).sum()
    }

    pub(crate) fn longest(&self) -> usize {
        self.sorted.iter().map(|(_, ground)| ground.longest).min().unwrap_or(0)
    }

    /// Rows of a day, where all series have as many.
    pub(crate) fn per_day(&self) -> Option<f64> {
        const SAME: f64 = 1e-3;
        let first = self.sorted.first()?.1.per_day?;
        let same = |other: f64| (other / first - 1.0).abs() < SAME;
        self.sorted.iter().all(|(_, ground)| ground.per_day.is_some_and(same)).then_some(first)
    }

    /// Lengths of all stretches of rows that anomalies may take.
    pub(crate) fn runs(&self) -> impl Iterator<Item = usize> {
        self.sorted.iter().flat_map(|(_, ground)| &ground.runs).map(ExactSizeIterator::len)
    }

    /// Places segments of these lengths, each in a series drawn by its free rows: per series, in the
    /// order in which they were given. Where not all fit, the error is the number of those that do.
    pub(crate) fn place(
        &self,
        lengths: &[usize],
        rng: &mut Rng,
    ) -> std::result::Result<Vec<Placed>, usize> {
        let mut first = 0;
        let mut firsts = Vec::with_capacity(self.sorted.len());
        let mut runs = Vec::new();
        for (_, ground) in &self.sorted {
            firsts.push(first);
            runs.extend(ground.runs.iter().map(|run| first + run.start..first + run.end));
            first += ground.rows + 1;
        }
        let mut placed: Vec<Placed> = vec![Vec::new(); self.sorted.len()];
        for (segment, number) in place_lengths(&runs, lengths, rng)? {
            let at = firsts.partition_point(|first| *first <= segment.start) - 1;
            let own = segment.start - firsts[at]..segment.end - firsts[at];
            placed[self.sorted[at].0].push((own, number));
        }
        Ok(placed)
    }

    /// The error for anomalies that do not all fit.
    pub(crate) fn too_many(&self, quota: Quota, asked: usize, fits: usize) -> Error {
        let (parameter, value) = quota.option();
        Error::DoesNotFit { parameter, value, asked, rows: self.rows(), fits }
    }
}

/// The rows of `runs` that are also among `others`; both are ascending and do not overlap.
pub(crate) fn common(runs: &[Range<usize>], others: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut found, mut i, mut j) = (Vec::new(), 0, 0);
    while let (Some(run), Some(other)) = (runs.get(i), others.get(j)) {
        let both = run.start.max(other.start)..run.end.min(other.end);
        if !both.is_empty() {
            found.push(both);
        }
        if run.end <= other.end {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
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

/// Lengths of the anomalies that a quota asks for on `rows` rows.
pub(crate) fn quota_lengths(
    quota: Quota,
    rows: usize,
    mut draw: impl FnMut() -> usize,
) -> Vec<usize> {
    match quota {
        // More than the number of rows never fit: this many suffice to report that.
        Quota::Count(count) | Quota::Total(count) => {
            (0..count.min(rows + 1)).map(|_| draw()).collect()
        }
        Quota::Share(share) => draw_lengths(share * rows as f64, draw),
    }
}

/// Lengths whose sum is `target`, the last one shortened; less where only a stub were left of it. At
/// least one.
fn draw_lengths(target: f64, mut draw: impl FnMut() -> usize) -> Vec<usize> {
    let mut left = (target.round() as usize).max(1);
    let mut lengths = Vec::new();
    while left > 0 {
        let length = draw();
        let stub = left < length.min(SHORTEST);
        if stub && !lengths.is_empty() {
            break;
        }
        lengths.push(length.min(left));
        left -= length.min(left);
    }
    lengths
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
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn rng(seed: u64) -> Rng {
        Rng::new(seed, Purpose::Place, [0, 0])
    }

    fn ground(key: u64, runs: Vec<Range<usize>>, rows: usize) -> Ground {
        Ground { key: [key, 0], runs, rows, per_day: None, longest: rows }
    }

    #[test]
    fn says_how_many_fit() {
        // Three segments of 33 rows and the two rows between them fill 101 rows, not 100.
        let runs = |rows: usize| vec![0..rows];
        assert!(place_lengths(&runs(101), &[33; 3], &mut rng(0)).is_ok());
        assert_eq!(place_lengths(&runs(100), &[33; 3], &mut rng(0)), Err(2));
    }

    #[test]
    fn the_share_is_met_by_a_shorter_last_one() {
        let lengths = |target: f64, length: usize| draw_lengths(target, || length);
        assert_eq!(lengths(60.0, 200), [60]);
        assert_eq!(lengths(45.0, 20), [20, 20, 5]);
        assert_eq!(lengths(43.0, 20), [20, 20]);
        assert_eq!(lengths(0.01, 20), [1]);
        assert_eq!(lengths(5.0, 1), [1; 5]);
    }

    #[test]
    fn common_rows() {
        assert_eq!(common(&[0..10, 12..20], &[2..4, 8..14]), [2..4, 8..10, 12..14]);
        assert!(common(&[0..10], &[]).is_empty());
    }

    #[test]
    fn all_series_share_what_is_placed_whatever_their_order() {
        let mut grounds = vec![
            ground(7, vec![0..40, 50..90], 100),
            ground(3, vec![10..30], 60),
            ground(5, vec![], 20),
        ];
        let lengths = [5; 12];
        let placed = Grounds::new(&grounds).place(&lengths, &mut rng(1)).unwrap();
        let key = Grounds::new(&grounds).key();
        assert_eq!(placed.iter().map(Vec::len).sum::<usize>(), 12);
        assert!(placed[2].is_empty() && !placed[1].is_empty());
        for (ground, placed) in grounds.iter().zip(&placed) {
            let inside = |rows: &Range<usize>| {
                ground.runs.iter().any(|run| run.start <= rows.start && rows.end <= run.end)
            };
            assert!(placed.iter().all(|(rows, _)| inside(rows)));
        }
        grounds.reverse();
        let mut other = Grounds::new(&grounds).place(&lengths, &mut rng(1)).unwrap();
        other.reverse();
        assert_eq!((other, Grounds::new(&grounds).key()), (placed, key));
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
            let target = contamination * start as f64;
            let mut draws = rng(seed);
            let drawn = draw_lengths(target, || low + draws.below(extra + 1));
            let sum: usize = drawn.iter().sum();
            prop_assert!(sum <= (target.round() as usize).max(1));
            prop_assert!(sum + SHORTEST > target.round() as usize);
            if let Ok(placed) = place_lengths(&runs, &drawn, &mut rng(seed)) {
                for (segment, number) in &placed {
                    prop_assert!(runs.iter().any(|r| r.start <= segment.start && segment.end <= r.end));
                    prop_assert_eq!(segment.len(), drawn[*number]);
                }
                for pair in placed.windows(2) {
                    prop_assert!(pair[0].0.end < pair[1].0.start);
                }
            }
        }
    }
}
