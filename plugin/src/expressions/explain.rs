//! `explain(...)`: one row per alarm and feature to blame; with group keys, after the keys.

use genias::detector::{Blame, Explained, StrongestEvidence};
use genias::Series as TimeSeries;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::alarms::PEAK;
use super::stretches::{column, output, END, START};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

/// Columns in front of the times.
const PLACE: usize = 4;

/// The columns of the table, but for the keys and the times.
fn fields() -> [(&'static str, DataType); 11] {
    [
        ("id", DataType::UInt32),
        ("start", DataType::UInt32),
        ("length", DataType::UInt32),
        ("peak", DataType::UInt32),
        ("feature", DataType::String),
        ("share", DataType::Float64),
        ("expected", DataType::Float64),
        ("actual", DataType::Float64),
        ("evidence", DataType::String),
        ("nearest_start", DataType::UInt32),
        ("nearest_length", DataType::UInt32),
    ]
}

fn explain_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    output(inputs, &kwargs, &fields(), PLACE, &[START, END, PEAK])
}

/// One feature of one alarm.
struct Line {
    id: u32,
    /// Start, length and peak in the series.
    place: [u32; 3],
    blame: Blame,
    evidence: Option<StrongestEvidence>,
    /// Rows of the frame: first, last, peak.
    rows: [usize; 3],
    actual: Option<f64>,
}

/// The features of all alarms of all groups, in order.
#[derive(Default)]
struct Table {
    counts: Vec<usize>,
    lines: Vec<Line>,
}

impl Table {
    fn add(&mut self, series: &TimeSeries<'_>, alarms: Option<Vec<Explained>>) {
        let before = self.lines.len();
        for (id, explained) in (1..).zip(alarms.unwrap_or_default()) {
            let Explained { alarm, blame, evidence } = explained;
            let place = [alarm.rows.start, alarm.rows.len(), alarm.peak].map(|n| n as u32);
            let rows = [alarm.rows.start, alarm.rows.end - 1, alarm.peak].map(|t| series.row(t));
            let line = |blame: Blame| Line {
                id,
                place,
                blame,
                evidence,
                rows,
                actual: series.value(blame.feature, alarm.peak),
            };
            self.lines.extend(blame.into_iter().map(line));
        }
        self.counts.push(self.lines.len() - before);
    }

    fn finish(self, frame: Frame) -> PolarsResult<Series> {
        let rows = self.lines.len();
        let names = frame.columns.names();
        let row = |i: usize| self.lines.iter().map(|line| line.rows[i]).collect::<Vec<_>>();
        let mut columns = frame.keys(&self.counts)?;
        columns.push(self.column("id", |line| Some(line.id)));
        columns.push(self.column("start", |line| Some(line.place[0])));
        columns.push(self.column("length", |line| Some(line.place[1])));
        columns.push(self.column("peak", |line| Some(line.place[2])));
        columns.extend(frame.order_at(&row(0), START)?);
        columns.extend(frame.order_at(&row(1), END)?);
        columns.extend(frame.order_at(&row(2), PEAK)?);
        columns.push(self.column("feature", |line| Some(names[line.blame.feature].as_str())));
        columns.push(self.column("share", |line| Some(line.blame.share)));
        columns.push(self.column("expected", |line| line.blame.expected));
        columns.push(self.column("actual", |line| line.actual));
        columns.push(self.column("evidence", |line| line.evidence?.name));
        columns.push(self.column("nearest_start", |line| Some(line.evidence?.nearest? as u32)));
        columns.push(self.column("nearest_length", |line| Some(line.evidence?.size as u32)));
        Ok(StructChunked::from_series(frame.name, rows, columns.iter())?.into_series())
    }

    fn column<'a, T>(&'a self, name: &str, get: impl Fn(&'a Line) -> Option<T>) -> Series
    where
        Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
    {
        column(name, &self.lines, get)
    }
}

#[polars_expr(output_type_func_with_kwargs=explain_output)]
fn explain(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let options = &frame.options;
    let mut table = Table::default();
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| {
            let (threshold, alarm) = (options.threshold, &options.alarm);
            model.explain(series, threshold, alarm, &options.score, control)
        },
        |series, alarms| table.add(series, alarms),
    )?;
    table.finish(frame)
}
