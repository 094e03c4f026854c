//! Arrow input columns.
//!
//! [`Columns`] holds the features of a frame in their own dtype, and as 32- or 64-bit floats for
//! computation. [`super::series::Series`] is one group of it in time order, without copying values.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::DataType;

pub use super::copied::Copied;
use super::domain::Domain;
use super::feature::FeatureColumn;
use crate::error::{Error, Result};

/// The feature columns of a frame.
///
/// Accepts integers, Float32, Float64, Decimal, Boolean and null columns. A null or NaN makes its
/// row unusable; infinite values are an error.
#[derive(Clone, Debug)]
pub struct Columns {
    names: Vec<String>,
    features: Vec<FeatureColumn>,
    rows: usize,
}

impl Columns {
    /// Takes named Arrow arrays of equal length, at least one.
    ///
    /// # Errors
    /// [`Error::Features`], [`Error::Length`], [`Error::Dtype`] or [`Error::Infinite`].
    pub fn new(fields: Vec<(String, ArrayRef)>) -> Result<Self> {
        let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            let reason = "at least one feature column is needed".into();
            return Err(Error::Features { features: names, reason });
        }
        if (1..names.len()).any(|i| names[..i].contains(&names[i])) {
            return Err(Error::Features { features: names, reason: "names must differ".into() });
        }
        let rows = fields[0].1.len();
        let mut features = Vec::with_capacity(fields.len());
        for (name, array) in fields {
            if array.len() != rows {
                return Err(Error::Length { column: name, found: array.len(), expected: rows });
            }
            features.push(FeatureColumn::new(&name, &array)?);
        }
        Ok(Self { names, features, rows })
    }

    /// Feature names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of features D.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// Number of rows of the frame.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether feature `d` has 32-bit floats.
    pub fn is_f32(&self, d: usize) -> bool {
        self.features[d].source.data_type() == &DataType::Float32
    }

    /// The values that the dtype of feature `d` can hold.
    pub fn domain(&self, d: usize) -> &Domain {
        &self.features[d].domain
    }

    /// The same columns, with feature `d` limited to values between `low` and `high`: for dtypes
    /// that Arrow lacks, such as 128-bit integers stored as decimals.
    #[must_use]
    pub fn with_range(mut self, d: usize, low: f64, high: f64) -> Self {
        self.features[d].domain = self.features[d].domain.within(low, high);
        self
    }

    /// The same columns with the domains of `other`.
    pub(super) fn with_domains_of(mut self, other: &Self) -> Self {
        for (own, other) in self.features.iter_mut().zip(&other.features) {
            own.domain = other.domain;
        }
        self
    }

    /// The same columns with other values of feature `d` at some rows (see [`Copied::set`]).
    ///
    /// # Errors
    /// As [`Columns::new`].
    pub(crate) fn changed(
        &self,
        d: usize,
        changes: impl IntoIterator<Item = (usize, f64)>,
    ) -> Result<Self> {
        let mut copied = self.copy(d);
        changes.into_iter().for_each(|(row, value)| copied.set(row, value));
        let mut columns = self.clone();
        let domain = columns.features[d].domain;
        columns.features[d] = FeatureColumn::new(&self.names[d], &copied.finish().0)?;
        columns.features[d].domain = domain;
        Ok(columns)
    }

    /// The values at `rows`, in this order.
    ///
    /// # Errors
    /// For a row that the frame does not have.
    pub(super) fn taken(&self, rows: &UInt32Array) -> Result<Self> {
        let features = self.features.iter().map(|feature| feature.take(rows));
        let features = features.collect::<Result<_>>()?;
        Ok(Self { names: self.names.clone(), features, rows: rows.len() })
    }

    /// Feature `d`.
    pub(super) fn feature(&self, d: usize) -> &FeatureColumn {
        &self.features[d]
    }

    /// The value of feature `d` at `row`; `None` for null and NaN.
    pub fn value(&self, d: usize, row: usize) -> Option<f64> {
        self.features[d].floats.value(row)
    }

    /// A copy of feature `d` whose values can be set.
    pub fn copy(&self, d: usize) -> Copied {
        Copied { feature: self.features[d].clone(), changes: Vec::new(), cleared: Vec::new() }
    }

    /// A copy of the values of feature `d` at `rows`, in this order.
    ///
    /// # Errors
    /// If the frame lacks a row.
    pub fn copy_rows(&self, d: usize, rows: &UInt32Array) -> Result<Copied> {
        Ok(Copied {
            feature: self.features[d].take(rows)?,
            changes: Vec::new(),
            cleared: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int16Array, Int64Array, StringArray, UInt64Array};

    use std::sync::Arc;

    use arrow::array::{AsArray, BooleanArray, Float32Array, Float64Array};
    use arrow::datatypes::Float64Type;

    use super::*;
    use crate::data::series::{Rows, Series};

    fn column(name: &str, array: impl Array + 'static) -> (String, ArrayRef) {
        (name.into(), Arc::new(array))
    }

    #[test]
    fn numeric_types_become_floats() {
        let decimal = Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(5, 2);
        let columns = Columns::new(vec![
            column("i", Int16Array::from(vec![3, -4])),
            column("b", BooleanArray::from(vec![true, false])),
            column("d", decimal.unwrap()),
            column("f", Float32Array::from(vec![0.5, f32::NAN])),
        ])
        .unwrap();
        let values: Vec<_> = (0..4).map(|d| columns.value(d, 0)).collect();
        assert_eq!(values, [Some(3.0), Some(1.0), Some(1.5), Some(0.5)]);
        assert_eq!((columns.value(2, 1), columns.value(3, 1)), (None, None));
        assert!(columns.is_f32(3) && !columns.is_f32(0));
    }

    #[test]
    fn bad_columns_are_named() {
        let text = Columns::new(vec![column("s", StringArray::from(vec!["x"]))]).unwrap_err();
        assert!(text.to_string().contains("column `s` has dtype Utf8"));
        let infinite = Float64Array::from(vec![Some(1.0), None, Some(f64::NEG_INFINITY)]);
        let error = Columns::new(vec![column("x", infinite)]).unwrap_err().to_string();
        assert!(error.contains("column `x` is infinite at row 2"), "{error}");
        assert!(Columns::new(vec![]).is_err());
        let twice = |n: &str| column(n, Float64Array::from(vec![1.0]));
        assert!(Columns::new(vec![twice("a"), twice("a")]).is_err());
        let short = column("b", Float64Array::from(vec![1.0, 2.0]));
        assert!(matches!(Columns::new(vec![twice("a"), short]), Err(Error::Length { .. })));
    }

    #[test]
    fn setting_keeps_all_other_bits() {
        let odd_nan = f64::from_bits(0x7ff8_0000_0000_1234);
        let array = Float64Array::from(vec![Some(1.0), None, Some(odd_nan), Some(-0.0)]);
        let columns = Columns::new(vec![column("x", array.clone())]).unwrap();
        let mut copy = columns.copy(0);
        copy.set(0, 9.0);
        copy.set(3, 0.0);
        let (out, changed) = copy.finish();
        let out = out.as_primitive::<Float64Type>();
        assert_eq!(changed.set_indices().collect::<Vec<_>>(), [0]);
        assert_eq!((out.value(0), out.is_null(1)), (9.0, true));
        assert_eq!(out.value(2).to_bits(), odd_nan.to_bits());
        assert_eq!(out.value(3).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn values_go_out_as_they_came() {
        let odd = (1i64 << 53) + 1;
        let digits = 12_345_678_901_234_567_890_123_456_789i128;
        let decimal = Decimal128Array::from(vec![Some(digits), Some(150), None]);
        let sources: [ArrayRef; 4] = [
            Arc::new(Int64Array::from(vec![Some(odd), Some(7), None])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(7), None])),
            Arc::new(decimal.with_precision_and_scale(38, 2).unwrap()),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ];
        for source in sources {
            let columns = Columns::new(vec![("x".into(), source.clone())]).unwrap();
            let mut copy = columns.copy(0);
            // Reading a value as a float and setting it again changes nothing.
            (0..2).for_each(|row| copy.set(row, columns.value(0, row).unwrap()));
            let (same, changed) = copy.finish();
            assert_eq!((&same, changed.count_set_bits()), (&source, 0));
            let mut copy = columns.copy(0);
            copy.set(1, columns.domain(0).nearest(1e40));
            let (new, changed) = copy.finish();
            assert_eq!(new.data_type(), source.data_type());
            assert_eq!(new.slice(0, 1).as_ref(), source.slice(0, 1).as_ref());
            assert!(changed.value(1) && !changed.value(0), "{new:?}");
            let rows = UInt32Array::from(vec![2, 0]);
            let (picked, _) = columns.copy_rows(0, &rows).unwrap().finish();
            assert_eq!(picked.slice(1, 1).as_ref(), source.slice(0, 1).as_ref());
        }
    }

    #[test]
    fn content_hash_ignores_where_the_rows_lie() {
        let values = Float64Array::from(vec![1.0, 5.0, 2.0, 6.0]);
        let columns = Columns::new(vec![column("x", values)]).unwrap();
        let odd = Series::new(&columns, Rows::Picked(vec![0, 2]));
        let alone = Columns::new(vec![column("x", Float64Array::from(vec![1.0, 2.0]))]).unwrap();
        assert_eq!(odd.content_hash(), Series::whole(&alone).content_hash());
        let labels = BooleanArray::from(vec![true, false]);
        assert_ne!(
            Series::whole(&alone).with_labels(&labels).content_hash(),
            Series::whole(&alone).content_hash()
        );
    }
}
