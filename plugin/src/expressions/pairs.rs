//! `pairs(...)`: every window without and with an anomaly; with group keys, after the keys.

use genias::anomaly::Pairs;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, is_multivariate, values_field, with_keys};
use crate::bridge::{array_dtype, feature_arrays, to_feature, to_series, window_shape};
use crate::call::{to_polars, Call};
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};
use crate::pool::pool;

const FIELDS: [&str; 5] = ["start", "normal", "anomalous", "mask", "kind"];

/// The dtype of windows: the common dtype of all features, or Float64 if they differ.
fn value_dtype<'a>(mut features: impl Iterator<Item = &'a DataType>) -> DataType {
    match features.next() {
        Some(first) if features.all(|dtype| dtype == first) => first.clone(),
        _ => DataType::Float64,
    }
}

fn pairs_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    let features = feature_fields(inputs)?;
    let values = values_field(inputs)?;
    let shape = window_shape(options.fit.window, features.len(), is_multivariate(values));
    let window = array_dtype(value_dtype(features.iter().map(Field::dtype)), &shape);
    let mask = array_dtype(DataType::Boolean, &shape);
    let dtypes = [DataType::UInt32, window.clone(), window, mask, DataType::String];
    let fields: Vec<Field> =
        FIELDS.iter().zip(dtypes).map(|(name, dtype)| Field::new((*name).into(), dtype)).collect();
    let grouped = with_keys(inputs, &kwargs, fields.clone())?;
    Ok(grouped.unwrap_or_else(|| Field::new(values.name().clone(), DataType::Struct(fields))))
}

#[polars_expr(output_type_func_with_kwargs=pairs_output)]
fn pairs(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let window = frame.options.fit.window;
    let config = &frame.options.generate;
    let (mut starts, mut kinds, mut windows) = (Vec::new(), Vec::new(), Pairs::default());
    let mut counts = Vec::with_capacity(frame.groups.len());
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::None,
        |model, series, control| {
            if model.generator.config.window != window {
                let allowed = format!("{}, the window of the model", model.generator.config.window);
                return Err(genias::Error::parameter("window", window, allowed));
            }
            model.pairs(series, config, control)
        },
        |series, pairs| {
            let pairs = pairs.unwrap_or_default();
            counts.push(pairs.len());
            starts.extend(pairs.iter().map(|pair| pair.rows.start as u32));
            kinds.extend(pairs.iter().map(|pair| pair.anomaly.kind.name()));
            windows.add(series, &pairs);
        },
    )?;
    let rows = starts.len();
    let mut fields = frame.keys(&counts)?;
    fields.push(UInt32Chunked::from_vec(FIELDS[0].into(), starts).into_series());
    fields.extend(arrays(&frame, windows, &frame.window_shape(window))?);
    fields.push(Series::new(FIELDS[4].into(), kinds));
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}

/// The columns of windows.
fn arrays(frame: &Frame, windows: Pairs, shape: &[usize]) -> PolarsResult<[Series; 3]> {
    let columns = pool()?.install(|| windows.finish(&frame.columns)).map_err(to_polars)?;
    let common = value_dtype(frame.dtypes.iter());
    let (mut normal, mut anomalous, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for (column, dtype) in columns.iter().zip(&frame.dtypes) {
        let values = |array| to_feature(PlSmallStr::EMPTY, array, dtype)?.cast(&common);
        normal.push(values(&column.normal)?);
        anomalous.push(values(&column.anomalous)?);
        mask.push(to_series(PlSmallStr::EMPTY, &column.mask)?);
    }
    Ok([
        feature_arrays(FIELDS[1], &normal, shape)?,
        feature_arrays(FIELDS[2], &anomalous, shape)?,
        feature_arrays(FIELDS[3], &mask, shape)?,
    ])
}
