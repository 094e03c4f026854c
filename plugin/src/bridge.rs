//! Between Polars' arrays and Arrow's, through the C data interface, without copying values.

use arrow::array::{make_array, ArrayRef};
use arrow::ffi::{from_ffi, to_ffi, FFI_ArrowArray, FFI_ArrowSchema};
use polars::prelude::*;
use polars_arrow::array::{BooleanArray, FixedSizeListArray, PrimitiveArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::ffi;

use crate::call::to_polars;

/// A Series of numbers, Booleans or Arrays of numbers as one Arrow array.
pub fn to_arrow(series: &Series) -> PolarsResult<ArrayRef> {
    let series = series.rechunk();
    let array = series.to_arrow(0, CompatLevel::newest());
    let field = ArrowField::new(series.name().clone(), array.dtype().clone(), true);
    let schema = ffi::export_field_to_c(&field);
    let array = ffi::export_array_to_c(array);
    // SAFETY: both types are the `repr(C)` structs of the Arrow C data interface, and ownership
    // moves: the release callback runs once, with the new owner.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<ffi::ArrowArray, FFI_ArrowArray>(array),
            std::mem::transmute::<ffi::ArrowSchema, FFI_ArrowSchema>(schema),
        )
    };
    // SAFETY: the schema was exported from the field of this very array.
    let data = unsafe { from_ffi(array, &schema) }.map_err(arrow_error)?;
    Ok(make_array(data))
}

/// An Arrow array as a Series.
pub fn to_series(name: PlSmallStr, array: &dyn arrow::array::Array) -> PolarsResult<Series> {
    let (array, schema) = to_ffi(&array.to_data()).map_err(arrow_error)?;
    // SAFETY: as in `to_arrow`.
    let (array, schema) = unsafe {
        (
            std::mem::transmute::<FFI_ArrowArray, ffi::ArrowArray>(array),
            std::mem::transmute::<FFI_ArrowSchema, ffi::ArrowSchema>(schema),
        )
    };
    // SAFETY: array and schema were exported together.
    let array = unsafe {
        let field = ffi::import_field_from_c(&schema)?;
        ffi::import_array_from_c(array, field.dtype().clone())?
    };
    Series::try_from((name, array))
}

fn arrow_error(error: arrow::error::ArrowError) -> PolarsError {
    to_polars(error.into())
}

/// Shape of one element of an Array column: (W), or (W, D) for several features.
pub fn window_shape(window: usize, features: usize, multivariate: bool) -> Vec<usize> {
    if multivariate {
        vec![window, features]
    } else {
        vec![window]
    }
}

/// The dtype of an Array column whose elements have this shape.
pub fn array_dtype(inner: DataType, shape: &[usize]) -> DataType {
    shape.iter().rev().fold(inner, |inner, &width| DataType::Array(Box::new(inner), width))
}

/// A Float32 Array column from flat values, with nulls where `valid` is false.
pub fn float_arrays(
    name: &str,
    values: Vec<f32>,
    valid: Option<Vec<bool>>,
    shape: &[usize],
) -> PolarsResult<Series> {
    let validity = valid.map(|valid| valid.into_iter().collect::<Bitmap>());
    let array = PrimitiveArray::new(ArrowDataType::Float32, values.into(), validity);
    arrays(name, array.boxed(), shape)
}

/// A Boolean Array column from flat values.
pub fn boolean_arrays(name: &str, values: &[bool], shape: &[usize]) -> PolarsResult<Series> {
    arrays(name, BooleanArray::from_slice(values).boxed(), shape)
}

fn arrays(
    name: &str,
    mut values: Box<dyn polars_arrow::array::Array>,
    shape: &[usize],
) -> PolarsResult<Series> {
    for &width in shape.iter().rev() {
        let dtype = FixedSizeListArray::default_datatype(values.dtype().clone(), width);
        let length = values.len() / width.max(1);
        values = FixedSizeListArray::new(dtype, length, values, None).boxed();
    }
    Series::try_from((PlSmallStr::from_str(name), values))
}
