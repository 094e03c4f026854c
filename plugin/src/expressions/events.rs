//! `events(...)` and `inject_events(...)`: one row per anomaly that `generate` or `inject` places
//! in the same rows with the same options; with group keys, after the keys.

use genias::anomaly::Anomaly;
use genias::{Options, Series as TimeSeries};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::stretches::{column, output, END, START};
use crate::anomalies::{generated, injected};
use crate::call::Call;
use crate::inputs::Frame;

/// Number of columns before the times.
const PLACE: usize = 3;

/// The columns of the table, without keys and times.
fn fields() -> [(&'static str, DataType); 13] {
    [
        ("id", DataType::UInt32),
        ("start", DataType::UInt32),
        ("length", DataType::UInt32),
        ("features", DataType::List(Box::new(DataType::String))),
        ("strength", DataType::Float64),
        ("asked", DataType::Float64),
        ("unable", DataType::List(Box::new(DataType::String))),
        ("kind", DataType::String),
        ("cluster", DataType::UInt32),
        ("psi", DataType::Float64),
        ("distance", DataType::Float64),
        ("redraws", DataType::UInt32),
        ("fallback", DataType::Boolean),
    ]
}

/// The anomalies of all groups, in order, and where they begin and end in the frame.
#[derive(Default)]
struct Table {
    counts: Vec<usize>,
    ids: Vec<u32>,
    anomalies: Vec<Anomaly>,
    first: Vec<usize>,
    last: Vec<usize>,
}

impl Table {
    fn add(&mut self, series: &TimeSeries<'_>, anomalies: Option<Vec<Anomaly>>) {
        let mut anomalies = anomalies.unwrap_or_default();
        self.counts.push(anomalies.len());
        self.ids.extend(1..=anomalies.len() as u32);
        self.first.extend(anomalies.iter().map(|found| series.row(found.rows.start)));
        self.last.extend(anomalies.iter().map(|found| series.row(found.rows.end - 1)));
        // The table does not use the values.
        anomalies.iter_mut().for_each(|found| found.values.iter_mut().for_each(|v| v.1 = vec![]));
        self.anomalies.extend(anomalies);
    }

    fn finish(self, frame: Frame) -> PolarsResult<Series> {
        let rows = self.anomalies.len();
        let mut columns = frame.keys(&self.counts)?;
        columns.push(Series::new("id".into(), &self.ids));
        columns.push(self.counted("start", |found| found.rows.start));
        columns.push(self.counted("length", |found| found.rows.len()));
        columns.extend(frame.order_at(&self.first, START)?);
        columns.extend(frame.order_at(&self.last, END)?);
        let names = frame.columns.names();
        columns.push(self.features("features", names, |found| found.features().collect()));
        columns.push(self.column("strength", |found| Some(found.strength)));
        columns.push(self.column("asked", |found| found.asked));
        columns.push(self.features("unable", names, |found| found.unable.clone()));
        columns.push(self.column("kind", |found| Some(found.kind.name())));
        columns.push(self.column("cluster", |found| found.cluster));
        columns.push(self.column("psi", |found| Some(found.origin?.psi)));
        columns.push(self.column("distance", |found| Some(found.origin?.distance)));
        columns.push(self.column("redraws", |found| Some(found.origin?.redraws)));
        columns.push(self.column("fallback", |found| Some(found.origin?.fallback)));
        Ok(StructChunked::from_series(frame.name, rows, columns.iter())?.into_series())
    }

    fn column<'a, T>(&'a self, name: &str, get: impl Fn(&'a Anomaly) -> Option<T>) -> Series
    where
        Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
    {
        column(name, &self.anomalies, get)
    }

    fn counted(&self, name: &str, get: impl Fn(&Anomaly) -> usize) -> Series {
        self.column(name, |found| Some(get(found) as u32))
    }

    /// Names of some features of each anomaly, in the order of the input.
    fn features(
        &self,
        title: &str,
        names: &[String],
        of: impl Fn(&Anomaly) -> Vec<usize>,
    ) -> Series {
        let values = self.anomalies.len() * names.len();
        let mut lists = ListStringChunkedBuilder::new(title.into(), self.anomalies.len(), values);
        for anomaly in &self.anomalies {
            let mut features = of(anomaly);
            features.sort_unstable();
            lists.append_values_iter(features.into_iter().map(|d| names[d].as_str()));
        }
        lists.finish().into_series()
    }
}

fn events_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    output(inputs, &kwargs, &fields(), PLACE, &[START, END])
}

#[polars_expr(output_type_func_with_kwargs=events_output)]
fn events(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let mut table = Table::default();
    generated(&frame, kwargs.strict, |series, anomalies| table.add(series, anomalies))?;
    table.finish(frame)
}

fn inject_events_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse_inject()?;
    output(inputs, &kwargs, &fields(), PLACE, &[START, END])
}

#[polars_expr(output_type_func_with_kwargs=inject_events_output)]
fn inject_events(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let (config, max_gap) = kwargs.parse_inject()?;
    let frame = Frame::read(inputs, &kwargs, Options::default(), max_gap)?;
    let mut table = Table::default();
    injected(&frame, &config, kwargs.strict, |series, anomalies| table.add(series, anomalies))?;
    table.finish(frame)
}
