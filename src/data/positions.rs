//! Positions of the windows that score a row.
//!
//! Windows start every few rows. Counted from the first row of a series, the score of a row would
//! depend on where the series begins. Positions are tied to the clock or to the values instead: a
//! row far from both ends is scored by the same windows in every slice of the series.

use std::collections::VecDeque;
use std::ops::Range;

/// Reference of the window positions. The first and the last window of every stretch of usable rows
/// are always scored as well, so that every row is covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// The first row of a stretch.
    #[default]
    Start,
    /// The clock: the number of each row's time step, ascending. A window begins where the clock
    /// passes a multiple of the stride.
    Clock(Vec<i64>),
    /// The values of the windows: of 2 stride - 1 consecutive windows, the one with the smallest
    /// hash is scored (minimizers; Schleimer, Wilkerson & Aiken, SIGMOD 2003), and the one a stride
    /// after it if the next is further away. Windows are at most one stride apart, and two thirds
    /// of a stride on average.
    Content,
}

impl Positions {
    /// The clock if most of these times (one per row, ascending) follow the previous one by the
    /// same step, else the content.
    pub fn of_times(times: Option<&[i64]>) -> Self {
        times.and_then(ticks).map_or(Self::Content, Self::Clock)
    }

    /// Start rows of the windows of `size` rows that score the `stretches` of a series;
    /// `row_hashes` computes a hash of the values of every row.
    pub(crate) fn starts(
        &self,
        row_hashes: impl FnOnce() -> Vec<u64>,
        stretches: &[Range<usize>],
        size: usize,
        stride: usize,
    ) -> Vec<usize> {
        let stride = stride.clamp(1, size);
        let keys = match self {
            Self::Content => window_keys(&row_hashes(), size),
            _ => Vec::new(),
        };
        let mut starts = Vec::new();
        for stretch in stretches {
            let rows = stretch.start..stretch.end - size;
            starts.push(stretch.end - size);
            match self {
                Self::Start => starts.extend(rows.step_by(stride)),
                Self::Clock(ticks) => by_clock(ticks, rows, stride, &mut starts),
                Self::Content => {
                    let width = (2 * stride - 1).min(size);
                    let first = starts.len();
                    by_content(&keys, rows.clone(), width, &mut starts);
                    starts.extend(filled(&starts[first..], rows.end, stride));
                }
            }
        }
        starts.sort_unstable();
        starts
    }
}

/// The number of the step that each time lies in, if more than half of the times follow the
/// previous one by the same step, and all are strictly ascending.
fn ticks(times: &[i64]) -> Option<Vec<i64>> {
    let steps = || times.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap_or(0));
    let step = majority(steps())?;
    let ascending = steps().all(|step| step > 0);
    ascending.then(|| times.iter().map(|time| time.div_euclid(step)).collect())
}

/// The majority element, if there is one (Boyer & Moore).
fn majority(values: impl Iterator<Item = i64> + Clone) -> Option<i64> {
    let (mut held, mut votes) = (0, 0usize);
    for value in values.clone() {
        match votes {
            0 => (held, votes) = (value, 1),
            _ if value == held => votes += 1,
            _ => votes -= 1,
        }
    }
    let (equal, all) =
        values.fold((0, 0), |(equal, all), value| (equal + usize::from(value == held), all + 1));
    (2 * equal > all).then_some(held)
}

/// The first row, and those where the clock passes a multiple of `stride`. If rows are denser than
/// the clock, also a row `stride` rows after the last one.
fn by_clock(ticks: &[i64], rows: Range<usize>, stride: usize, starts: &mut Vec<usize>) {
    let lap = |t: usize| ticks[t].div_euclid(stride as i64);
    let mut before = rows.start;
    for t in rows.clone() {
        let passed = t > rows.start && lap(t) != lap(t - 1);
        if t == rows.start || passed || t - before == stride {
            starts.push(t);
            before = t;
        }
    }
}

/// The first row, and every row whose key is the smallest of some `width` consecutive rows, the
/// first one of equal keys.
fn by_content(keys: &[u64], rows: Range<usize>, width: usize, starts: &mut Vec<usize>) {
    let first = rows.start;
    starts.extend((!rows.is_empty()).then_some(first));
    // Candidates for the smallest key, in ascending order.
    let mut open: VecDeque<usize> = VecDeque::new();
    for t in rows {
        while open.back().is_some_and(|back| keys[*back] > keys[t]) {
            open.pop_back();
        }
        open.push_back(t);
        if open.front().is_some_and(|front| front + width <= t) {
            open.pop_front();
        }
        let least = open.front().copied().filter(|_| t + 1 >= first + width);
        if least.is_some_and(|least| starts.last().is_none_or(|last| *last < least)) {
            starts.extend(least);
        }
    }
}

/// Rows one stride after those of `starts` whose successor, or `end`, is further away.
fn filled(starts: &[usize], end: usize, stride: usize) -> Vec<usize> {
    let next = starts.iter().copied().skip(1).chain([end]);
    let wide = starts.iter().zip(next).filter(|(start, next)| next - *start > stride);
    wide.map(|(start, _)| start + stride).collect()
}

/// Multiplier of both hashes: odd, so that no bit is lost.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash of the window of `size` rows at every row where one fits, from hashes of the rows.
pub(crate) fn window_keys(rows: &[u64], size: usize) -> Vec<u64> {
    let most = (1..size).fold(1u64, |power, _| power.wrapping_mul(FACTOR));
    let mut hash = 0u64;
    let mut keys = Vec::with_capacity(rows.len());
    for (t, row) in rows.iter().enumerate() {
        if let Some(left) = t.checked_sub(size) {
            hash = hash.wrapping_sub(rows[left].wrapping_mul(most));
        }
        hash = hash.wrapping_mul(FACTOR).wrapping_add(*row);
        if t + 1 >= size {
            keys.push(mixed(hash));
        }
    }
    keys
}

/// The finaliser of SplitMix64: every bit depends on every other.
pub(crate) fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(FACTOR);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use proptest::prelude::*;

    use super::*;
    use crate::data::columns::Columns;
    use crate::data::series::Series;

    fn columns(values: impl IntoIterator<Item = f64>) -> Columns {
        let values = Float64Array::from_iter_values(values);
        Columns::new(vec![("x".into(), Arc::new(values))]).unwrap()
    }

    #[test]
    fn times_have_a_clock_where_their_step_is_regular() {
        let clock = |times: &[i64]| Positions::of_times(Some(times));
        assert_eq!(clock(&[30, 40, 50, 60]), Positions::Clock(vec![3, 4, 5, 6]));
        assert_eq!(clock(&[-15, -5, 5, 30, 40]), Positions::Clock(vec![-2, -1, 0, 3, 4]));
        for irregular in [&[1, 2, 4, 7, 11, 16][..], &[1, 2, 2, 3, 4], &[3, 2, 1], &[], &[5]] {
            assert_eq!(clock(irregular), Positions::Content, "{irregular:?}");
        }
        assert_eq!(clock(&[i64::MIN, i64::MAX]), Positions::Content);
        assert_eq!(Positions::of_times(None), Positions::Content);
    }

    /// The smallest key of every `width` rows, by definition.
    #[test]
    fn content_is_what_minimizers_are() {
        let keys: Vec<u64> = (0..200u64).map(|i| mixed(i * i) % 7).collect();
        for width in [1, 2, 9, 200, 300] {
            let mut found = Vec::new();
            by_content(&keys, 0..200, width, &mut found);
            let least = |i: usize| (i..i + width).min_by_key(|t| (keys[*t], *t)).unwrap();
            let mut expected: Vec<usize> = (0..201usize.saturating_sub(width)).map(least).collect();
            expected.push(0);
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(found, expected, "{width}");
        }
    }

    #[test]
    fn content_costs_half_more_than_the_stride_says() {
        let columns = columns((0..20_000).map(|t| f64::from(t * t % 7919)));
        let series = Series::whole(&columns);
        let starts = Positions::Content.starts(
            || series.row_hashes(),
            std::slice::from_ref(&(0..20_000)),
            64,
            16,
        );
        let expected = 1.5 * 20_000.0 / 16.0;
        assert!((starts.len() as f64 / expected - 1.0).abs() < 0.1, "{}", starts.len());
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] <= 16));
    }

    #[test]
    fn equal_windows_have_equal_keys() {
        let columns = columns((0..300).map(|t| f64::from(t % 10)));
        let keys = window_keys(&Series::whole(&columns).row_hashes(), 32);
        assert!(keys.len() == 269 && keys.iter().skip(10).zip(&keys).all(|(a, b)| a == b));
        assert!((1..10).all(|t| keys[t] != keys[0]));
    }

    proptest! {
        /// In a slice, starts that are a window and a neighbourhood away from both ends equal those
        /// of the whole series; consecutive starts are at most a window apart.
        #[test]
        fn slices_have_the_starts_of_the_whole(
            values in prop::collection::vec(0u8..4, 200..400),
            jumps in prop::collection::vec(1i64..30, 400),
            (size, stride) in (8usize..24, 1usize..30),
            (from, cut) in (0usize..60, 0usize..60),
            regular in prop::bool::ANY,
        ) {
            let all = columns(values.iter().map(|x| f64::from(*x)));
            let (from, to) = (from, values.len() - cut);
            let part = columns(values[from..to].iter().map(|x| f64::from(*x)));
            let mut times = vec![7i64];
            for (i, jump) in jumps.iter().enumerate().take(values.len() - 1) {
                let jump = if regular && i % 5 > 0 { 10 } else { *jump };
                times.push(times[i] + jump);
            }
            for clock in [true, false] {
                let positions = |rows: Range<usize>| {
                    if clock { Positions::of_times(Some(&times[rows])) } else { Positions::Content }
                };
                let [whole, slice] = [(&all, 0..values.len()), (&part, from..to)].map(|(data, rows)| {
                    let series = Series::whole(data);
                    let all = 0..series.len();
                    positions(rows).starts(|| series.row_hashes(), std::slice::from_ref(&all), size, stride)
                });
                for pair in whole.windows(2) {
                    prop_assert!(pair[0] < pair[1] && pair[1] - pair[0] <= size, "{:?}", whole);
                }
                let inside = |t: &usize| *t >= from + 2 * size && t + 2 * size < to;
                let slice: Vec<usize> = slice.iter().map(|t| t + from).filter(inside).collect();
                let whole: Vec<usize> = whole.into_iter().filter(inside).collect();
                prop_assert_eq!(whole, slice);
            }
        }
    }
}
