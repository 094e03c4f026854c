//! A copy of a feature with changed values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, make_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};

use super::feature::FeatureColumn;

/// A copy of a feature in its own dtype. Values that are not set keep their bits, nulls and NaN
/// included.
#[derive(Clone, Debug)]
pub struct Copied {
    pub(super) feature: FeatureColumn,
    pub(super) changes: Vec<(usize, f64)>,
    /// Rows whose value is removed.
    pub(super) cleared: Vec<usize>,
}

impl Copied {
    /// Sets the value at `row`, which the dtype must be able to hold (see [`Domain::nearest`]); a
    /// null stays null.
    pub fn set(&mut self, row: usize, value: f64) {
        // The previous value may have more digits than its float.
        if self.feature.floats.value(row).is_some_and(|before| before != value) {
            self.changes.push((row, value));
        }
    }

    /// Removes the value at `row`: it is null afterwards.
    pub fn clear(&mut self, row: usize) {
        if self.feature.floats.value(row).is_some() {
            self.cleared.push(row);
        }
    }

    /// The Arrow array in the dtype of the feature, and which values changed.
    pub fn finish(self) -> (ArrayRef, BooleanBuffer) {
        let (array, changed) = changed(&self.feature.source, &self.changes);
        if self.cleared.is_empty() {
            return (array, changed);
        }
        let (mut kept, mut differs) = (vec![true; array.len()], changed.iter().collect::<Vec<_>>());
        for row in self.cleared {
            (kept[row], differs[row]) = (false, true);
        }
        (with_nulls(&array, NullBuffer::from(kept)), differs.into())
    }
}

/// An array that also has the nulls of `kept`.
fn with_nulls(array: &ArrayRef, kept: NullBuffer) -> ArrayRef {
    let nulls = NullBuffer::union(array.nulls(), Some(&kept));
    match array.to_data().into_builder().nulls(nulls).build() {
        Ok(data) => make_array(data),
        // Only a wrong length fails.
        Err(_) => array.clone(),
    }
}

/// An array with some values replaced, and which of them changed.
fn changed(array: &ArrayRef, changes: &[(usize, f64)]) -> (ArrayRef, BooleanBuffer) {
    type F16 = <Float16Type as ArrowPrimitiveType>::Native;
    // Conversion of floats to integers saturates.
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
        // A null column.
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
