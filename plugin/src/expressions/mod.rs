//! One file per expression: its output type and the function.

mod alarms;
mod backbones;
mod compare;
mod describe;
mod embed;
mod events;
mod expect;
mod explain;
mod fit;
mod fleet;
mod generate;
mod inject;
mod label;
pub mod metrics;
mod pairs;
mod reconstruct;
mod score;
mod sensitivity;
mod standalone;
mod stretches;
mod synthetic;
mod windows;

use polars::prelude::*;

use crate::call::Call;
use crate::inputs::check_dtype;

/// The features of the first argument, as fields: those of a struct, or the column itself.
fn feature_fields(inputs: &[Field]) -> PolarsResult<Vec<Field>> {
    let values = values_field(inputs)?;
    let fields = match values.dtype() {
        DataType::Struct(fields) => fields.clone(),
        _ => vec![values.clone()],
    };
    fields.iter().try_for_each(|field| check_dtype(field.name(), field.dtype()))?;
    Ok(fields)
}

/// Prepends the group keys (the last arguments) to the fields of a result that does not have the
/// rows of the input; `None` without keys.
fn with_keys(inputs: &[Field], call: &Call, fields: Vec<Field>) -> PolarsResult<Option<Field>> {
    let by = call.inputs.by;
    if by == 0 {
        return Ok(None);
    }
    let keys = inputs.iter().skip(inputs.len().saturating_sub(by)).cloned();
    let name = values_field(inputs)?.name().clone();
    Ok(Some(Field::new(name, DataType::Struct(keys.chain(fields).collect()))))
}

/// The first argument.
fn values_field(inputs: &[Field]) -> PolarsResult<&Field> {
    inputs.first().ok_or_else(|| polars_err!(InvalidOperation: "the values argument is missing"))
}

/// Reconstructed values are Float32 where the input is, Float64 elsewhere.
fn float_dtype(dtype: &DataType) -> DataType {
    match dtype {
        DataType::Float32 => DataType::Float32,
        _ => DataType::Float64,
    }
}

/// Whether windows have a feature axis.
fn is_multivariate(field: &Field) -> bool {
    matches!(field.dtype(), DataType::Struct(_))
}

/// `{feature}{suffix}`.
fn suffixed(name: &str, suffix: &str) -> PlSmallStr {
    format!("{name}{suffix}").into()
}
