//! `expect(...)`: what every feature should have been, and between which bounds.

use genias::detector::Bounds;
use genias::Series as TimeSeries;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::{feature_fields, float_dtype, suffixed, values_field};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

const PARTS: [&str; 3] = ["_expected", "_lower", "_upper"];

/// Three columns per feature.
pub(super) fn bounds_fields(features: &[Field]) -> Vec<Field> {
    let of_feature = |feature: &Field| {
        let dtype = float_dtype(feature.dtype());
        PARTS.map(|part| Field::new(suffixed(feature.name(), part), dtype.clone()))
    };
    features.iter().flat_map(of_feature).collect()
}

/// Bounds of features, row by row of the frame.
pub(super) struct BoundColumns(Vec<[Vec<Option<f64>>; 3]>);

impl BoundColumns {
    pub(super) fn new(features: usize, rows: usize) -> Self {
        Self((0..features).map(|_| [(); 3].map(|()| vec![None; rows])).collect())
    }

    pub(super) fn add(&mut self, series: &TimeSeries<'_>, bounds: Vec<Bounds>) {
        for (columns, Bounds { expected, lower, upper }) in self.0.iter_mut().zip(bounds) {
            for (column, values) in columns.iter_mut().zip([expected, lower, upper]) {
                values.into_iter().enumerate().for_each(|(t, value)| column[series.row(t)] = value);
            }
        }
    }

    pub(super) fn finish(self, frame: &Frame) -> PolarsResult<Vec<Series>> {
        let names = frame.columns.names().iter().enumerate();
        let mut fields = Vec::with_capacity(3 * self.0.len());
        for ((d, name), columns) in names.zip(self.0) {
            for (part, values) in PARTS.iter().zip(columns) {
                let name = suffixed(name, part);
                let column = Float64Chunked::from_iter_options(name, values.into_iter());
                let column = column.into_series();
                fields.push(match frame.columns.is_f32(d) {
                    true => column.cast(&DataType::Float32)?,
                    false => column,
                });
            }
        }
        Ok(fields)
    }
}

fn expect_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    let fields = bounds_fields(&feature_fields(inputs)?);
    Ok(Field::new(values_field(inputs)?.name().clone(), DataType::Struct(fields)))
}

#[polars_expr(output_type_func_with_kwargs=expect_output)]
fn expect(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let rows = frame.columns.rows();
    let coverage = frame.options.score.coverage();
    let mut columns = BoundColumns::new(frame.columns.width(), rows);
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| model.expect(series, coverage, control),
        |series, bounds| columns.add(series, bounds.unwrap_or_default()),
    )?;
    let fields = columns.finish(&frame)?;
    Ok(StructChunked::from_series(frame.name, rows, fields.iter())?.into_series())
}
