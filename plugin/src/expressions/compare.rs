//! `compare(...)`: columns of scores on the same events, over all groups; a row per column.

use genias::metrics::compare::{compare as compared, Comparison, Estimate, ScoredSeries};
use genias::{Options, Series as TimeSeries};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::values_field;
use crate::call::{to_polars, Call};
use crate::inputs::Frame;

fn fields() -> Vec<Field> {
    let number = |name: &str| Field::new(name.into(), DataType::Float64);
    let count = |name: &str| Field::new(name.into(), DataType::UInt32);
    vec![
        Field::new("detector".into(), DataType::String),
        count("events"),
        count("caught"),
        number("recall"),
        number("recall_low"),
        number("recall_high"),
        number("difference"),
        number("difference_low"),
        number("difference_high"),
        number("p"),
        number("delay"),
        number("false_alarm_rate"),
    ]
}

fn compare_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse_compare()?;
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields())))
}

#[polars_expr(output_type_func_with_kwargs=compare_output)]
fn compare(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let config = kwargs.parse_compare()?;
    let frame = Frame::read(inputs, &kwargs, Options::default(), None)?;
    let of_group = |series: TimeSeries<'_>| {
        let scores = |d: usize| (0..series.len()).map(|t| series.value(d, t)).collect();
        ScoredSeries {
            labels: (0..series.len()).map(|t| series.is_labelled(t)).collect(),
            scores: (0..frame.columns.width()).map(scores).collect(),
        }
    };
    let series: Vec<ScoredSeries> =
        frame.groups.iter().map(|group| of_group(frame.series(group))).collect();
    let found = compared(&series, &config).map_err(to_polars)?;
    frame.warn()?;
    table(frame, &found)
}

fn table(frame: Frame, found: &[Comparison]) -> PolarsResult<Series> {
    let number = |name: &str, get: &dyn Fn(&Comparison) -> Option<f64>| {
        Series::new(name.into(), found.iter().map(get).collect::<Vec<_>>())
    };
    let count = |name: &str, get: &dyn Fn(&Comparison) -> usize| {
        Series::new(name.into(), found.iter().map(|of| get(of) as u32).collect::<Vec<_>>())
    };
    let part = |of: Option<Estimate>, get: fn(Estimate) -> f64| of.map(get);
    let names: Vec<&str> = frame.columns.names().iter().map(String::as_str).collect();
    let columns = [
        Series::new("detector".into(), &names[..found.len()]),
        count("events", &|of| of.events),
        count("caught", &|of| of.caught),
        number("recall", &|of| part(of.recall, |of| of.value)),
        number("recall_low", &|of| part(of.recall, |of| of.low)),
        number("recall_high", &|of| part(of.recall, |of| of.high)),
        number("difference", &|of| part(of.difference, |of| of.value)),
        number("difference_low", &|of| part(of.difference, |of| of.low)),
        number("difference_high", &|of| part(of.difference, |of| of.high)),
        number("p", &|of| of.p),
        number("delay", &|of| of.delay),
        number("false_alarm_rate", &|of| Some(of.false_alarm_rate)),
    ];
    Ok(StructChunked::from_series(frame.name, found.len(), columns.iter())?.into_series())
}
