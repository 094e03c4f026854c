//! `generate(...)`: the rows with anomalies, and their labels, ids, kinds, strengths and masks.

use genias::anomaly::Synthetic;
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;

use super::synthetic::{synthetic_column, synthetic_field};
use crate::anomalies::generated;
use crate::call::Call;
use crate::inputs::Frame;
use crate::pool::pool;

fn generate_output(inputs: &[Field], kwargs: Call) -> PolarsResult<Field> {
    kwargs.parse()?;
    synthetic_field(inputs, &kwargs.suffix)
}

#[polars_expr(output_type_func_with_kwargs=generate_output)]
fn generate(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    let frame = Frame::new(inputs, &kwargs)?;
    let mut synthetic = pool()?.install(|| Synthetic::new(&frame.columns));
    generated(&frame, kwargs.strict, |series, anomalies| {
        if let Some(anomalies) = anomalies {
            synthetic.add(series, &anomalies);
        }
    })?;
    synthetic_column(frame, synthetic, &kwargs.suffix)
}
