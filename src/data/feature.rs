//! One feature: its Arrow array, and floats for computation.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array, PrimitiveArray,
    UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::domain::Domain;
use crate::error::{Error, Result};

/// One feature.
#[derive(Clone, Debug)]
pub(super) struct FeatureColumn {
    pub source: ArrayRef,
    pub floats: Floats,
    pub domain: Domain,
}

/// Values for computation.
#[derive(Clone, Debug)]
pub(super) enum Floats {
    F32(Float32Array),
    F64(Float64Array),
}

impl FeatureColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self> {
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

    pub(super) fn take(&self, rows: &UInt32Array) -> Result<Self> {
        let source = take(&self.source, rows, None)?;
        Ok(Self { source, floats: self.floats.take(rows)?, domain: self.domain })
    }
}

impl Floats {
    pub(super) fn value(&self, row: usize) -> Option<f64> {
        let value = match self {
            Self::F32(array) if array.is_valid(row) => f64::from(array.value(row)),
            Self::F64(array) if array.is_valid(row) => array.value(row),
            _ => return None,
        };
        (!value.is_nan()).then_some(value)
    }

    pub(super) fn take(&self, rows: &UInt32Array) -> Result<Self> {
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

    /// Values at the given rows as 64-bit floats; NaN for missing ones.
    pub(super) fn read(&self, rows: &Rows, start: usize, out: &mut [f64]) {
        match self {
            Self::F32(array) => read(array, rows, start, out, f64::from),
            Self::F64(array) => read(array, rows, start, out, |value| value),
        }
    }
}

/// Rows that are searched together: the compiler can vectorise a loop without an early exit.
pub(super) const BLOCK: usize = 1024;

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

/// Rows of one series in time order, as row numbers of the frame.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Every row of the frame, in its order.
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

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frame row of the series' row `t`.
    pub fn at(&self, t: usize) -> usize {
        match self {
            Self::All(_) => t,
            Self::Picked(rows) => rows[t] as usize,
        }
    }
}
