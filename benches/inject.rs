//! Fifty anomalies into a million rows: from Arrow columns to labelled Arrow columns.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::Float64Array;
use criterion::{Criterion, criterion_group, criterion_main};
use genias::anomaly::Synthetic;
use genias::inject::{InjectConfig, Kind, Kinds, inject};
use genias::{Columns, RunToEnd, Series};

const ROWS: usize = 1_000_000;

fn columns() -> Columns {
    let wave = (0..ROWS).map(|t| (t as f64 / 40.0).sin() + (t as f64 / 7.0).cos() / 5.0);
    Columns::new(vec![("x".into(), Arc::new(Float64Array::from_iter_values(wave)))]).unwrap()
}

fn fifty(c: &mut Criterion) {
    let columns = columns();
    let alone = |kind: &Kind| !matches!(kind, Kind::ModeCorrelation | Kind::Reset);
    let kind = Kinds::from(&Kind::ALL.into_iter().filter(alone).collect::<Vec<_>>()[..]);
    let config = InjectConfig { kind, count: Some(50), ..InjectConfig::default() };
    c.bench_function("50 anomalies in 1,000,000 rows", |b| {
        b.iter(|| {
            let series = Series::whole(&columns);
            let anomalies = inject(&series, &config, &RunToEnd).unwrap();
            let mut synthetic = Synthetic::new(&columns);
            synthetic.add(&series, &anomalies);
            (synthetic.anomaly_kind(), synthetic.finish())
        });
    });
}

criterion_group!(benches, fifty);
criterion_main!(benches);
