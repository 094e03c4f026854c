//! Where anomalies are tried: in rounds, each of anomalies so far apart that no row's score depends on two.

use std::ops::Range;

use crate::runtime::rng::Rng;

/// Rounds per try that are drawn before there are taken to be no more places.
const MOST_ROUNDS: usize = 4;

/// First rows of the tries of one duration, round by round.
pub(super) type Rounds = Vec<Vec<usize>>;

/// TryRoom for tries of `length` rows in a series of `rows` rows: `free` are the stretches that they may lie
/// in, and two of one round are at least `apart` rows from each other.
pub(super) struct TryRoom<'a> {
    pub rows: usize,
    pub free: &'a [Range<usize>],
    pub length: usize,
    pub apart: usize,
}

impl TryRoom<'_> {
    /// Draws places until there are `tries` of them, or as many as are found.
    pub(super) fn rounds(&self, tries: usize, rng: &mut Rng) -> Rounds {
        let mut rounds = Rounds::new();
        let mut left = tries;
        for _ in 0..MOST_ROUNDS * tries {
            if left == 0 || self.length > self.rows {
                break;
            }
            let round: Vec<usize> = self.round(rng).into_iter().take(left).collect();
            left -= round.len();
            rounds.extend((!round.is_empty()).then_some(round));
        }
        rounds
    }

    /// As many as fit, at random distances; each at the next free row.
    fn round(&self, rng: &mut Rng) -> Vec<usize> {
        let period = self.length + self.apart;
        let most = (self.rows + self.apart) / period;
        let slack = self.rows + self.apart - most * period;
        let mut cuts: Vec<usize> = (0..most).map(|_| rng.below(slack + 1)).collect();
        cuts.sort_unstable();
        let (mut starts, mut least) = (Vec::new(), 0);
        for (number, cut) in cuts.into_iter().enumerate() {
            if let Some(start) = self.next(least.max(cut + number * period)) {
                starts.push(start);
                least = start + period;
            }
        }
        starts
    }

    /// The first row from `least` on at which the rows of a try are free.
    fn next(&self, least: usize) -> Option<usize> {
        let from = |run: &Range<usize>| {
            let start = run.start.max(least);
            (start + self.length <= run.end).then_some(start)
        };
        self.free.iter().find_map(from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)] // Runs are ranges of rows.

    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::Purpose;

    fn rng(seed: u64) -> crate::runtime::rng::Rng {
        crate::runtime::rng::Rng::new(seed, Purpose::Sensitivity, [0, 0])
    }

    #[test]
    fn a_series_without_room_has_no_places() {
        let room = |free: &'static [Range<usize>]| TryRoom { rows: 30, free, length: 5, apart: 10 };
        assert!(room(&[]).rounds(3, &mut rng(0)).is_empty());
        assert!(room(&[2..6]).rounds(3, &mut rng(0)).is_empty());
        assert_eq!(room(&[2..7]).rounds(2, &mut rng(0)), [[2], [2]]);
    }

    proptest! {
        #[test]
        fn tries_are_free_and_apart(
            (rows, length, apart) in (20usize..400, 1usize..20, 0usize..60),
            (begin, width) in (0usize..200, 20usize..200),
            tries in 1usize..20,
            seed in 0u64..1000,
        ) {
            let free = [begin.min(rows)..(begin + width).min(rows)];
            let room = TryRoom { rows, free: &free, length, apart };
            let rounds = room.rounds(tries, &mut rng(seed));
            let all: usize = rounds.iter().map(Vec::len).sum();
            prop_assert!(all <= tries);
            for round in &rounds {
                for start in round {
                    prop_assert!(free[0].start <= *start && start + length <= free[0].end);
                }
                for pair in round.windows(2) {
                    prop_assert!(pair[0] + length + apart <= pair[1]);
                }
            }
        }
    }
}
