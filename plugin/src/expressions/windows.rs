//! `windows(size, stride)`: the rows as overlapping windows.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use serde_json::Value;

use super::{feature_fields, is_multivariate, values_field};
use crate::bridge::{array_dtype, float_arrays, window_shape};
use crate::call::{to_polars, Call};
use crate::inputs::Frame;

/// `size` and `stride`, taken out of the options.
fn sizes(call: &mut Call) -> PolarsResult<(usize, usize)> {
    let mut take = |name: &'static str| match call.options.remove(name) {
        None | Some(Value::Null) => Ok(1),
        Some(value) => value
            .as_u64()
            .filter(|n| *n >= 1)
            .map(|n| n as usize)
            .ok_or_else(|| to_polars(genias::Error::parameter(name, value, "an integer >= 1"))),
    };
    Ok((take("size")?, take("stride")?))
}

fn windows_output(inputs: &[Field], mut kwargs: Call) -> PolarsResult<Field> {
    let (size, _) = sizes(&mut kwargs)?;
    let features = feature_fields(inputs)?.len();
    let values = values_field(inputs)?;
    let shape = window_shape(size, features, is_multivariate(values));
    Ok(Field::new(values.name().clone(), array_dtype(DataType::Float32, &shape)))
}

#[polars_expr(output_type_func_with_kwargs=windows_output)]
fn windows(inputs: &[Series], mut kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_groups("windows")?;
    let (size, stride) = sizes(&mut kwargs)?;
    let frame = Frame::new(inputs, &kwargs)?;
    let width = frame.columns.width();
    let (mut values, mut valid) = (Vec::new(), Vec::new());
    for group in &frame.groups {
        let series = frame.series(group);
        let starts =
            genias::windows::starts(std::slice::from_ref(&(0..series.len())), size, stride);
        values.reserve(starts.len() * size * width);
        for t in starts.into_iter().flat_map(|start| start..start + size) {
            for d in 0..width {
                let value = series.value(d, t);
                values.push(value.unwrap_or(0.0) as f32);
                valid.push(value.is_some());
            }
        }
    }
    float_arrays(&frame.name, values, Some(valid), &frame.window_shape(size))
}
