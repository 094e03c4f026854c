//! `score(...)`: how anomalous every row is.

use genias::config::Scale;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, suffixed, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

fn score_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    let (options, _) = kwargs.parse()?;
    let features = feature_fields(inputs)?;
    let name = values_field(inputs)?.name().clone();
    if !options.score.per_feature {
        return Ok(Field::new(name, DataType::Float32));
    }
    let fields = features
        .iter()
        .map(|feature| Field::new(suffixed(feature.name(), &kwargs.suffix), DataType::Float32));
    Ok(Field::new(name, DataType::Struct(fields.collect())))
}

#[polars_expr(output_type_func_with_kwargs=score_output)]
fn score(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let config = &frame.options.score;
    let per_feature = config.per_feature;
    let width = if per_feature { frame.columns.width() } else { 1 };
    let mut scores: Vec<Vec<Option<f32>>> = vec![vec![None; frame.columns.rows()]; width];
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| match (per_feature, config.as_) {
            (true, _) => model.score_features(series, config, control),
            (_, Scale::Score) => Ok(vec![model.score_with(series, config, control)?]),
            (_, Scale::Pvalue) => {
                let p = model.p_values(series, &frame.options.alarm, config, control)?;
                Ok(vec![p.into_iter().map(|p| p.map(|p| p as f32)).collect()])
            }
        },
        |series, answer| {
            for (scores, answer) in scores.iter_mut().zip(answer.unwrap_or_default()) {
                for (t, score) in answer.into_iter().enumerate() {
                    scores[series.row(t)] = score;
                }
            }
        },
    )?;
    let column = |name: PlSmallStr, scores: Vec<Option<f32>>| {
        Float32Chunked::from_iter_options(name, scores.into_iter()).into_series()
    };
    if !per_feature {
        return Ok(column(frame.name, scores.into_iter().next().unwrap_or_default()));
    }
    let names = frame.columns.names().iter().map(|name| suffixed(name, &kwargs.suffix));
    let fields: Vec<Series> =
        names.zip(scores).map(|(name, scores)| column(name, scores)).collect();
    let rows = frame.columns.rows();
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
