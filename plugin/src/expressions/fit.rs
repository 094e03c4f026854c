//! `fit(...)`: one model of all rows, as bytes.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use xxhash_rust::xxh3::xxh3_128;

use super::{feature_fields, values_field};
use crate::cache;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::models;
use crate::pool::CallControl;

fn fit_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Binary))
}

#[polars_expr(output_type_func_with_kwargs=fit_output)]
fn fit(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_groups("fit")?;
    let frame = Frame::new(inputs, &kwargs)?;
    let series: Vec<_> = frame.groups.iter().map(|group| frame.series(group)).collect();
    let control = CallControl::new();
    let fitted = models::fit(&frame, &series, kwargs.strict, &control).map_err(to_polars)?;
    let bytes = fitted
        .iter()
        .map(|fitted| fitted.as_ref().map(|model| encode(model)).transpose())
        .collect::<genias::Result<Vec<_>>>()
        .map_err(to_polars)?;
    Ok(BinaryChunked::from_iter_options(frame.name, bytes.into_iter()).into_series())
}

fn encode(model: &genias::Model) -> genias::Result<Vec<u8>> {
    let bytes = model.to_bytes()?;
    if let Some(seconds) = model.seconds {
        cache::remember_seconds(xxh3_128(&bytes), seconds);
    }
    Ok(bytes)
}
