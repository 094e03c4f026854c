//! `fit(...)`: one model of all rows, as bytes; with group keys, the keys and one model per group.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use xxhash_rust::xxh3::xxh3_128;

use super::{feature_fields, values_field, with_keys};
use crate::cache;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::models;
use crate::pool::CallControl;

const MODEL: &str = "model";

fn fit_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    let grouped = with_keys(inputs, &kwargs, vec![Field::new(MODEL.into(), DataType::Binary)])?;
    let name = values_field(inputs)?.name().clone();
    Ok(grouped.unwrap_or_else(|| Field::new(name, DataType::Binary)))
}

#[polars_expr(output_type_func_with_kwargs=fit_output)]
fn fit(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let series: Vec<_> = frame.groups.iter().map(|group| frame.series(group)).collect();
    let control = CallControl::new();
    let fitted = models::fit(&frame, &series, kwargs.strict, &control).map_err(to_polars)?;
    let bytes = fitted
        .iter()
        .map(|fitted| fitted.as_ref().map(|model| encode(model)).transpose())
        .collect::<genias::Result<Vec<_>>>()
        .map_err(to_polars)?;
    let models = |name| BinaryChunked::from_iter_options(name, bytes.iter().cloned()).into_series();
    if kwargs.inputs.by == 0 {
        return Ok(models(frame.name));
    }
    let mut fields = frame.keys(&vec![1; bytes.len()])?;
    fields.push(models(MODEL.into()));
    Ok(StructChunked::from_series(frame.name, bytes.len(), fields.iter())?.into_series())
}

fn encode(model: &genias::Model) -> genias::Result<Vec<u8>> {
    let bytes = model.to_bytes()?;
    if let Some(seconds) = model.seconds {
        cache::remember_seconds(xxh3_128(&bytes), seconds);
    }
    Ok(bytes)
}
