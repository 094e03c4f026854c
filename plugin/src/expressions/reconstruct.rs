//! `reconstruct(...)`: the model's reconstruction of every row, in input units.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, float_dtype, suffixed, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

fn reconstruct_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    let fields = feature_fields(inputs)?
        .iter()
        .map(|field| Field::new(suffixed(field.name(), &kwargs.suffix), float_dtype(field.dtype())))
        .collect();
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields)))
}

#[polars_expr(output_type_func_with_kwargs=reconstruct_output)]
fn reconstruct(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let rows = frame.columns.rows();
    let mut values: Vec<Vec<Option<f64>>> = vec![vec![None; rows]; frame.columns.width()];
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::None,
        |model, series, control| model.reconstruct(series, control),
        |series, answer| {
            let Some(answer) = answer else { return };
            for (column, found) in values.iter_mut().zip(&answer.values) {
                for (t, (value, covered)) in found.iter().zip(&answer.covered).enumerate() {
                    column[series.row(t)] = covered.then_some(*value);
                }
            }
        },
    )?;
    let fields = frame
        .columns
        .names()
        .iter()
        .zip(values)
        .enumerate()
        .map(|(d, (name, column))| {
            let name = suffixed(name, &kwargs.suffix);
            let column = Float64Chunked::from_iter_options(name, column.into_iter()).into_series();
            if frame.columns.is_f32(d) {
                column.cast(&DataType::Float32)
            } else {
                Ok(column)
            }
        })
        .collect::<PolarsResult<Vec<_>>>()?;
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
