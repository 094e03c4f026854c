//! Wild values: a few training values so far from the others that they would determine the scale of
//! a feature and hide its normal variation.
//!
//! A feature is measured by its core: its values without the outermost 2 % at either end. Values
//! more than a thousand core widths away from its median are treated as null in the fit; if the
//! core is constant, values more than a million times its magnitude away. Heavy tails are kept: of
//! 100,000 values with a normal logarithm of standard deviation 2.5, the largest is about 350
//! widths away.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};

use super::columns::Columns;
use super::normalise::CONSTANT_RANGE;
use super::series::Series;
use crate::error::Result;

/// Share of the values at either end outside of the core; at least one value.
const OUTER: f64 = 0.02;
/// Maximum number of values in the sample of [`none_is_far`].
const SAMPLE: usize = 500;
/// Minimum number of values for a core.
const FEWEST: usize = 8;
/// Distance from the median, in core widths, beyond which a value is excluded.
const FAR: f64 = 1e3;
/// The same for a constant core, in units of its magnitude or of 1; also the distance of a named
/// value.
const FAR_FROM_CONSTANT: f64 = 1e6;
const NAMED_FROM_CONSTANT: f64 = 1e2;
/// Ratio of the variance of all values to that of the core above which a warning is issued.
const NAMED: f64 = 100.0;

/// Wild values in the rows of a series that are not known anomalies.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Wild {
    /// Features and rows of excluded values.
    left_out: Vec<(usize, usize)>,
    /// Whether a feature keeps values that make up nearly all of its variance.
    dominated: bool,
}

/// The core of some values.
struct Core {
    low: f64,
    median: f64,
    high: f64,
}

impl Wild {
    /// Of rows to learn from.
    pub(crate) fn find(series: &Series<'_>) -> Self {
        Self::of(series, true)
    }

    /// The excluded values only, which is all that matters for rows that a model is applied to.
    pub(crate) fn excluded(series: &Series<'_>) -> Self {
        Self::of(series, false)
    }

    fn of(series: &Series<'_>, learn: bool) -> Self {
        let mut found = Self::default();
        let (mut values, mut known_values) = (Vec::new(), Vec::new());
        for d in 0..series.columns().width() {
            if !learn && none_is_far(series, d) {
                continue;
            }
            values.resize(series.len(), 0.0);
            series.read(d, 0, &mut values);
            let known = |(t, value): &(usize, &f64)| is_training(series, *t, **value);
            let training = || values.iter().enumerate().filter(known).map(|(t, value)| (t, *value));
            known_values.clear();
            known_values.extend(training().map(|row| row.1));
            let Some(core) = Core::of(&mut known_values) else { continue };
            let far = training().filter(|row| core.is_far(row.1));
            found.left_out.extend(far.map(|(t, _)| (d, t)));
            let near = training().map(|row| row.1).filter(|value| !core.is_far(*value));
            found.dominated |= learn && core.is_dominated(near);
        }
        found
    }

    /// Whether a warning is due.
    pub(crate) fn is_any(&self) -> bool {
        self.dominated || !self.left_out.is_empty()
    }

    /// The rows of the series with nulls for excluded values; `None` if there are none.
    pub(crate) fn left_out(&self, series: &Series<'_>) -> Result<Option<Columns>> {
        if self.left_out.is_empty() {
            return Ok(None);
        }
        let field = |(d, name): (usize, &String)| -> (String, ArrayRef) {
            let mut values = vec![0.0; series.len()];
            series.read(d, 0, &mut values);
            let own = self.left_out.iter().filter(|(feature, _)| *feature == d);
            own.for_each(|(_, t)| values[*t] = f64::NAN);
            (name.clone(), Arc::new(Float64Array::from(values)))
        };
        let columns =
            Columns::new(series.columns().names().iter().enumerate().map(field).collect())?;
        Ok(Some(columns.with_domains_of(series.columns())))
    }
}

/// Whether a value is there, and its row no known anomaly.
fn is_training(series: &Series<'_>, t: usize, value: f64) -> bool {
    !value.is_nan() && !series.is_labelled(t)
}

/// Whether a single pass shows that no value of feature `d` is far: two values inside the core are
/// further apart than a [`FAR`]th of the range.
fn none_is_far(series: &Series<'_>, d: usize) -> bool {
    let sampled = (0..series.len()).step_by(series.len().div_ceil(SAMPLE).max(1));
    let known = |t: &usize| !series.is_labelled(*t);
    let mut sample: Vec<f64> = sampled.filter(known).filter_map(|t| series.value(d, t)).collect();
    sample.sort_unstable_by(f64::total_cmp);
    let edge = sample.len() / 10;
    if edge == 0 {
        return false;
    }
    let (a, b) = (sample[edge], sample[sample.len() - 1 - edge]);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut n, mut up_to_a, mut from_b) = (0, 0, 0);
    series.read_blocks(d, |first, values| {
        let known = |(t, value): &(usize, &f64)| is_training(series, *t, **value);
        for (_, &value) in (first..).zip(values).filter(known) {
            (low, high) = (low.min(value), high.max(value));
            n += 1;
            up_to_a += usize::from(value <= a);
            from_b += usize::from(value >= b);
        }
    });
    // Halved, so that they are finite for all finite values.
    let (inside, range) = (b / 2.0 - a / 2.0, high / 2.0 - low / 2.0);
    let is_constant = inside <= 0.5 * CONSTANT_RANGE * low.abs().max(high.abs());
    up_to_a.min(from_b) > outer(n) && !is_constant && range / FAR <= inside
}

/// Number of values at either end that are outside of the core, of `n`.
fn outer(n: usize) -> usize {
    ((OUTER * n as f64) as usize).max(1)
}

impl Core {
    /// The core of some values, whose order changes.
    fn of(values: &mut [f64]) -> Option<Self> {
        let n = values.len();
        if n < FEWEST {
            return None;
        }
        let outer = outer(n);
        let middle = n / 2 - outer - 1;
        // Each is sought among the values above the one before.
        let (_, &mut low, above) = values.select_nth_unstable_by(outer, f64::total_cmp);
        let (_, &mut median, above) = above.select_nth_unstable_by(middle, f64::total_cmp);
        let last = above.len() - 1 - outer;
        let (_, &mut high, _) = above.select_nth_unstable_by(last, f64::total_cmp);
        Some(Self { low, median, high })
    }

    fn is_constant(&self) -> bool {
        self.half_width() <= 0.5 * CONSTANT_RANGE * self.low.abs().max(self.high.abs())
    }

    /// Halved, so that it is finite for all finite values.
    fn half_width(&self) -> f64 {
        self.high / 2.0 - self.low / 2.0
    }

    /// Half the distance of a value from the median.
    fn half_distance(&self, value: f64) -> f64 {
        (value / 2.0 - self.median / 2.0).abs()
    }

    /// Whether a value is more than `sizes` magnitudes of a constant core away.
    fn is_beyond(&self, value: f64, sizes: f64) -> bool {
        self.half_distance(value) / sizes > 0.5 * self.median.abs().max(1.0)
    }

    fn is_far(&self, value: f64) -> bool {
        match self.is_constant() {
            true => self.is_beyond(value, FAR_FROM_CONSTANT),
            false => self.half_distance(value) / FAR > self.half_width(),
        }
    }

    /// Whether some of the values that are kept make up nearly all of their variance.
    fn is_dominated(&self, mut near: impl Iterator<Item = f64> + Clone) -> bool {
        if self.is_constant() {
            return near.any(|value| self.is_beyond(value, NAMED_FROM_CONSTANT));
        }
        let square = |value: f64| (self.half_distance(value) / self.half_width()).powi(2);
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, n) = values.map(square).fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
            sum / f64::from(n.max(1))
        };
        let inside = |value: &f64| (self.low..=self.high).contains(value);
        mean(&mut near.clone()) > NAMED * mean(&mut near.filter(inside))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::rng::{Purpose, Rng};

    fn columns(values: &[f64]) -> Columns {
        Columns::new(vec![("x".into(), Arc::new(Float64Array::from(values.to_vec())))]).unwrap()
    }

    fn find(values: &[f64]) -> Wild {
        Wild::find(&Series::whole(&columns(values)))
    }

    fn noise(n: usize) -> Vec<f64> {
        let noise = Rng::new(1, Purpose::Place, [0, 0]).normals(n);
        noise.into_iter().map(f64::from).collect()
    }

    #[test]
    fn far_values_are_left_out_and_others_stay() {
        for wild in [1e12, -1e12, 1e300, -f64::MAX, f64::from(f32::MAX), -99_999.0] {
            let mut values = noise(700);
            values[300] = wild;
            values[301] = 0.9 * wild;
            assert_eq!(find(&values).left_out, [(0, 300), (0, 301)], "{wild}");
            let kept = find(&values).left_out(&Series::whole(&columns(&values))).unwrap().unwrap();
            let missing: Vec<usize> = (0..700).filter(|t| kept.value(0, *t).is_none()).collect();
            assert_eq!(missing, [300, 301]);
        }
    }

    #[test]
    fn constants_have_a_size_of_their_own() {
        for (constant, wild) in [(0.0, 1e12), (5.0, -1e9), (1e-9, 2e6), (3e9, 1e300)] {
            let mut values = vec![constant; 100];
            values[7] = wild;
            assert_eq!(find(&values).left_out, [(0, 7)], "{constant} {wild}");
        }
        let mut flag = vec![0.0; 700];
        flag[60..64].fill(1.0);
        assert_eq!(find(&flag), Wild::default());
        flag[60] = 5000.0;
        assert_eq!(find(&flag), Wild { left_out: vec![], dominated: true });
    }

    #[test]
    fn values_that_make_the_variance_are_named() {
        let mut values = noise(700);
        values[300] = 500.0;
        assert_eq!(find(&values), Wild { left_out: vec![], dominated: true });
        values[300] = 20.0;
        assert_eq!(find(&values), Wild::default());
    }

    #[test]
    fn heavy_tails_are_no_wild_values() {
        let tail = |deviation: f64| noise(100_000).into_iter().map(move |x| (deviation * x).exp());
        assert_eq!(find(&tail(1.5).collect::<Vec<_>>()), Wild::default());
        assert!(find(&tail(2.5).collect::<Vec<_>>()).left_out.is_empty());
    }

    #[test]
    fn known_anomalies_and_few_values_are_not_looked_at() {
        let mut values = noise(100);
        values[50] = 1e12;
        let columns = columns(&values);
        let labels = (0..100).map(|t| Some(t == 50)).collect();
        let labelled = Series::whole(&columns).with_labels(&labels);
        assert_eq!(Wild::find(&labelled), Wild::default());
        assert_eq!(find(&values[47..54]), Wild::default());
        assert_eq!(find(&[]), Wild::default());
    }

    proptest! {
        /// The single pass and the sorted values agree.
        #[test]
        fn a_single_pass_misses_no_far_value(
            seed in 0u64..1000,
            rows in 0usize..2000,
            wild in -7.0f64..7.0,
            count in 0usize..30,
            offset in prop::sample::select(vec![0.0, 1.0, 1e6]),
        ) {
            let mut rng = Rng::new(seed, Purpose::Place, [1, 0]);
            let mut values: Vec<f64> =
                rng.normals(rows).into_iter().map(|x| f64::from(x) + offset).collect();
            let far = wild.signum() * 10f64.powf(wild.abs());
            if rows > 0 {
                (0..count).for_each(|_| values[rng.below(rows)] = far);
            }
            let columns = columns(&values);
            let series = Series::whole(&columns);
            prop_assert_eq!(Wild::excluded(&series).left_out, Wild::find(&series).left_out);
        }

        /// Ordinary data is unchanged in any unit.
        #[test]
        fn ordinary_data_is_left_alone(
            seed in 0u64..1000,
            rows in 8usize..400,
            scale in prop::sample::select(vec![1e-300, 1e-6, 1.0, 1e9, 1e300]),
            offset in -10.0f64..10.0,
        ) {
            let noise = Rng::new(seed, Purpose::Place, [0, 0]).normals(rows);
            let values: Vec<f64> =
                noise.into_iter().map(|x| scale * (f64::from(x) + offset)).collect();
            prop_assert_eq!(find(&values), Wild::default());
        }
    }
}
