//! Anomalies of values that their features can take.

use std::ops::Range;

use crate::data::series::Series;

/// The new values of an anomaly as its features can take them: rounded, and without the features
/// that are then as before. Where rounding leaves nothing of the anomaly, the value that was to
/// move furthest, in deviations `std` of its feature, moves by one step.
pub(crate) fn possible(
    series: &Series<'_>,
    std: &[f64],
    rows: &Range<usize>,
    wanted: Vec<(usize, Vec<f64>)>,
) -> Vec<(usize, Vec<f64>)> {
    let before = |d: usize, i: usize| series.value(d, rows.start + i).unwrap_or(f64::NAN);
    let domain = |d: usize| series.columns().domain(d);
    let furthest = furthest(&wanted, before, std);
    let mut rounded = wanted;
    for (d, values) in &mut rounded {
        values.iter_mut().for_each(|value| *value = domain(*d).nearest(*value));
    }
    // A null stays one: no number is equal to NaN.
    let differs = |value: f64, before: f64| !before.is_nan() && value != before;
    rounded.retain(|(d, values)| (0..values.len()).any(|i| differs(values[i], before(*d, i))));
    let Some((d, at, up)) = furthest.filter(|_| rounded.is_empty()) else { return rounded };
    let mut values: Vec<f64> = (0..rows.len()).map(|i| before(d, i)).collect();
    values[at] = domain(d).next_to(values[at], up);
    vec![(d, values)]
}

/// Feature and position of the value that moves furthest, and whether it moves up.
fn furthest(
    wanted: &[(usize, Vec<f64>)],
    before: impl Fn(usize, usize) -> f64,
    std: &[f64],
) -> Option<(usize, usize, bool)> {
    let moves = wanted.iter().flat_map(|(d, values)| {
        let before = &before;
        values.iter().enumerate().map(move |(i, value)| (*d, i, value - before(*d, i)))
    });
    let moves = moves.filter(|(_, _, moved)| !moved.is_nan());
    let size = |(d, _, moved): &(usize, usize, f64)| (moved / std[*d]).abs();
    let most = moves.reduce(|a, b| if size(&b) > size(&a) { b } else { a });
    most.map(|(d, i, moved)| (d, i, moved >= 0.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float32Array, Int8Array};

    use super::*;
    use crate::data::columns::Columns;

    #[test]
    fn an_anomaly_changes_something() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, true, false]));
        let bytes: ArrayRef = Arc::new(Int8Array::from(vec![1, 127, 127, 4]));
        let columns = Columns::new(vec![("b".into(), flags), ("i".into(), bytes)]).unwrap();
        let series = Series::whole(&columns);
        let made = |wanted| possible(&series, &[0.5, 50.0], &(1..3), wanted);
        // A feature whose values are rounded away is left out.
        assert_eq!(
            made(vec![(0, vec![1.2, 0.9]), (1, vec![100.4, 127.2])]),
            [(1, vec![100.0, 127.0])]
        );
        // Where all are, the largest change makes one step; at the end of the range, back.
        assert_eq!(made(vec![(0, vec![0.9, 0.8]), (1, vec![127.4, 127.0])]), [(0, vec![1.0, 0.0])]);
        assert_eq!(made(vec![(1, vec![127.4, 127.0])]), [(1, vec![126.0, 127.0])]);
        assert_eq!(made(vec![]), []);
        let small: ArrayRef = Arc::new(Float32Array::from(vec![1e8, 0.0]));
        let columns = Columns::new(vec![("x".into(), small)]).unwrap();
        let found = possible(&Series::whole(&columns), &[1e7], &(0..1), vec![(0, vec![1e8 + 1.0])]);
        assert_eq!(found, [(0, vec![1e8 + 8.0])]);
    }
}
