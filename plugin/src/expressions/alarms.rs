//! `alarms(...)`: one row per alarm; with group keys, after the keys.

use genias::alarm::Alarm;
use genias::Series as TimeSeries;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::stretches::{column, output, END, START};
use crate::call::Call;
use crate::inputs::Frame;
use crate::models::{for_each_group, Detector};

pub(super) const PEAK: &str = "_peak";
/// Minimum share of a listed feature; the first feature is always listed.
const NAMED: f64 = 0.05;

/// The columns of the table, without keys and times.
fn fields() -> [(&'static str, DataType); 13] {
    let list = |inner: DataType| DataType::List(Box::new(inner));
    [
        ("id", DataType::UInt32),
        ("start", DataType::UInt32),
        ("length", DataType::UInt32),
        ("peak", DataType::UInt32),
        ("severity", DataType::Float64),
        ("p", DataType::Float64),
        ("direction", DataType::String),
        ("features", list(DataType::String)),
        ("shares", list(DataType::Float64)),
        ("expected", DataType::Float64),
        ("actual", DataType::Float64),
        ("change", DataType::Float64),
        ("open", DataType::Boolean),
    ]
}

/// Number of columns before the times.
const PLACE: usize = 4;

fn alarms_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    output(inputs, &kwargs, &fields(), PLACE, &[START, END, PEAK])
}

/// The alarms of all groups, in order, with the values read from the frame.
#[derive(Default)]
struct Table {
    counts: Vec<usize>,
    ids: Vec<u32>,
    alarms: Vec<Alarm>,
    first: Vec<usize>,
    last: Vec<usize>,
    peak: Vec<usize>,
    actual: Vec<Option<f64>>,
}

impl Table {
    fn add(&mut self, series: &TimeSeries<'_>, alarms: Option<Vec<Alarm>>) {
        let alarms = alarms.unwrap_or_default();
        self.counts.push(alarms.len());
        self.ids.extend(1..=alarms.len() as u32);
        self.first.extend(alarms.iter().map(|alarm| series.row(alarm.rows.start)));
        self.last.extend(alarms.iter().map(|alarm| series.row(alarm.rows.end - 1)));
        self.peak.extend(alarms.iter().map(|alarm| series.row(alarm.peak)));
        let actual = |alarm: &Alarm| series.value(alarm.features.first()?.0, alarm.peak);
        self.actual.extend(alarms.iter().map(actual));
        self.alarms.extend(alarms);
    }

    fn finish(self, frame: Frame) -> PolarsResult<Series> {
        let rows = self.alarms.len();
        let mut columns = frame.keys(&self.counts)?;
        columns.push(Series::new("id".into(), &self.ids));
        columns.push(self.counted("start", |alarm| alarm.rows.start));
        columns.push(self.counted("length", |alarm| alarm.rows.len()));
        columns.push(self.counted("peak", |alarm| alarm.peak));
        columns.extend(frame.order_at(&self.first, START)?);
        columns.extend(frame.order_at(&self.last, END)?);
        columns.extend(frame.order_at(&self.peak, PEAK)?);
        columns.push(self.column("severity", |alarm| Some(alarm.severity())));
        columns.push(self.column("p", |alarm| Some(alarm.p)));
        columns.push(self.column("direction", |alarm| Some(alarm.direction?.name())));
        columns.push(self.features(frame.columns.names()));
        columns.push(self.shares());
        columns.push(self.column("expected", expected));
        columns.push(Series::new("actual".into(), &self.actual));
        columns.push(self.column("change", |alarm| alarm.change));
        columns.push(self.column("open", |alarm| Some(alarm.open)));
        Ok(StructChunked::from_series(frame.name, rows, columns.iter())?.into_series())
    }

    fn column<'a, T>(&'a self, name: &str, get: impl Fn(&'a Alarm) -> Option<T>) -> Series
    where
        Series: NamedFrom<Vec<Option<T>>, [Option<T>]>,
    {
        column(name, &self.alarms, get)
    }

    fn counted(&self, name: &str, get: impl Fn(&Alarm) -> usize) -> Series {
        self.column(name, |alarm| Some(get(alarm) as u32))
    }

    /// Names of the features with the largest shares, in descending order.
    fn features(&self, names: &[String]) -> Series {
        let rows = self.alarms.len();
        let mut lists = ListStringChunkedBuilder::new("features".into(), rows, rows);
        for alarm in &self.alarms {
            lists.append_values_iter(blamed(alarm).iter().map(|(d, _)| names[*d].as_str()));
        }
        lists.finish().into_series()
    }

    fn shares(&self) -> Series {
        let rows = self.alarms.len();
        let dtype = DataType::Float64;
        let mut lists =
            ListPrimitiveChunkedBuilder::<Float64Type>::new("shares".into(), rows, rows, dtype);
        for alarm in &self.alarms {
            lists.append_values_iter(blamed(alarm).iter().map(|(_, share)| *share));
        }
        lists.finish().into_series()
    }
}

/// The features that are listed.
fn blamed(alarm: &Alarm) -> &[(usize, f64)] {
    let others = alarm.features.iter().skip(1).take_while(|(_, share)| *share >= NAMED).count();
    &alarm.features[..alarm.features.len().min(others + 1)]
}

/// Expected value of the first feature at the peak.
fn expected(alarm: &Alarm) -> Option<f64> {
    alarm.expected.as_ref()?.get(alarm.features.first()?.0).copied()
}

#[polars_expr(output_type_func_with_kwargs=alarms_output)]
fn alarms(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let options = &frame.options;
    let mut table = Table::default();
    for_each_group(
        &frame,
        kwargs.strict,
        Detector::Trained,
        |model, series, control| {
            let (threshold, alarm) = (options.threshold, &options.alarm);
            Ok(model.alarms(series, threshold, alarm, &options.score, control)?.alarms)
        },
        |series, alarms| table.add(series, alarms),
    )?;
    table.finish(frame)
}
