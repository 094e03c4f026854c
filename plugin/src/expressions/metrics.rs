//! `metric(...)`, `arp(...)`, `edi(...)`: one number for all rows.

use arrow::array::ArrayRef;
use genias::metrics::generation::{self, Embedded};
use genias::metrics::{Metric, MetricOptions, Scored};
use genias::Error;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use serde::Deserialize;
use serde_json::Value;

use super::values_field;
use crate::bridge::to_arrow;
use crate::call::to_polars;
use crate::inputs::{check_dtype, numeric};
use crate::pool::pool;

/// Which metric, and its options.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricCall {
    metric: Value,
    options: Value,
}

impl MetricCall {
    /// The metric and its options, checked.
    pub fn parse(self) -> genias::Result<(Metric, MetricOptions)> {
        let metric: Metric = read("metric", self.metric)?;
        let options = read("options", self.options)?;
        metric.check(&options)?;
        Ok((metric, options))
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &'static str, value: Value) -> genias::Result<T> {
    let text = value.to_string();
    serde_json::from_value(value).map_err(|error| Error::parameter(name, text, error.to_string()))
}

/// Options of `edi`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Regions {
    regions: usize,
    seed: u64,
}

fn number(inputs: &[Field]) -> PolarsResult<Field> {
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Float64))
}

fn metric_output(inputs: &[Field], kwargs: MetricCall) -> PolarsResult<Field> {
    kwargs.parse().map_err(to_polars)?;
    inputs.iter().try_for_each(|input| check_dtype(input.name(), input.dtype()))?;
    number(inputs)
}

#[polars_expr(output_type_func_with_kwargs=metric_output)]
fn metric(inputs: &[Series], kwargs: MetricCall) -> PolarsResult<Series> {
    let (metric, options) = kwargs.parse().map_err(to_polars)?;
    let [score, label] = inputs else {
        polars_bail!(InvalidOperation: "a metric takes a score and a label");
    };
    let rows = Scored::new(numeric(score)?, numeric(label)?).map_err(to_polars)?;
    scalar(score, || metric.evaluate(&rows, &options))
}

fn embedding_output(inputs: &[Field]) -> PolarsResult<Field> {
    let embedding = values_field(inputs)?;
    check_embedding(embedding.name(), embedding.dtype())?;
    inputs.iter().skip(1).try_for_each(|set| check_dtype(set.name(), set.dtype()))?;
    number(inputs)
}

fn edi_output(inputs: &[Field], _kwargs: Regions) -> PolarsResult<Field> {
    embedding_output(inputs)
}

#[polars_expr(output_type_func=embedding_output)]
fn arp(inputs: &[Series]) -> PolarsResult<Series> {
    let rows = embedded(inputs)?;
    scalar(&inputs[0], || Ok(generation::arp(&rows)))
}

#[polars_expr(output_type_func_with_kwargs=edi_output)]
fn edi(inputs: &[Series], kwargs: Regions) -> PolarsResult<Series> {
    let rows = embedded(inputs)?;
    scalar(&inputs[0], || generation::edi(&rows, kwargs.regions, kwargs.seed))
}

fn check_embedding(name: &str, dtype: &DataType) -> PolarsResult<()> {
    match dtype {
        DataType::Array(inner, _) if inner.is_primitive_numeric() => Ok(()),
        _ => {
            let dtype = format!("{dtype} (an embedding must be an Array of numbers)");
            Err(to_polars(Error::Dtype { column: name.into(), dtype }))
        }
    }
}

/// Embeddings, followed by one Boolean column per set.
fn embedded(inputs: &[Series]) -> PolarsResult<Embedded> {
    let Some((embedding, sets)) = inputs.split_first() else {
        polars_bail!(InvalidOperation: "the embedding argument is missing");
    };
    check_embedding(embedding.name(), embedding.dtype())?;
    let array = (embedding.name().to_string(), to_arrow(embedding)?);
    let sets: Vec<(String, ArrayRef)> = sets.iter().map(numeric).collect::<PolarsResult<_>>()?;
    Embedded::read(array, sets).map_err(to_polars)
}

/// One number (or null) under the name of the first argument, computed in the pool.
fn scalar(
    first: &Series,
    evaluate: impl FnOnce() -> genias::Result<Option<f64>> + Send,
) -> PolarsResult<Series> {
    let value = pool()?.install(evaluate).map_err(to_polars)?;
    Ok(Series::new(first.name().clone(), [value]))
}
