//! `embed(...)`: the latent mean of every window.

use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, values_field};
use crate::bridge::{array_dtype, float_arrays};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

fn embed_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    let features = feature_fields(inputs)?.len();
    let dtype = array_dtype(DataType::Float32, &[options.fit.latent_for(features)]);
    Ok(Field::new(values_field(inputs)?.name().clone(), dtype))
}

#[polars_expr(output_type_func_with_kwargs=embed_output)]
fn embed(inputs: &[Series], mut kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_groups("embed")?;
    let (options, _) = kwargs.parse()?;
    // The width of the column is fixed at planning time, when the number of live features is
    // unknown.
    let frame = Frame::new(inputs, &kwargs)?;
    let latent = options.fit.latent_for(frame.columns.width());
    kwargs.options.insert("latent".into(), latent.into());
    let frame = if frame.models.is_some() { frame } else { Frame::new(inputs, &kwargs)? };
    let stride = frame.options.generate.window_stride;
    let mut values = Vec::new();
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::None,
        |model, series, control| {
            if model.generator.latent() != latent {
                let allowed =
                    format!("{}, the latent units of the model", model.generator.latent());
                return Err(genias::Error::parameter("latent", latent, allowed));
            }
            model.embed(series, stride, control)
        },
        |_, windows| values.extend(windows.unwrap_or_default().into_iter().flat_map(|w| w.1)),
    )?;
    float_arrays(&frame.name, values, None, &[latent])
}
