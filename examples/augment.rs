//! The core crate alone: Arrow columns with anomalies in them, and scores.
//!
//! `cargo run --release --example augment`

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array};
use genias::anomaly::Synthetic;
use genias::rng::{Purpose, Rng};
use genias::{Columns, FitConfig, GenerateConfig, Model, RunToEnd, Series, fit};

const ROWS: usize = 2000;

/// Two waves that move together, with noise.
fn columns() -> genias::Result<Columns> {
    let mut rng = Rng::new(1, Purpose::Init, [0, 0]);
    let mut wave = |name: &str, shift: f64| -> (String, ArrayRef) {
        let noise = rng.normals(ROWS);
        let value = |t: usize| {
            (t as f64 / 12.0 + shift).sin()
                + 0.4 * (t as f64 / 70.0).cos()
                + 0.1 * f64::from(noise[t])
        };
        (name.into(), Arc::new(Float64Array::from_iter_values((0..ROWS).map(value))))
    };
    Columns::new(vec![wave("cpu", 0.0), wave("memory", 0.8)])
}

/// Mean score of the rows where `keep` holds.
fn mean_score(scores: &[Option<f32>], keep: impl Fn(usize) -> bool) -> f64 {
    let kept: Vec<f64> = (0..scores.len())
        .filter(|&row| keep(row))
        .filter_map(|row| scores[row].map(f64::from))
        .collect();
    kept.iter().sum::<f64>() / kept.len().max(1) as f64
}

fn main() -> genias::Result<()> {
    let columns = columns()?;
    let series = Series::whole(&columns);
    let config = FitConfig { window: 64, steps: 100, ..FitConfig::default() };
    let model = fit(&series, &config, &RunToEnd)?;
    println!("psi {:.2}, R2 {:.3}", model.psi(), model.report.r2.unwrap_or(f64::NAN));

    let options =
        GenerateConfig { contamination: Some(0.08), seed: 3, ..GenerateConfig::default() };
    let anomalies = model.generate(&series, &options, &RunToEnd)?;
    let mut synthetic = Synthetic::new(&columns);
    synthetic.add(&series, &anomalies);
    let out = synthetic.finish();
    for anomaly in &anomalies {
        let hit: Vec<&str> =
            anomaly.values.iter().map(|(d, _)| columns.names()[*d].as_str()).collect();
        println!("rows {:?}: {}", anomaly.rows, hit.join(", "));
    }

    // A model is bytes; they can be stored and read anywhere.
    let model = Model::from_bytes(&model.to_bytes()?)?;
    let names = columns.names().iter().cloned();
    let augmented = Columns::new(names.zip(out.values.iter().cloned()).collect())?;
    let scores = model.score(&Series::whole(&augmented), &RunToEnd)?;
    let inside =
        mean_score(&scores, |row| out.is_anomaly.is_valid(row) && out.is_anomaly.value(row));
    let outside = mean_score(&scores, |row| !out.is_anomaly.value(row));
    println!("mean score {inside:.3} inside anomalies, {outside:.3} outside");
    Ok(())
}
