//! The output columns of `generate` and `inject`: values, labels, ids, kinds and masks.

use genias::anomaly::Synthetic;
use polars::prelude::*;

use super::{feature_fields, suffixed, values_field};
use crate::bridge::{to_feature, to_series};
use crate::inputs::Frame;
use crate::pool::pool;

const IS_ANOMALY: &str = "is_anomaly";
const ANOMALY_ID: &str = "anomaly_id";
const ANOMALY_KIND: &str = "anomaly_kind";
const ANOMALY_STRENGTH: &str = "anomaly_strength";
const MASK: &str = "_mask";

/// The struct of these columns.
pub fn synthetic_field(inputs: &[Field], suffix: &str) -> PolarsResult<Field> {
    let features = feature_fields(inputs)?;
    let values = features
        .iter()
        .map(|feature| Field::new(suffixed(feature.name(), suffix), feature.dtype().clone()));
    let mut fields: Vec<Field> = values.collect();
    fields.push(Field::new(IS_ANOMALY.into(), DataType::Boolean));
    fields.push(Field::new(ANOMALY_ID.into(), DataType::UInt32));
    fields.push(Field::new(ANOMALY_KIND.into(), DataType::String));
    fields.push(Field::new(ANOMALY_STRENGTH.into(), DataType::Float32));
    let mask = |feature: &Field| Field::new(suffixed(feature.name(), MASK), DataType::Boolean);
    fields.extend(features.iter().map(mask));
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields)))
}

/// The same as a column.
pub fn synthetic_column(frame: Frame, synthetic: Synthetic, suffix: &str) -> PolarsResult<Series> {
    let (names, rows) = (frame.columns.names().to_vec(), frame.columns.rows());
    // A copy of the features, if those of the input have several chunks.
    drop(frame.columns);
    let kinds = to_series(ANOMALY_KIND.into(), &synthetic.anomaly_kind())?;
    let columns = pool()?.install(|| synthetic.finish());
    let mut fields = Vec::with_capacity(2 * names.len() + 4);
    for ((name, values), dtype) in names.iter().zip(&columns.values).zip(&frame.dtypes) {
        fields.push(to_feature(suffixed(name, suffix), values, dtype)?);
    }
    fields.push(to_series(IS_ANOMALY.into(), &columns.is_anomaly)?);
    fields.push(to_series(ANOMALY_ID.into(), &columns.anomaly_id)?);
    fields.push(kinds);
    fields.push(to_series(ANOMALY_STRENGTH.into(), &columns.anomaly_strength)?);
    for (name, mask) in names.iter().zip(&columns.masks) {
        fields.push(to_series(suffixed(name, MASK), mask)?);
    }
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
