//! `standalone()`: models with their backbones, as bytes that need no other column.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::values_field;
use crate::call::{to_polars, Call};
use crate::stored::Stored;

fn standalone_output(inputs: &[Field], _kwargs: Call) -> PolarsResult<Field> {
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Binary))
}

#[polars_expr(output_type_func_with_kwargs=standalone_output)]
fn standalone(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_options("standalone")?;
    let stored = Stored::of(&inputs[0])?;
    let mut column = BinaryChunkedBuilder::new(inputs[0].name().clone(), stored.len());
    for row in 0..stored.len() {
        match stored.get(row) {
            Some((model, None)) => column.append_value(model),
            Some(parts) => {
                let model = stored.read(parts).and_then(|model| model.to_bytes());
                column.append_value(model.map_err(to_polars)?);
            }
            None => column.append_null(),
        }
    }
    Ok(column.finish().into_series())
}
