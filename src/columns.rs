//! Step 1, columns: Arrow columns in, and a view of the rows of one series.
//!
//! [`Columns`] holds the features of a frame as they came, and beside them as 32- or 64-bit floats to
//! compute with; [`Series`] is one group of it, in time order, without copying a value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array,
    PrimitiveArray, UInt32Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};
use xxhash_rust::xxh3::Xxh3;

use crate::domain::Domain;
use crate::error::{Error, Result};

/// One feature.
#[derive(Clone, Debug)]
struct Feature {
    source: ArrayRef,
    floats: Floats,
    domain: Domain,
}

/// Its values to compute with.
#[derive(Clone, Debug)]
enum Floats {
    F32(Float32Array),
    F64(Float64Array),
}

/// The feature columns of a frame.
///
/// Accepted: integers, Float32, Float64, Decimal, Boolean and all-null columns. Nulls and NaN are
/// kept and mark a row as unusable; infinities are refused.
#[derive(Clone, Debug)]
pub struct Columns {
    names: Vec<String>,
    features: Vec<Feature>,
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
            features.push(Feature::new(&name, &array)?);
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

    /// Whether feature `d` came as 32-bit floats.
    pub fn is_f32(&self, d: usize) -> bool {
        self.features[d].source.data_type() == &DataType::Float32
    }

    /// What feature `d` can take.
    pub fn domain(&self, d: usize) -> &Domain {
        &self.features[d].domain
    }

    /// The same columns, of which feature `d` takes values between `low` and `high` only: for dtypes
    /// that Arrow does not have, such as integers of 128 bits that come as decimals.
    #[must_use]
    pub fn with_range(mut self, d: usize, low: f64, high: f64) -> Self {
        self.features[d].domain = self.features[d].domain.within(low, high);
        self
    }

    /// The value at `row` of feature `d`, `None` for null and NaN.
    pub fn value(&self, d: usize, row: usize) -> Option<f64> {
        self.features[d].floats.value(row)
    }

    /// A copy of feature `d` whose values can be changed.
    pub fn copy(&self, d: usize) -> Copied {
        Copied { feature: self.features[d].clone(), changes: Vec::new() }
    }

    /// The same of the values at `rows`, in this order.
    ///
    /// # Errors
    /// For a row that the frame does not have.
    pub fn copy_rows(&self, d: usize, rows: &UInt32Array) -> Result<Copied> {
        Ok(Copied { feature: self.features[d].take(rows)?, changes: Vec::new() })
    }
}

/// A copy of a feature, in its own dtype; everything that is not set keeps its bits, nulls and NaN
/// included.
#[derive(Clone, Debug)]
pub struct Copied {
    feature: Feature,
    changes: Vec<(usize, f64)>,
}

impl Copied {
    /// Sets the value at `row`, which the dtype is to hold (see [`Domain::nearest`]); a null stays one.
    pub fn set(&mut self, row: usize, value: f64) {
        // The value before may have more digits than the float that it is read as.
        if self.feature.floats.value(row).is_some_and(|before| before != value) {
            self.changes.push((row, value));
        }
    }

    /// As an Arrow array of the dtype that the feature came as, and which values have changed.
    pub fn finish(self) -> (ArrayRef, BooleanBuffer) {
        changed(&self.feature.source, &self.changes)
    }
}

/// An array with other values at some rows, and which of them differ from those before.
fn changed(array: &ArrayRef, changes: &[(usize, f64)]) -> (ArrayRef, BooleanBuffer) {
    type F16 = <Float16Type as ArrowPrimitiveType>::Native;
    // Conversions of floats to integers keep to the range.
    let units = |value: f64, scale: i8| (value * 10f64.powi(scale.into())).round();
    match *array.data_type() {
        DataType::Int8 => replaced::<Int8Type>(array, changes, |v| v as i8),
        DataType::Int16 => replaced::<Int16Type>(array, changes, |v| v as i16),
        DataType::Int32 => replaced::<Int32Type>(array, changes, |v| v as i32),
        DataType::Int64 => replaced::<Int64Type>(array, changes, |v| v as i64),
        DataType::UInt8 => replaced::<UInt8Type>(array, changes, |v| v as u8),
        DataType::UInt16 => replaced::<UInt16Type>(array, changes, |v| v as u16),
        DataType::UInt32 => replaced::<UInt32Type>(array, changes, |v| v as u32),
        DataType::UInt64 => replaced::<UInt64Type>(array, changes, |v| v as u64),
        DataType::Float16 => replaced::<Float16Type>(array, changes, F16::from_f64),
        DataType::Float32 => replaced::<Float32Type>(array, changes, |v| v as f32),
        DataType::Float64 => replaced::<Float64Type>(array, changes, |v| v),
        DataType::Decimal32(_, scale) => {
            replaced::<Decimal32Type>(array, changes, |v| units(v, scale) as i32)
        }
        DataType::Decimal64(_, scale) => {
            replaced::<Decimal64Type>(array, changes, |v| units(v, scale) as i64)
        }
        DataType::Decimal128(_, scale) => {
            replaced::<Decimal128Type>(array, changes, |v| units(v, scale) as i128)
        }
        DataType::Decimal256(_, scale) => {
            let native = |v| i256::from_i128(units(v, scale) as i128);
            replaced::<Decimal256Type>(array, changes, native)
        }
        DataType::Boolean => flipped(array.as_boolean(), changes),
        // A column of nulls.
        _ => (array.clone(), BooleanBuffer::new_unset(array.len())),
    }
}

fn replaced<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    changes: &[(usize, f64)],
    native: impl Fn(f64) -> T::Native,
) -> (ArrayRef, BooleanBuffer) {
    let array = array.as_primitive::<T>();
    let mut values = array.values().to_vec();
    let mut differs = vec![false; values.len()];
    for &(row, value) in changes {
        let value = native(value);
        if value != values[row] {
            (values[row], differs[row]) = (value, true);
        }
    }
    let new = PrimitiveArray::<T>::new(values.into(), array.nulls().cloned());
    (Arc::new(new.with_data_type(array.data_type().clone())), differs.into())
}

fn flipped(array: &BooleanArray, changes: &[(usize, f64)]) -> (ArrayRef, BooleanBuffer) {
    let mut values: Vec<bool> = array.values().iter().collect();
    let mut differs = vec![false; values.len()];
    for &(row, value) in changes {
        let value = value >= 0.5;
        (values[row], differs[row]) = (value, value != values[row]);
    }
    (Arc::new(BooleanArray::new(values.into(), array.nulls().cloned())), differs.into())
}

impl Feature {
    fn new(name: &str, array: &ArrayRef) -> Result<Self> {
        let floats = match array.data_type() {
            DataType::Float32 => Floats::F32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Floats::F64(array.as_primitive::<Float64Type>().clone()),
            dtype if dtype.is_numeric() || matches!(dtype, DataType::Boolean | DataType::Null) => {
                let array = cast(array, &DataType::Float64)?;
                Floats::F64(array.as_primitive::<Float64Type>().clone())
            }
            dtype => {
                return Err(Error::Dtype { column: name.into(), dtype: dtype.to_string() });
            }
        };
        match floats.first_infinite() {
            Some(row) => Err(Error::Infinite { column: name.into(), row }),
            None => {
                let domain = Domain::of(array.data_type());
                Ok(Self { source: array.clone(), floats, domain })
            }
        }
    }

    fn take(&self, rows: &UInt32Array) -> Result<Self> {
        let source = take(&self.source, rows, None)?;
        Ok(Self { source, floats: self.floats.take(rows)?, domain: self.domain })
    }
}

impl Floats {
    fn value(&self, row: usize) -> Option<f64> {
        let value = match self {
            Self::F32(array) if array.is_valid(row) => f64::from(array.value(row)),
            Self::F64(array) if array.is_valid(row) => array.value(row),
            _ => return None,
        };
        (!value.is_nan()).then_some(value)
    }

    fn take(&self, rows: &UInt32Array) -> Result<Self> {
        Ok(match self {
            Self::F32(array) => Self::F32(take(array, rows, None)?.as_primitive().clone()),
            Self::F64(array) => Self::F64(take(array, rows, None)?.as_primitive().clone()),
        })
    }

    fn first_infinite(&self) -> Option<usize> {
        match self {
            Self::F32(array) => first_infinite(array, |value| value.is_infinite()),
            Self::F64(array) => first_infinite(array, |value| value.is_infinite()),
        }
    }

    /// Values at the given rows as 64-bit floats, NaN where there is none.
    fn read(&self, rows: &Rows, start: usize, out: &mut [f64]) {
        match self {
            Self::F32(array) => read(array, rows, start, out, f64::from),
            Self::F64(array) => read(array, rows, start, out, |value| value),
        }
    }
}

/// Rows that are looked at together: the compiler can vectorise a search that does not stop.
const BLOCK: usize = 1024;

fn first_infinite<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    is_infinite: impl Fn(T::Native) -> bool,
) -> Option<usize> {
    let blocks = array.values().chunks(BLOCK).enumerate();
    let suspicious = blocks
        .filter(|(_, block)| block.iter().fold(false, |found, value| found | is_infinite(*value)));
    suspicious
        .flat_map(|(i, block)| (i * BLOCK..).zip(block))
        .find(|(row, value)| is_infinite(**value) && array.is_valid(*row))
        .map(|(row, _)| row)
}

fn read<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    rows: &Rows,
    start: usize,
    out: &mut [f64],
    widen: impl Fn(T::Native) -> f64,
) {
    let values = array.values();
    match rows {
        Rows::All(_) => {
            let values = &values[start..start + out.len()];
            out.iter_mut().zip(values).for_each(|(out, value)| *out = widen(*value));
        }
        Rows::Picked(rows) => {
            let rows = &rows[start..start + out.len()];
            out.iter_mut().zip(rows).for_each(|(out, row)| *out = widen(values[*row as usize]));
        }
    }
    if array.null_count() > 0 {
        for (t, out) in (start..).zip(out) {
            if array.is_null(rows.at(t)) {
                *out = f64::NAN;
            }
        }
    }
}

/// Rows of one series in time order, as positions in the frame.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Every row of the frame, as it comes.
    All(usize),
    /// These rows, in this order.
    Picked(Vec<u32>),
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Picked(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position in the frame of the series' row `t`.
    pub fn at(&self, t: usize) -> usize {
        match self {
            Self::All(_) => t,
            Self::Picked(rows) => rows[t] as usize,
        }
    }
}

/// One series: features, its rows in time order, and which of them can be used.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    columns: &'a Columns,
    rows: Rows,
    usable: Vec<bool>,
    labelled: Vec<bool>,
    gaps: Vec<usize>,
}

impl<'a> Series<'a> {
    /// A series of `rows` of `columns`.
    pub fn new(columns: &'a Columns, rows: Rows) -> Self {
        let mut series = Self {
            columns,
            usable: vec![true; rows.len()],
            rows,
            labelled: Vec::new(),
            gaps: Vec::new(),
        };
        let mut usable = std::mem::take(&mut series.usable);
        for d in 0..columns.width() {
            series.read_blocks(d, |start, values| {
                let usable = &mut usable[start..start + values.len()];
                usable.iter_mut().zip(values).for_each(|(usable, x)| *usable &= !x.is_nan());
            });
        }
        series.usable = usable;
        series
    }

    /// Every row of `columns` as one series.
    pub fn whole(columns: &'a Columns) -> Self {
        Self::new(columns, Rows::All(columns.rows()))
    }

    /// Marks known anomalies (frame positions; null counts as normal): they are left out of
    /// training and no anomaly is generated onto them.
    pub fn with_labels(mut self, labels: &BooleanArray) -> Self {
        self.labelled = (0..self.len())
            .map(|t| labels.is_valid(self.rows.at(t)) && labels.value(self.rows.at(t)))
            .collect();
        self
    }

    /// Marks the rows (series positions, ascending) before which time jumps: no window crosses one.
    pub fn with_gaps(mut self, gaps: Vec<usize>) -> Self {
        self.gaps = gaps;
        self
    }

    /// The frame's columns.
    pub fn columns(&self) -> &'a Columns {
        self.columns
    }

    /// Number of rows T.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the series has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Position in the frame of the series' row `t`.
    pub fn row(&self, t: usize) -> usize {
        self.rows.at(t)
    }

    /// Value of feature `d` at the series' row `t`; `None` for null and NaN.
    pub fn value(&self, d: usize, t: usize) -> Option<f64> {
        self.columns.value(d, self.rows.at(t))
    }

    /// Values of feature `d` from the series' row `start` on, NaN for null and NaN.
    ///
    /// `start` and the rows of `out` must lie within the series.
    pub fn read(&self, d: usize, start: usize, out: &mut [f64]) {
        self.columns.features[d].floats.read(&self.rows, start, out);
    }

    /// All values of feature `d`, block by block: first row and values of each.
    fn read_blocks(&self, d: usize, mut take: impl FnMut(usize, &[f64])) {
        let mut values = [0.0; BLOCK];
        for start in (0..self.len()).step_by(BLOCK) {
            let block = &mut values[..BLOCK.min(self.len() - start)];
            self.read(d, start, block);
            take(start, block);
        }
    }

    /// Whether row `t` has a value in every feature.
    pub fn is_usable(&self, t: usize) -> bool {
        self.usable[t]
    }

    /// Whether row `t` has a value in every feature and is not a known anomaly.
    pub fn is_clean(&self, t: usize) -> bool {
        self.usable[t] && !self.labelled.get(t).copied().unwrap_or(false)
    }

    /// Row positions before which time jumps.
    pub fn gaps(&self) -> &[usize] {
        &self.gaps
    }

    /// Hash of everything that a result can depend on: names, values, labels and gaps. It names the
    /// random streams of a series and its place in a fit cache; it does not depend on where the
    /// rows lie in the frame.
    pub fn content_hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(&(self.len() as u64).to_le_bytes());
        for (d, name) in self.columns.names.iter().enumerate() {
            hash.update(name.as_bytes());
            let mut bytes = [0; BLOCK * size_of::<u64>()];
            self.read_blocks(d, |_, values| {
                let (words, _) = bytes.as_chunks_mut();
                for (word, value) in words.iter_mut().zip(values) {
                    let bits = if value.is_nan() { u64::MAX } else { value.to_bits() };
                    *word = bits.to_le_bytes();
                }
                hash.update(&bytes[..size_of_val(values)]);
            });
        }
        let clean: Vec<u8> = (0..self.len()).map(|t| u8::from(self.is_clean(t))).collect();
        hash.update(&clean);
        for gap in &self.gaps {
            hash.update(&(*gap as u64).to_le_bytes());
        }
        hash.digest128()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int16Array, Int64Array, StringArray, UInt64Array};

    use super::*;

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
            // Read as a float and set again: nothing changes.
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
