//! Start rows of the windows of a series.
//!
//! A window is only a start row: nothing of size N * W * D is allocated. A batch is gathered when
//! it is needed ([`crate::data::normalise::Matrix::gather`]).

use std::ops::Range;

use super::series::Series;
use crate::config::{FitConfig, WINDOW_BUDGET};
use crate::error::{Error, Result};

/// Maximal stretches of rows for windows.
///
/// `keep` tells which rows can be part of a window; no run crosses a gap of the series. Runs
/// shorter than `shortest` are left out.
pub fn runs(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    shortest: usize,
) -> Vec<Range<usize>> {
    let mut gaps = series.gaps().iter().copied().peekable();
    let mut found = Vec::new();
    let mut start = 0;
    for t in 0..=series.len() {
        let jump = gaps.next_if_eq(&t).is_some();
        let kept = t < series.len() && keep(t);
        if jump || !kept {
            if t >= start + shortest.max(1) {
                found.push(start..t);
            }
            start = if kept { t } else { t + 1 };
        }
    }
    found
}

/// Stretches in which every window of `size` rows lies between two gaps, in rows where `keep`
/// holds, and misses at most `most` values.
///
/// Two stretches separated by nulls may share rows, but not windows.
pub fn stretches(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    size: usize,
    most: usize,
) -> Vec<Range<usize>> {
    if most == 0 {
        return runs(series, |t| keep(t) && series.is_usable(t), size);
    }
    let runs = runs(series, keep, size);
    runs.into_iter().flat_map(|run| within_budget(series, run, size, most)).collect()
}

/// The stretches of a run of at least `size` rows.
fn within_budget(
    series: &Series<'_>,
    run: Range<usize>,
    size: usize,
    most: usize,
) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut missing: usize = (run.start..run.start + size).map(|t| series.missing(t)).sum();
    for end in run.start + size..=run.end {
        if missing <= most {
            match found.last_mut().filter(|last| last.end + 1 == end) {
                Some(last) => last.end = end,
                None => found.push(end - size..end),
            }
        }
        if end < run.end {
            missing = missing + series.missing(end) - series.missing(end - size);
        }
    }
    found
}

/// The stretches without the rows shared with the previous one, if a window of `size` rows is left.
pub fn apart(stretches: Vec<Range<usize>>, size: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        let free = found.last().map_or(0, |last| last.end).max(stretch.start);
        if free + size <= stretch.end {
            found.push(free..stretch.end);
        }
    }
    found
}

/// Start rows of the windows of `size` rows, every `stride` rows within each run.
pub fn starts(runs: &[Range<usize>], size: usize, stride: usize) -> Vec<usize> {
    runs.iter()
        .filter(|run| run.len() >= size)
        .flat_map(|run| (run.start..=run.end - size).step_by(stride.max(1)))
        .collect()
}

/// The stride that keeps the number of windows within `budget`; 1 if they are few.
pub fn automatic_stride(runs: &[Range<usize>], size: usize, budget: usize) -> usize {
    let windows: usize = runs.iter().map(|run| (run.len() + 1).saturating_sub(size)).sum();
    windows.div_ceil(budget.max(1)).max(1)
}

/// Splits windows into training and held-out ones: the last `share` is held out.
///
/// Training windows that overlap a held-out one are dropped, unless that would leave less than half
/// of them (short series); a single window is in both sets.
pub fn split(starts: &[usize], size: usize, share: f64) -> (Vec<usize>, Vec<usize>) {
    if starts.len() < 2 {
        return (starts.to_vec(), starts.to_vec());
    }
    let held = ((starts.len() as f64 * share).ceil() as usize).clamp(1, starts.len() - 1);
    let (train, validation) = starts.split_at(starts.len() - held);
    let apart: Vec<usize> =
        train.iter().copied().filter(|start| start + size <= validation[0]).collect();
    let train = if apart.len() * 2 >= train.len() { apart } else { train.to_vec() };
    (train, validation.to_vec())
}

/// At most `most` of the starts, evenly spaced.
pub(crate) fn spread(starts: &[usize], most: usize) -> Vec<usize> {
    if starts.len() <= most {
        return starts.to_vec();
    }
    (0..most).map(|i| starts[i * (starts.len() - 1) / (most - 1).max(1)]).collect()
}

/// Start rows of the training windows; without a `stride`, about as many as the budget allows.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] if there is none.
pub(crate) fn clean_starts(series: &Series<'_>, config: &FitConfig) -> Result<Vec<usize>> {
    let size = config.window;
    let runs = usable_stretches(series, |t| !series.is_labelled(t), config)?;
    let automatic = || automatic_stride(&runs, size, WINDOW_BUDGET);
    let stride = config.stride.unwrap_or_else(automatic);
    Ok(starts(&runs, size, stride))
}

/// The stretches of rows where `keep` holds whose windows miss no more values than `config` allows.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] if there is none.
pub(crate) fn usable_stretches(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    config: &FitConfig,
) -> Result<Vec<Range<usize>>> {
    let most = config.most_missing(series.columns().width());
    long_enough(series, config.window, |size| stretches(series, keep, size, most))
}

/// The runs of rows where `keep` holds that are at least `window` long.
///
/// # Errors
/// [`Error::TooShort`] or [`Error::NoWindow`] if there is none.
pub(crate) fn usable_runs(
    series: &Series<'_>,
    keep: impl Fn(usize) -> bool,
    window: usize,
) -> Result<Vec<Range<usize>>> {
    long_enough(series, window, |size| runs(series, keep, size))
}

/// The result of `find` for windows of this size.
fn long_enough(
    series: &Series<'_>,
    window: usize,
    find: impl FnOnce(usize) -> Vec<Range<usize>>,
) -> Result<Vec<Range<usize>>> {
    let rows = series.len();
    if rows < window {
        return Err(Error::TooShort { rows, window });
    }
    let found = find(window);
    if found.is_empty() { Err(Error::NoWindow { rows, window }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use proptest::prelude::*;

    use super::*;
    use crate::data::columns::Columns;

    fn columns(values: Vec<Option<f64>>) -> Columns {
        Columns::new(vec![("x".into(), Arc::new(Float64Array::from(values)))]).unwrap()
    }

    #[test]
    fn gaps_and_nulls_split_runs() {
        let columns = columns((0..10).map(|t| (t != 3).then_some(t as f64)).collect());
        let series = Series::whole(&columns).with_gaps(vec![6]);
        assert_eq!(runs(&series, |t| series.is_usable(t), 1), [0..3, 4..6, 6..10]);
        assert_eq!(runs(&series, |t| series.is_usable(t), 3), [0..3, 6..10]);
    }

    #[test]
    fn split_keeps_windows_apart_where_it_can() {
        let starts: Vec<usize> = (0..100).collect();
        let (train, validation) = split(&starts, 10, 0.1);
        assert_eq!((train.len(), validation[0]), (81, 90));
        let (train, validation) = split(&starts, 80, 0.1);
        assert_eq!((train.len(), validation.len()), (90, 10));
        assert_eq!(split(&[4], 8, 0.1), (vec![4], vec![4]));
    }

    proptest! {
        #[test]
        fn windows_lie_in_runs_and_cover_them(
            usable in prop::collection::vec(prop::bool::weighted(0.9), 0..300),
            size in 1usize..20,
            stride in 1usize..40,
        ) {
            let columns = columns(usable.iter().map(|&ok| ok.then_some(1.0)).collect());
            let series = Series::whole(&columns);
            let runs = runs(&series, |t| series.is_usable(t), size);
            let mut covered = vec![false; usable.len()];
            for start in series.scored_starts(&runs, size, stride) {
                prop_assert!(usable[start..start + size].iter().all(|ok| *ok));
                covered[start..start + size].fill(true);
            }
            for run in &runs {
                prop_assert!(covered[run.clone()].iter().all(|hit| *hit));
            }
            let stride = automatic_stride(&runs, size, 16);
            let strided = starts(&runs, size, stride).len();
            prop_assert!(strided <= 16 + runs.len());
        }
    }

    #[test]
    fn spread_keeps_both_ends() {
        let starts: Vec<usize> = (0..1000).collect();
        let picked = spread(&starts, 7);
        assert_eq!((picked.len(), picked[0], picked[6]), (7, 0, 999));
        assert_eq!(spread(&starts[..3], 7), [0, 1, 2]);
    }
}
