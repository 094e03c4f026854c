//! `sensitivity(...)`: what the labels of every model would catch, a row per feature, kind, duration and
//! strength; with group keys, after the keys.

use genias::sensitivity::{sensitivity as tried, Detection, Labelling, Sensitivity};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{values_field, with_keys};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

/// The columns of the table, but for the keys.
fn fields() -> Vec<Field> {
    let number = |name: &str| Field::new(name.into(), DataType::Float64);
    let count = |name: &str| Field::new(name.into(), DataType::UInt32);
    let text = |name: &str| Field::new(name.into(), DataType::String);
    vec![
        text("feature"),
        text("kind"),
        count("duration"),
        number("strength"),
        count("tries"),
        count("caught"),
        number("rate"),
        number("rate_low"),
        number("rate_high"),
        number("delay"),
        number("realised"),
        number("smallest"),
        number("smallest_low"),
        number("smallest_high"),
        count("false_alarms"),
        number("false_alarm_rate"),
        number("alarms_per_day"),
        number("rows_per_day"),
    ]
}

fn sensitivity_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    let grouped = with_keys(inputs, &kwargs, fields())?;
    let name = values_field(inputs)?.name().clone();
    Ok(grouped.unwrap_or_else(|| Field::new(name, DataType::Struct(fields()))))
}

#[polars_expr(output_type_func_with_kwargs=sensitivity_output)]
fn sensitivity(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let options = &frame.options;
    let labelling =
        Labelling { threshold: options.threshold, alarm: &options.alarm, score: &options.score };
    let mut found: Vec<Option<Sensitivity>> = Vec::new();
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| tried(model, series, &options.sensitivity, labelling, control),
        |_, answer| found.push(answer),
    )?;
    table(frame, &found)
}

fn table(frame: Frame, found: &[Option<Sensitivity>]) -> PolarsResult<Series> {
    let count = |group: &Option<Sensitivity>| group.as_ref().map_or(0, |all| all.detections.len());
    let counts: Vec<usize> = found.iter().map(count).collect();
    let rows: Vec<(&Sensitivity, &Detection)> = found
        .iter()
        .flatten()
        .flat_map(|all| all.detections.iter().map(move |row| (all, row)))
        .collect();
    let names = frame.columns.names();
    let own = |get: &dyn Fn(&Detection) -> Option<f64>| -> Vec<Option<f64>> {
        rows.iter().map(|(_, row)| get(row)).collect()
    };
    let count = |get: &dyn Fn(&Sensitivity, &Detection) -> usize| -> Vec<u32> {
        rows.iter().map(|(all, row)| get(all, row) as u32).collect()
    };
    let of_all = |get: &dyn Fn(&Sensitivity) -> Option<f64>| -> Vec<Option<f64>> {
        rows.iter().map(|(all, _)| get(all)).collect()
    };
    let feature = |row: &Detection| Some(names[row.feature?].as_str());
    let features: Vec<Option<&str>> = rows.iter().map(|(_, row)| feature(row)).collect();
    let kinds: Vec<&str> = rows.iter().map(|(_, row)| row.kind).collect();
    let mut columns = frame.keys(&counts)?;
    columns.extend([
        Series::new("feature".into(), features),
        Series::new("kind".into(), kinds),
        Series::new("duration".into(), count(&|_, row| row.duration)),
        Series::new("strength".into(), own(&|row| row.strength)),
        Series::new("tries".into(), count(&|_, row| row.tries)),
        Series::new("caught".into(), count(&|_, row| row.caught)),
        Series::new("rate".into(), own(&Detection::rate)),
        Series::new("rate_low".into(), own(&|row| Some(row.interval?.0))),
        Series::new("rate_high".into(), own(&|row| Some(row.interval?.1))),
        Series::new("delay".into(), own(&|row| row.delay)),
        Series::new("realised".into(), own(&|row| row.realised)),
        Series::new("smallest".into(), own(&|row| row.smallest.strength)),
        Series::new("smallest_low".into(), own(&|row| row.smallest.low)),
        Series::new("smallest_high".into(), own(&|row| row.smallest.high)),
        Series::new("false_alarms".into(), count(&|all, _| all.false_alarms)),
        Series::new("false_alarm_rate".into(), of_all(&|all| Some(all.false_alarm_rate))),
        Series::new("alarms_per_day".into(), of_all(&|all| all.alarms_per_day)),
        Series::new("rows_per_day".into(), of_all(&|all| all.rows_per_day)),
    ]);
    Ok(StructChunked::from_series(frame.name, rows.len(), columns.iter())?.into_series())
}
