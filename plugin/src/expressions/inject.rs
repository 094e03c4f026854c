//! `inject(...)`: the rows with classical anomalies, and their labels, ids, kinds, strengths and
//! masks.

use genias::anomaly::Synthetic;
use genias::Options;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::synthetic::{synthetic_column, synthetic_field};
use crate::anomalies::injected;
use crate::call::Call;
use crate::inputs::Frame;
use crate::pool::pool;

fn inject_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse_inject()?;
    synthetic_field(inputs, &kwargs.suffix)
}

#[polars_expr(output_type_func_with_kwargs=inject_output)]
fn inject(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let (config, max_gap) = kwargs.parse_inject()?;
    let frame = Frame::read(inputs, &kwargs, Options::default(), max_gap)?;
    let mut synthetic = pool()?.install(|| Synthetic::new(&frame.columns));
    injected(&frame, &config, kwargs.strict, |series, anomalies| {
        if let Some(anomalies) = anomalies {
            synthetic.add(series, &anomalies);
        }
    })?;
    synthetic_column(frame, synthetic, &kwargs.suffix)
}
