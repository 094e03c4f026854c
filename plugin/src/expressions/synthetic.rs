//! The columns that `generate` and `inject` give: values, labels, ids, kinds and masks.

use genias::generate::Synthetic;
use polars::prelude::*;

use super::{feature_fields, float_dtype, suffixed, values_field};
use crate::bridge::to_series;
use crate::inputs::Frame;
use crate::pool::pool;

const IS_ANOMALY: &str = "is_anomaly";
const ANOMALY_ID: &str = "anomaly_id";
const ANOMALY_KIND: &str = "anomaly_kind";
const MASK: &str = "_mask";

/// The struct of these columns; `kinds`: whether there is a column of them.
pub fn synthetic_field(inputs: &[Field], suffix: &str, kinds: bool) -> PolarsResult<Field> {
    let features = feature_fields(inputs)?;
    let values = features
        .iter()
        .map(|feature| Field::new(suffixed(feature.name(), suffix), float_dtype(feature.dtype())));
    let mut fields: Vec<Field> = values.collect();
    fields.push(Field::new(IS_ANOMALY.into(), DataType::Boolean));
    fields.push(Field::new(ANOMALY_ID.into(), DataType::UInt32));
    if kinds {
        fields.push(Field::new(ANOMALY_KIND.into(), DataType::String));
    }
    let mask = |feature: &Field| Field::new(suffixed(feature.name(), MASK), DataType::Boolean);
    fields.extend(features.iter().map(mask));
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields)))
}

/// The same as a column.
pub fn synthetic_column(
    frame: Frame,
    synthetic: Synthetic,
    suffix: &str,
    kinds: bool,
) -> PolarsResult<Series> {
    let kinds = kinds.then(|| synthetic.anomaly_kind());
    let columns = pool()?.install(|| synthetic.finish());
    let names = frame.columns.names();
    let mut fields = Vec::with_capacity(2 * names.len() + 3);
    for (name, values) in names.iter().zip(&columns.values) {
        fields.push(to_series(suffixed(name, suffix), values)?);
    }
    fields.push(to_series(IS_ANOMALY.into(), &columns.is_anomaly)?);
    fields.push(to_series(ANOMALY_ID.into(), &columns.anomaly_id)?);
    if let Some(kinds) = kinds {
        fields.push(to_series(ANOMALY_KIND.into(), &kinds)?);
    }
    for (name, mask) in names.iter().zip(&columns.masks) {
        fields.push(to_series(suffixed(name, MASK), mask)?);
    }
    let rows = frame.columns.rows();
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
