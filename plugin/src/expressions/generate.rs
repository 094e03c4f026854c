//! `generate(...)`: the rows with anomalies in them, labels, ids and masks.

use genias::generate::Synthetic;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, float_dtype, suffixed, values_field};
use crate::bridge::to_series;
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::for_each_group;
use crate::pool::pool;

const IS_ANOMALY: &str = "is_anomaly";
const ANOMALY_ID: &str = "anomaly_id";
const MASK: &str = "_mask";

fn generate_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    let features = feature_fields(inputs)?;
    let values = features.iter().map(|feature| {
        Field::new(suffixed(feature.name(), &kwargs.suffix), float_dtype(feature.dtype()))
    });
    let mut fields: Vec<Field> = values.collect();
    fields.push(Field::new(IS_ANOMALY.into(), DataType::Boolean));
    fields.push(Field::new(ANOMALY_ID.into(), DataType::UInt32));
    let mask = |feature: &Field| Field::new(suffixed(feature.name(), MASK), DataType::Boolean);
    fields.extend(features.iter().map(mask));
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields)))
}

#[polars_expr(output_type_func_with_kwargs=generate_output)]
fn generate(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let config = &frame.options.generate;
    let mut synthetic = pool()?.install(|| Synthetic::new(&frame.columns));
    for_each_group(
        &frame,
        kwargs.strict,
        |model, series, control| model.generate(series, config, control),
        |series, anomalies| {
            if let Some(anomalies) = anomalies {
                synthetic.add(series, &anomalies);
            }
        },
    )?;
    let columns = pool()?.install(|| synthetic.finish());
    let names = frame.columns.names();
    let mut fields = Vec::with_capacity(2 * names.len() + 2);
    for (name, values) in names.iter().zip(&columns.values) {
        fields.push(to_series(suffixed(name, &kwargs.suffix), values)?);
    }
    fields.push(to_series(IS_ANOMALY.into(), &columns.is_anomaly)?);
    fields.push(to_series(ANOMALY_ID.into(), &columns.anomaly_id)?);
    for (name, mask) in names.iter().zip(&columns.masks) {
        fields.push(to_series(suffixed(name, MASK), mask)?);
    }
    let rows = frame.columns.rows();
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
