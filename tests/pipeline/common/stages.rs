//! What tests of several stages check.

use super::{bits, column, flat, vae_of, wave};
use arrow::array::{Array, ArrayRef, BooleanArray, Float32Array};
use candle_core::{Device, Tensor};
use genias::anomaly::{Anomaly, Synthetic};
use genias::config::Form;
use genias::{Columns, Control, Error, GenerateConfig, Model, RunToEnd, Series, Threshold};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

const RUN: &RunToEnd = &RunToEnd;

/// A series with everything that can be in the way: two scales and float types, nulls, NaN, known
/// anomalies, a jump in time.
pub struct Rough {
    pub columns: Columns,
    pub labels: BooleanArray,
    pub gap: usize,
}

impl Rough {
    pub const ROWS: usize = 400;

    pub fn new() -> Self {
        let rows = Self::ROWS;
        let a = wave(rows, 1).into_iter().enumerate().map(|(t, x)| match t {
            60 | 61 => None,
            200 => Some(f64::NAN),
            _ => Some(x),
        });
        let b = wave(rows, 2).into_iter().enumerate();
        let b = b.map(|(t, x)| (t % 397 != 130).then_some((500.0 + 40.0 * x) as f32));
        let b: ArrayRef = Arc::new(Float32Array::from_iter(b));
        let labels = (0..rows).map(|t| match t {
            250..=255 => Some(true),
            300 => None,
            _ => Some(false),
        });
        Self {
            columns: Columns::new(vec![column("a", a), ("b".into(), b)]).unwrap(),
            labels: BooleanArray::from_iter(labels),
            gap: 330,
        }
    }

    pub fn series(&self) -> Series<'_> {
        Series::whole(&self.columns).with_labels(&self.labels).with_gaps(vec![self.gap])
    }
}

pub const FORMS: [Form; 3] = [Form::Residual, Form::Decoded, Form::Deformed];

pub fn longest(config: &GenerateConfig, window: usize) -> usize {
    config.length.map_or(window, |length| length.bounds().1)
}

/// Rows that anomalies take: apart, clean, on one side of every gap, and as many as asked for.
pub fn assert_placed(
    series: &Series<'_>,
    config: &GenerateConfig,
    window: usize,
    found: &[Anomaly],
) {
    for pair in found.windows(2) {
        let (end, start) = (pair[0].rows.end, pair[1].rows.start);
        // Rows on either side of a jump in time are not next to each other.
        assert!(end < start || (end == start && series.gaps().contains(&end)), "{end} {start}");
    }
    for Anomaly { rows, .. } in found {
        assert!(rows.clone().all(|t| series.is_clean(t)), "{rows:?}");
        assert!(!series.gaps().iter().any(|gap| rows.start < *gap && *gap < rows.end), "{rows:?}");
        assert!((1..=longest(config, window)).contains(&rows.len()), "{rows:?}");
    }
    let hit: usize = found.iter().map(|anomaly| anomaly.rows.len()).sum();
    let target =
        (config.contamination.unwrap_or(0.1) * series.len() as f64).round().max(1.0) as usize;
    assert!(hit <= target, "{hit} rows for {target}: {config:?}");
}

/// Columns that go out: changed where the mask says so, the same bits everywhere else. Of features
/// that can take any value, few values stay as they were.
pub fn assert_columns(columns: &Columns, series: &Series<'_>, found: &[Anomaly]) {
    let (hit, same) = hit_and_same(columns, series, found);
    assert!(hit > 0 && same * 20 <= hit, "{same} of {hit} hit values did not move");
}

/// Checks the columns that go out: masked where a value moved, and one that moved in every feature
/// that an anomaly says it hits. Number of values of these, and of those that did not move.
pub fn hit_and_same(columns: &Columns, series: &Series<'_>, found: &[Anomaly]) -> (usize, usize) {
    let input = arrays(columns);
    let mut synthetic = Synthetic::new(columns);
    synthetic.add(series, found);
    let out = synthetic.finish();
    assert_eq!((out.is_anomaly.null_count(), out.is_anomaly.len()), (0, columns.rows()));
    let at = |t: usize| found.iter().position(|anomaly| anomaly.rows.contains(&t));
    let (mut masked, mut same) = (0, 0);
    for t in 0..series.len() {
        let row = series.row(t);
        assert_eq!(out.is_anomaly.value(row), at(t).is_some());
        let strength = out.anomaly_strength.is_valid(row).then(|| out.anomaly_strength.value(row));
        assert_eq!(strength, at(t).map(|number| found[number].strength as f32));
        let id = out.anomaly_id.is_valid(row).then(|| out.anomaly_id.value(row) as usize);
        assert_eq!(id, at(t).map(|number| number + 1));
    }
    for (d, (input, output)) in input.iter().zip(&out.values).enumerate() {
        assert_eq!(output.data_type(), input.data_type());
        let (before, after) = (bits(input), bits(output));
        for anomaly in found.iter().filter(|anomaly| is_hit(anomaly, d)) {
            let moves = |t: usize| before[series.row(t)] != after[series.row(t)];
            assert!(anomaly.rows.clone().any(moves), "feature {d} of {anomaly:?}");
        }
        for t in 0..series.len() {
            let row = series.row(t);
            let hit = at(t).is_some_and(|number| is_hit(&found[number], d));
            let moved = after[row] != before[row];
            assert_eq!(out.masks[d].value(row), moved, "row {t}, feature {d}");
            assert!(hit || !moved, "row {t}, feature {d}");
            masked += usize::from(hit);
            same += usize::from(hit && !moved);
        }
    }
    (masked, same)
}

fn is_hit(anomaly: &Anomaly, feature: usize) -> bool {
    anomaly.values.iter().any(|(hit, _)| *hit == feature)
}

/// New values: finite, one per row, at least one feature, each feature once.
pub fn assert_values(found: &[Anomaly], width: usize) {
    for Anomaly { rows, values, .. } in found {
        let features: HashSet<usize> = values.iter().map(|(feature, _)| *feature).collect();
        assert!(!features.is_empty() && features.len() == values.len(), "{features:?}");
        for (feature, values) in values {
            assert!(*feature < width);
            assert_eq!(values.len(), rows.len());
            assert!(values.iter().all(|value| value.is_finite()), "feature {feature}: {values:?}");
        }
    }
}

pub fn arrays(columns: &Columns) -> Vec<ArrayRef> {
    (0..columns.width()).map(|d| columns.copy(d).finish().0).collect()
}

/// Starts of the windows of 16 clean rows that no gap splits, every `stride` rows of a run.
pub fn clean_starts(series: &Series<'_>, stride: usize) -> Vec<usize> {
    let joined = |t: usize| series.is_clean(t) && !series.gaps().contains(&t);
    let (mut starts, mut from) = (Vec::new(), 0);
    for end in 1..=series.len() {
        if end < series.len() && joined(end) && series.is_clean(end - 1) {
            continue;
        }
        starts.extend((from..(end + 1).saturating_sub(16)).step_by(stride));
        from = if end < series.len() && series.is_clean(end) { end } else { end + 1 };
    }
    starts
}

/// Root mean square of an anomaly's change of one feature, in training deviations.
pub fn strength(
    series: &Series<'_>,
    model: &Model,
    rows: &Range<usize>,
    hit: &(usize, Vec<f64>),
) -> f64 {
    let (d, values) = hit;
    let std = model.generator.normaliser.std[*d];
    let square = |(t, value): (usize, &f64)| ((value - series.value(*d, t).unwrap()) / std).powi(2);
    (rows.clone().zip(values).map(square).sum::<f64>() / rows.len() as f64).sqrt()
}

/// Values of a batch [n, W, D] and of its reconstruction from the latent mean.
pub fn decoded(model: &Model, series: &Series<'_>, starts: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let size = model.generator.config.window;
    let matrix = model.generator.normaliser.apply(series, &RunToEnd).unwrap();
    let shape = (starts.len(), size, matrix.features());
    let x = Tensor::from_vec(matrix.gather(starts, size), shape, &Device::Cpu).unwrap();
    let vae = vae_of(model);
    let mean = vae.encode(&x).unwrap().0;
    (flat(&x), flat(&vae.decode(&mean).unwrap()))
}

/// Every verb on a series, without its answer.
pub fn verbs(model: &Model, series: &Series<'_>, control: &dyn Control) -> [Result<(), Error>; 6] {
    let config = GenerateConfig::default();
    [
        model.generate(series, &config, control).map(drop),
        model.pairs(series, &config, control).map(drop),
        model.score(series, control).map(drop),
        model.label(series, Threshold::Auto, control).map(drop),
        model.reconstruct(series, control).map(drop),
        model.embed(series, None, control).map(drop),
    ]
}
