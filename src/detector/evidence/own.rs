//! Windows of a series that belong to the reference rows.
//!
//! A row of the fit would find itself at distance 0. Such rows are recognised by their content, in
//! any slice: a window that equals stored rows at exactly one place is taken for these rows, and
//! only compared with windows away from them. If the same values occur at several places, the other
//! places count as neighbours.

use std::collections::HashMap;
use std::ops::Range;

use super::features::Values;
use super::reference::ReferenceRows;
use crate::data::positions::window_keys;

/// First and last of the equal stored windows.
type Place = Range<usize>;

/// The windows of `size` rows of a series that are stored rows, ascending, and where those begin.
pub(super) struct OwnWindows {
    size: usize,
    /// Rows on both sides of a place that are excluded.
    reach: usize,
    found: Vec<(usize, Place)>,
}

impl OwnWindows {
    /// Compares every window of a series with every stored one by 64-bit hashes. A collision only
    /// costs a window some of its neighbours.
    pub(super) fn find(hashes: &RowHashes<'_>, size: usize, reach: usize) -> Self {
        let kept = hashes.places(size);
        let windows = window_keys(&hashes.rows, size).into_iter().enumerate();
        let own = |(start, key)| Some((start, kept.get(&key)?.clone()));
        Self { size, reach: reach.max(size), found: windows.filter_map(own).collect() }
    }

    /// Starts of the stored windows near the window at `start`: around its own place, else around
    /// the places of the rows before and after it.
    pub(super) fn near(&self, start: usize) -> [Range<usize>; 2] {
        let at = self.found.partition_point(|own| own.0 < start);
        let (before, after) = self.found.split_at(at);
        match after.first() {
            Some((own, place)) if *own == start => [self.around(place.start, place.end), 0..0],
            _ => [before.last(), after.first()].map(|own| self.beside(start, own)),
        }
    }

    /// Around the place of the window at `start`, from a window that shares rows with it.
    fn beside(&self, start: usize, own: Option<&(usize, Place)>) -> Range<usize> {
        match own {
            Some((own, place)) if own.abs_diff(start) < self.size => {
                let moved = |kept: usize| (kept + start).saturating_sub(*own);
                self.around(moved(place.start), moved(place.end))
            }
            _ => 0..0,
        }
    }

    fn around(&self, first: usize, last: usize) -> Range<usize> {
        first.saturating_sub(self.reach)..last + self.reach + 1
    }
}

/// A hash of every row of a series, and of every stored row: the same for windows of any size.
pub(super) struct RowHashes<'a> {
    rows: Vec<u64>,
    kept: Vec<u64>,
    runs: &'a [Range<usize>],
}

impl<'a> RowHashes<'a> {
    pub(super) fn new(values: &Values, reference: &'a ReferenceRows) -> Self {
        let (rows, kept) = (values.row_hashes(), reference.values.row_hashes());
        Self { rows, kept, runs: &reference.runs }
    }

    /// The stored windows by content, if all equal ones share rows.
    fn places(&self, size: usize) -> HashMap<u64, Place> {
        let mut places: HashMap<u64, Place> = HashMap::new();
        for run in self.runs {
            for (i, key) in window_keys(&self.kept[run.clone()], size).into_iter().enumerate() {
                let start = run.start + i;
                places.entry(key).or_insert(start..start).end = start;
            }
        }
        places.retain(|_, place| place.end - place.start <= size);
        places
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SIZE: usize = 5;

    /// Rows 10..30 and 40..60 of a series are stored.
    fn reference(values: &Values) -> ReferenceRows {
        ReferenceRows::new(values, &[10..30, 40..60], usize::MAX)
    }

    #[test]
    fn windows_know_their_place_and_those_beside_go_by_it() {
        let values = Values::new(vec![(0..80).map(|t| ((t * t) % 101) as f32).collect()]);
        let own = OwnWindows::find(&RowHashes::new(&values, &reference(&values)), SIZE, 0);
        let known: Vec<usize> = own.found.iter().map(|own| own.0).collect();
        assert_eq!(known, (10..=25).chain(40..=55).collect::<Vec<_>>());
        assert_eq!(own.near(12), [0..8, 0..0]);
        assert_eq!(own.near(45), [20..31, 0..0]);
        // Rows 28 and 29 are stored; row 33 and its window are not.
        assert_eq!(own.near(28), [13..24, 0..0]);
        assert_eq!(own.near(33), [0..0, 0..0]);
        assert_eq!(own.near(38), [0..0, 13..24]);
    }

    proptest! {
        /// On recurring values, by definition.
        #[test]
        fn own_windows_look_like_kept_ones_at_one_place(
            values in prop::collection::vec(0u8..3, 80..81),
            moved in 0usize..20,
        ) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let kept = [&values[10..30], &values[40..60]].concat();
            let all = Values::new(vec![values.clone()]);
            let reference = reference(&all);
            let slice = Values::new(vec![values[moved..].to_vec()]);
            let found = OwnWindows::find(&RowHashes::new(&slice, &reference), SIZE, 0).found;
            let alike = |start: &usize| {
                let window = &values[moved + start..moved + start + SIZE];
                let places = (0..=15).chain(20..=35).filter(|at| kept[*at..*at + SIZE] == *window);
                let places: Vec<usize> = places.collect();
                let (first, last) = (*places.first()?, *places.last()?);
                (last - first <= SIZE).then_some((*start, first..last))
            };
            let expected: BTreeMap<_, _> =
                (0..=80 - moved - SIZE).filter_map(|start| alike(&start)).collect();
            prop_assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
        }
    }
}
