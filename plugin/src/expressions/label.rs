//! `label(...)`: which rows lie in an alarm.

use genias::Model;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::fleet::Fleet;
use super::{feature_fields, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

const LABEL: &str = "label";
const MODEL: &str = "model";

fn label_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    feature_fields(inputs)?;
    let dtype = match kwargs.update {
        true => DataType::Struct(vec![
            Field::new(LABEL.into(), DataType::Boolean),
            Field::new(MODEL.into(), DataType::Binary),
        ]),
        false => DataType::Boolean,
    };
    Ok(Field::new(values_field(inputs)?.name().clone(), dtype))
}

#[polars_expr(output_type_func_with_kwargs=label_output)]
fn label(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let (options, alarm) = (&frame.options, Fleet::options(&frame));
    let mut fleet = Fleet::new(&frame)?;
    let (score, rows) = (&options.score, frame.columns.rows());
    let mut labels: Vec<Option<bool>> = vec![None; rows];
    // The model of a group goes into its last row.
    let mut models: Vec<(usize, Vec<u8>)> = Vec::new();
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| {
            let found = model.alarms(series, options.threshold, &alarm, score, control)?;
            let updated = match kwargs.update {
                true => Some(updated(model, score.detector, found.reference)?),
                false => None,
            };
            Ok((found.p_of_any, found.labels, updated))
        },
        |series, answer| {
            let (p, found, updated) = answer.unwrap_or((1.0, Vec::new(), None));
            for (t, label) in found.into_iter().enumerate() {
                labels[series.row(t)] = label;
            }
            fleet.add(p);
            let last = series.len().checked_sub(1).map(|t| series.row(t));
            models.extend(last.zip(updated));
        },
    )?;
    for (group, _) in frame.groups.iter().zip(fleet.kept()).filter(|(_, kept)| !kept) {
        let series = frame.series(group);
        (0..series.len())
            .for_each(|t| labels[series.row(t)] = labels[series.row(t)].and(Some(false)));
    }
    let labels = BooleanChunked::from_iter_options(LABEL.into(), labels.into_iter()).into_series();
    if !kwargs.update {
        return Ok(labels.with_name(frame.name));
    }
    let fields = [labels, beside(rows, models)];
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}

fn updated(
    model: &Model,
    detector: Option<genias::DetectorKind>,
    reference: genias::alarm::Reference,
) -> genias::Result<Vec<u8>> {
    model.with_reference(detector, reference).to_own_bytes()
}

/// A column with each value at its row and null elsewhere.
fn beside(rows: usize, mut models: Vec<(usize, Vec<u8>)>) -> Series {
    models.sort_unstable_by_key(|(row, _)| *row);
    let mut column = BinaryChunkedBuilder::new(MODEL.into(), rows);
    let mut next = models.into_iter().peekable();
    for row in 0..rows {
        match next.next_if(|(at, _)| *at == row) {
            Some((_, model)) => column.append_value(model),
            None => column.append_null(),
        }
    }
    column.finish().into_series()
}
