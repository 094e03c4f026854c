//! `fit(...)`: one model of all rows, as bytes; with group keys, the keys and one model per group.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use xxhash_rust::xxh3::xxh3_128;

use super::{feature_fields, values_field, with_keys};
use crate::cache;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::models::{self, Detector};

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
    let plan = models::plan(&frame, Detector::Added);
    let count = frame.groups.len();
    let mut column = BinaryChunkedBuilder::new(frame.name.clone(), count);
    // Block by block, so that only the bytes of all models are in memory at once.
    for block in frame.groups.chunks(models::groups_at_a_time()?) {
        let series = models::series(&frame, block)?;
        let fitted = models::fit_detectors(&frame, block, &series, kwargs.strict, &plan)
            .map_err(to_polars)?;
        for fitted in fitted {
            match fitted {
                Some(model) => column.append_value(encode(&model).map_err(to_polars)?),
                None => column.append_null(),
            }
        }
    }
    frame.warn()?;
    let column = column.finish().into_series();
    if kwargs.inputs.by == 0 {
        return Ok(column);
    }
    let mut fields = frame.keys(&vec![1; count])?;
    fields.push(column.with_name(MODEL.into()));
    Ok(StructChunked::from_series(frame.name, count, fields.iter())?.into_series())
}

fn encode(model: &genias::Model) -> genias::Result<Vec<u8>> {
    let bytes = model.to_bytes()?;
    if let Some(seconds) = model.seconds {
        cache::remember_seconds(xxh3_128(&bytes), seconds);
    }
    Ok(bytes)
}
