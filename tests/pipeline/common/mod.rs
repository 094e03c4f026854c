//! Small series, small fits and comparisons that the integration tests share.

// The benchmark of mutated models, which includes this file, uses a part of it.
#![allow(dead_code)]

pub mod bytes;
pub mod mutation;
pub mod stages;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, Float64Array};
use candle_core::{DType, Device, Tensor};
use genias::rng::{Purpose, Rng};
use genias::vae::{Architecture, Vae};
use genias::{
    Columns, Control, DetectConfig, DetectorKind, FitConfig, Model, Rows, RunToEnd, Series, Status,
    fit,
};

/// A stream of random numbers of the tests' own.
pub fn rng(seed: u64) -> Rng {
    Rng::new(seed, Purpose::Place, [u64::MAX, 0])
}

/// Noisy sine of unit amplitude and its own period per `seed`.
pub fn wave(rows: usize, seed: u64) -> Vec<f64> {
    let noise = rng(seed).normals(rows);
    let period = 9.0 + 2.0 * (seed % 7) as f64;
    noise
        .iter()
        .enumerate()
        .map(|(t, e)| (std::f64::consts::TAU * t as f64 / period).sin() + 0.1 * f64::from(*e))
        .collect()
}

/// A 64-bit column; `None` is null.
pub fn column(name: &str, values: impl IntoIterator<Item = Option<f64>>) -> (String, ArrayRef) {
    (name.into(), Arc::new(Float64Array::from_iter(values)))
}

/// A frame of 64-bit columns without nulls.
pub fn frame(fields: &[(&str, &[f64])]) -> Columns {
    let fields = fields.iter().map(|(name, v)| column(name, v.iter().copied().map(Some)));
    Columns::new(fields.collect()).unwrap()
}

/// Two features on different scales, as noisy sines.
pub fn waves(rows: usize) -> Columns {
    let b: Vec<f64> = wave(rows, 2).into_iter().map(|x| 500.0 + 40.0 * x).collect();
    frame(&[("a", &wave(rows, 1)), ("b", &b)])
}

/// The smallest fit that passes through every stage.
pub fn small() -> FitConfig {
    FitConfig {
        window: 16,
        latent: Some(4),
        channels: 4,
        steps: 5,
        batch_size: 16,
        // Trains whether or not that pays.
        learning_rate: 5e-4,
        patience: Some(200),
        min_gain: 0.0,
        max_null: 0.0,
        ..FitConfig::default()
    }
}

/// A fit of few seconds that does learn.
pub fn normal() -> FitConfig {
    FitConfig { latent: Some(12), channels: 8, steps: 150, batch_size: 32, ..small() }
}

/// Fits, with the thresholds of the detectors that need no training.
pub fn with_thresholds(series: &Series<'_>, config: &FitConfig, control: &dyn Control) -> Model {
    let untrained =
        DetectConfig { detector: DetectorKind::Reconstruction, ..DetectConfig::default() };
    let model = fit(series, config, control).unwrap();
    model.fit_detector(series, &untrained, control).unwrap()
}

/// Fits, with thresholds, and checks what must hold for any model.
pub fn fitted(series: &Series<'_>, config: &FitConfig) -> Model {
    let model = with_thresholds(series, config, &RunToEnd);
    assert!(model.psi() >= 1.0, "psi {}", model.psi());
    let report = &model.report;
    let numbers =
        [report.r2, report.r2_pca, report.kl, report.loss, model.calibration(None).map(|c| c.auto)];
    assert!(numbers.iter().flatten().all(|x| x.is_finite()), "{report:?}");
    // Reading refuses parameters that are not finite.
    Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
    model
}

/// A model of every row of a frame.
pub fn model_of(columns: &Columns, config: &FitConfig) -> Model {
    fitted(&Series::whole(columns), config)
}

/// The VAE inside a model, by way of its bytes.
pub fn vae_of(model: &Model) -> Vae {
    let bytes = model.to_bytes().unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let live = model.generator.normaliser.live_features().len();
    let architecture = Architecture::new(&model.generator.config, live);
    Vae::new(&architecture, tensors.into_iter().collect()).unwrap()
}

/// Values of a tensor in row-major order, as 64-bit numbers.
pub fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts that two lists of numbers differ by at most `tolerance` of the largest expected one.
pub fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: number of values");
    let scale = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        let error = (x - y).abs();
        assert!(error <= tolerance * scale, "{name}[{i}]: {x}, expected {y} (scale {scale})");
    }
}

/// A value with its bits, so that NaN equals NaN and -0.0 differs from 0.0; `None` for null.
pub fn bits(array: &ArrayRef) -> Vec<Option<u64>> {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type};
    let bits = |row: usize| match array.data_type() {
        DataType::Boolean => u64::from(array.as_boolean().value(row)),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row) as u64,
        DataType::Float32 => u64::from(array.as_primitive::<Float32Type>().value(row).to_bits()),
        _ => array.as_primitive::<Float64Type>().value(row).to_bits(),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| bits(row))).collect()
}

/// A series of the frame rows `rows`.
pub fn picked(columns: &Columns, rows: impl IntoIterator<Item = usize>) -> Series<'_> {
    Series::new(columns, Rows::Picked(rows.into_iter().map(|row| row as u32).collect()))
}

/// Whether a window of 16 usable rows without a gap holds row `t`.
pub fn is_covered(series: &Series<'_>, t: usize) -> bool {
    let fits = |start: usize| {
        start + 16 <= series.len()
            && (start..start + 16).all(|t| series.is_usable(t))
            && !(start + 1..start + 16).any(|t| series.gaps().contains(&t))
    };
    (t.saturating_sub(15)..=t).any(fits)
}

/// Says "cancelled" from the `after`-th question on.
pub struct CancelAfter {
    after: usize,
    asked: AtomicUsize,
}

impl CancelAfter {
    pub fn new(after: usize) -> Self {
        Self { after, asked: AtomicUsize::new(0) }
    }
}

impl Control for CancelAfter {
    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.after
    }
}

/// How often a computation asks whether to stop.
pub fn questions<T>(work: impl FnOnce(&dyn Control) -> T) -> usize {
    let control = CancelAfter::new(usize::MAX);
    work(&control);
    control.asked.into_inner()
}

/// Notes what it is told.
#[derive(Default)]
pub struct Noted(Mutex<Vec<Status>>);

impl Noted {
    pub fn told(self) -> Vec<Status> {
        self.0.into_inner().unwrap()
    }
}

impl Control for Noted {
    fn progress(&self, status: &Status) {
        self.0.lock().unwrap().push(*status);
    }
}

/// Keeps to its own thread.
pub struct OneThread;

impl Control for OneThread {
    fn alone(&self) -> bool {
        false
    }
}

/// Runs `work` in a rayon pool of `threads` threads.
pub fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}
