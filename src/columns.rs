//! Step 1, columns: Arrow columns in, and a view of the rows of one series.
//!
//! [`Columns`] holds the features of a frame as 32- or 64-bit floats (other numeric types are cast
//! once); [`Series`] is one group of it, in time order, without copying a value.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Float32Array, Float64Array,
    PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};
use crate::positions::Positions;

/// One feature.
#[derive(Clone, Debug)]
enum Feature {
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

    /// Whether feature `d` came as 32-bit floats (and so goes out as such).
    pub fn is_f32(&self, d: usize) -> bool {
        matches!(self.features[d], Feature::F32(_))
    }

    /// Largest finite value of the type that feature `d` goes out as.
    pub fn largest(&self, d: usize) -> f64 {
        if self.is_f32(d) { f64::from(f32::MAX) } else { f64::MAX }
    }

    /// The value at `row` of feature `d`, `None` for null and NaN.
    pub fn value(&self, d: usize, row: usize) -> Option<f64> {
        let value = match &self.features[d] {
            Feature::F32(array) if array.is_valid(row) => f64::from(array.value(row)),
            Feature::F64(array) if array.is_valid(row) => array.value(row),
            _ => return None,
        };
        (!value.is_nan()).then_some(value)
    }

    /// A copy of feature `d` whose values can be changed; everything else keeps its bits, nulls and
    /// NaN included.
    pub fn copy(&self, d: usize) -> Copied {
        match &self.features[d] {
            Feature::F32(array) => Copied::F32(array.values().to_vec(), array.nulls().cloned()),
            Feature::F64(array) => Copied::F64(array.values().to_vec(), array.nulls().cloned()),
        }
    }
}

/// A copy of a feature, of the float type that it came as.
#[derive(Clone, Debug)]
pub enum Copied {
    /// 32-bit floats.
    F32(Vec<f32>, Option<NullBuffer>),
    /// 64-bit floats.
    F64(Vec<f64>, Option<NullBuffer>),
}

impl Copied {
    /// Sets the value at `row`; a null stays one.
    pub fn set(&mut self, row: usize, value: f64) {
        match self {
            Self::F32(values, _) => values[row] = value as f32,
            Self::F64(values, _) => values[row] = value,
        }
    }

    /// As an Arrow array.
    pub fn finish(self) -> ArrayRef {
        match self {
            Self::F32(values, nulls) => Arc::new(Float32Array::new(values.into(), nulls)),
            Self::F64(values, nulls) => Arc::new(Float64Array::new(values.into(), nulls)),
        }
    }
}

impl Feature {
    fn new(name: &str, array: &ArrayRef) -> Result<Self> {
        let feature = match array.data_type() {
            DataType::Float32 => Self::F32(array.as_primitive::<Float32Type>().clone()),
            DataType::Float64 => Self::F64(array.as_primitive::<Float64Type>().clone()),
            dtype if dtype.is_numeric() || matches!(dtype, DataType::Boolean | DataType::Null) => {
                let array = cast(array, &DataType::Float64)?;
                Self::F64(array.as_primitive::<Float64Type>().clone())
            }
            dtype => {
                return Err(Error::Dtype { column: name.into(), dtype: dtype.to_string() });
            }
        };
        match feature.first_infinite() {
            Some(row) => Err(Error::Infinite { column: name.into(), row }),
            None => Ok(feature),
        }
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
    positions: Positions,
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
            positions: Positions::default(),
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

    /// Says which windows score a row.
    pub fn with_positions(mut self, positions: Positions) -> Self {
        self.positions = positions;
        self
    }

    /// The same series with the values of `columns`, whose rows are those of the series in its order.
    pub(crate) fn replaced<'b>(&self, columns: &'b Columns) -> Series<'b> {
        let series = Series::whole(columns).with_gaps(self.gaps.clone());
        Series { labelled: self.labelled.clone(), ..series }
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
        self.columns.features[d].read(&self.rows, start, out);
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

    /// Number of features without a value at row `t`.
    pub fn missing(&self, t: usize) -> usize {
        if self.usable[t] {
            return 0;
        }
        (0..self.columns.width()).filter(|&d| self.value(d, t).is_none()).count()
    }

    /// Whether every row has a value in every feature.
    pub fn is_complete(&self) -> bool {
        self.usable.iter().all(|usable| *usable)
    }

    /// Whether row `t` is a known anomaly.
    pub fn is_labelled(&self, t: usize) -> bool {
        self.labelled.get(t).copied().unwrap_or(false)
    }

    /// Whether row `t` has a value in every feature and is not a known anomaly.
    pub fn is_clean(&self, t: usize) -> bool {
        self.usable[t] && !self.is_labelled(t)
    }

    /// Which windows score a row.
    pub fn positions(&self) -> &Positions {
        &self.positions
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
    use arrow::array::{Decimal128Array, Int16Array, StringArray};

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
        let out = copy.finish();
        let out = out.as_primitive::<Float64Type>();
        assert_eq!((out.value(0), out.is_null(1)), (9.0, true));
        assert_eq!(out.value(2).to_bits(), odd_nan.to_bits());
        assert_eq!(out.value(3).to_bits(), (-0.0f64).to_bits());
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
