//! `score(...)`: how anomalous every row is.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::for_each_group;

fn score_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Float32))
}

#[polars_expr(output_type_func_with_kwargs=score_output)]
fn score(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let mut scores: Vec<Option<f32>> = vec![None; frame.columns.rows()];
    for_each_group(
        &frame,
        kwargs.strict,
        |model, series, control| model.score(series, control),
        |series, answer| {
            for (t, score) in answer.unwrap_or_default().into_iter().enumerate() {
                scores[series.row(t)] = score;
            }
        },
    )?;
    Ok(Float32Chunked::from_iter_options(frame.name, scores.into_iter()).into_series())
}
