//! Conversion between Polars and Arrow arrays through the C data interface, without copying values.

use arrow::array::{make_array, ArrayRef};
use arrow::ffi::{from_ffi, to_ffi, FFI_ArrowArray, FFI_ArrowSchema};
use polars::prelude::*;
use polars_arrow::array::{FixedSizeListArray, PrimitiveArray};
use polars_arrow::bitmap::Bitmap;
use polars_arrow::ffi;

use crate::call::to_polars;

/// A Series of numbers, Booleans or Arrays of numbers as one Arrow array.
pub fn to_arrow(series: &Series) -> PolarsResult<ArrayRef> {
    let series = series.rechunk();
    export(&series, series.to_arrow(0, CompatLevel::newest()))
}

/// A feature as one Arrow array of its own dtype. Arrow has no 128-bit integers: they become
/// decimals with the same bits.
///
/// # Errors
/// If an unsigned 128-bit integer exceeds the signed range.
pub fn feature_to_arrow(series: &Series) -> PolarsResult<ArrayRef> {
    let signed = match series.dtype() {
        DataType::Int128 => series.clone(),
        DataType::UInt128 => {
            series.strict_cast(&DataType::Int128).map_err(|_| too_large(series))?
        }
        // A null column has no buffers to export.
        DataType::Null => return to_arrow(&series.cast(&DataType::Float64)?),
        _ => return to_arrow(series),
    };
    let integers = signed.rechunk().i128()?.downcast_as_array().clone();
    export(series, integers.to(ArrowDataType::Decimal(DECIMAL_DIGITS, 0)).boxed())
}

/// Precision of the decimal type that holds 128-bit integers.
const DECIMAL_DIGITS: usize = 38;

fn too_large(series: &Series) -> PolarsError {
    let dtype = format!("{} with values of 2^127 or more", series.dtype());
    to_polars(genias::Error::Dtype { column: series.name().to_string(), dtype })
}

/// The value range of a dtype whose Arrow dtype ([`feature_to_arrow`]) has another range.
pub fn range(dtype: &DataType) -> Option<(f64, f64)> {
    let most = i128::MAX as f64;
    match dtype {
        DataType::Int128 => Some((i128::MIN as f64, most)),
        DataType::UInt128 => Some((0.0, most)),
        _ => None,
    }
}

/// Converts a feature back from [`feature_to_arrow`] to a Series of its dtype.
pub fn to_feature(
    name: PlSmallStr,
    array: &dyn arrow::array::Array,
    dtype: &DataType,
) -> PolarsResult<Series> {
    let series = to_series(name, array)?;
    match dtype {
        DataType::Int128 => Ok(series.to_physical_repr().into_owned()),
        DataType::UInt128 => series.to_physical_repr().strict_cast(dtype),
        DataType::Null => series.cast(dtype),
        _ => Ok(series),
    }
}

fn export(series: &Series, array: Box<dyn polars_arrow::array::Array>) -> PolarsResult<ArrayRef> {
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
    // SAFETY: the schema was exported from the field of this array.
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

/// An Array column from flat columns of one dtype, one per feature.
pub fn feature_arrays(name: &str, features: &[Series], shape: &[usize]) -> PolarsResult<Series> {
    let values = interleaved(features)?.rechunk();
    arrays(name, values.to_arrow(0, CompatLevel::newest()), shape)
}

/// Row after row of columns of one dtype.
fn interleaved(columns: &[Series]) -> PolarsResult<Series> {
    let [first, rest @ ..] = columns else {
        polars_bail!(InvalidOperation: "at least one feature column is needed")
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let (rows, mut all) = (first.len(), first.clone());
    rest.iter().try_for_each(|column| all.append(column).map(|_| ()))?;
    polars_ensure!(
        all.len() <= IdxSize::MAX as usize,
        ComputeError: "{} values exceed the capacity of a column of windows; raise `window_stride`", all.len()
    );
    let at = (0..rows).flat_map(|t| (0..columns.len()).map(move |d| (d * rows + t) as IdxSize));
    all.take(&IdxCa::from_vec(PlSmallStr::EMPTY, at.collect()))
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
