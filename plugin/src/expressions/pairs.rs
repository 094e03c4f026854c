//! `pairs(...)`: windows as they are beside the same windows with an anomaly; with group keys, behind
//! the keys.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, is_multivariate, values_field, with_keys};
use crate::bridge::{array_dtype, boolean_arrays, float_arrays, window_shape};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

const FIELDS: [&str; 4] = ["start", "normal", "anomalous", "mask"];

fn pairs_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    let features = feature_fields(inputs)?.len();
    let values = values_field(inputs)?;
    let shape = window_shape(options.fit.window, features, is_multivariate(values));
    let dtypes = [
        DataType::UInt32,
        array_dtype(DataType::Float32, &shape),
        array_dtype(DataType::Float32, &shape),
        array_dtype(DataType::Boolean, &shape),
    ];
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
    let (mut starts, mut normal) = (Vec::new(), Vec::new());
    let (mut anomalous, mut mask) = (Vec::new(), Vec::new());
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
        |_, pairs| {
            let pairs = pairs.unwrap_or_default();
            counts.push(pairs.len());
            for pair in pairs {
                starts.push(pair.start as u32);
                normal.extend(pair.normal);
                anomalous.extend(pair.anomalous);
                mask.extend(pair.mask);
            }
        },
    )?;
    let shape = frame.window_shape(window);
    let rows = starts.len();
    let mut fields = frame.keys(&counts)?;
    fields.extend([
        UInt32Chunked::from_vec(FIELDS[0].into(), starts).into_series(),
        float_arrays(FIELDS[1], normal, None, &shape)?,
        float_arrays(FIELDS[2], anomalous, None, &shape)?,
        boolean_arrays(FIELDS[3], &mask, &shape)?,
    ]);
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
