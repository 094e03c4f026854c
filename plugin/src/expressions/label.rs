//! `label(...)`: which rows score above the threshold.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

fn label_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Boolean))
}

#[polars_expr(output_type_func_with_kwargs=label_output)]
fn label(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let (threshold, config) = (frame.options.threshold, &frame.options.score);
    let mut labels: Vec<Option<bool>> = vec![None; frame.columns.rows()];
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| model.label_with(series, threshold, config, control),
        |series, answer| {
            for (t, label) in answer.unwrap_or_default().into_iter().enumerate() {
                labels[series.row(t)] = label;
            }
        },
    )?;
    Ok(BooleanChunked::from_iter_options(frame.name, labels.into_iter()).into_series())
}
