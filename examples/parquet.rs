//! Parquet in, Parquet out, with the core crate alone: the rows of one series as they are, beside
//! them a score and a label, and the same rows with generated, labelled anomalies.
//!
//! `cargo run --release --example parquet -- [--steps N] [INPUT.parquet OUTPUT.parquet]`
//!
//! Every numeric column is a feature, and rows are in time order. Without files, a small one is made
//! in the folder for temporary files.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use genias::anomaly::Synthetic;
use genias::{
    Columns, DetectConfig, DetectorKind, FitConfig, GenerateConfig, RunToEnd, Series, Threshold,
    fit,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A new column.
type Named = (String, ArrayRef);

fn read(path: &Path) -> Result<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let schema = reader.schema().clone();
    let batches = reader.build()?.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Writes beside `path` and renames: a reader sees the old file or the whole new one.
fn write(path: &Path, batch: &RecordBatch) -> Result<()> {
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    let compression = Compression::ZSTD(ZstdLevel::try_new(3)?);
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        ArrowWriter::try_new(File::create(&beside)?, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(fs::rename(beside, path)?)
}

fn features(batch: &RecordBatch) -> Result<Columns> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let numeric = fields.filter(|(field, _)| field.data_type().is_numeric());
    Ok(Columns::new(numeric.map(|(field, array)| (field.name().clone(), array.clone())).collect())?)
}

/// Fits a model to the rows, scores and labels them, and generates anomalies.
fn answer(columns: &Columns, steps: usize) -> Result<Vec<Named>> {
    let series = Series::whole(columns);
    let config = FitConfig { window: 64, steps, ..FitConfig::default() };
    let model = fit(&series, &config, &RunToEnd)?;
    let detector = DetectConfig {
        detector: DetectorKind::Classifier,
        detector_steps: Some(steps),
        ..DetectConfig::default()
    };
    let model = model.fit_detector(&series, &detector, &RunToEnd)?;
    let scores = model.score(&series, &RunToEnd)?;
    let labels = model.label(&series, Threshold::Auto, &RunToEnd)?;

    let anomalies = model.generate(&series, &GenerateConfig::default(), &RunToEnd)?;
    let mut synthetic = Synthetic::new(columns);
    synthetic.add(&series, &anomalies);
    let synthetic = synthetic.finish();
    println!("psi {:.2}, {} anomalies", model.psi(), anomalies.len());

    let named =
        |suffix: &'static str| columns.names().iter().map(move |name| format!("{name}{suffix}"));
    let mut new: Vec<Named> = named("_synthetic").zip(synthetic.values).collect();
    new.push(("is_anomaly".into(), Arc::new(synthetic.is_anomaly)));
    new.push(("anomaly_id".into(), Arc::new(synthetic.anomaly_id)));
    let masks = synthetic.masks.into_iter().map(|mask| Arc::new(mask) as ArrayRef);
    new.extend(named("_mask").zip(masks));
    new.push(("anomaly_score".into(), Arc::new(Float32Array::from(scores))));
    new.push(("anomaly_label".into(), Arc::new(BooleanArray::from(labels))));
    Ok(new)
}

/// The rows, with the columns `new` after theirs.
fn beside(batch: &RecordBatch, new: Vec<Named>) -> Result<RecordBatch> {
    let added = new.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true));
    let fields = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone());
    let schema = Schema::new(fields.chain(added).collect::<Vec<_>>());
    let arrays = batch.columns().iter().cloned().chain(new.into_iter().map(|(_, array)| array));
    Ok(RecordBatch::try_new(Arc::new(schema), arrays.collect())?)
}

/// 1,000 rows of two waves.
fn make(path: &Path) -> Result<()> {
    let wave = |period: f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values((0..1000).map(|t| (f64::from(t) / period).sin())))
    };
    write(path, &RecordBatch::try_from_iter([("cpu", wave(9.0)), ("memory", wave(40.0))])?)
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut steps = 60;
    if arguments.first().is_some_and(|first| first == "--steps") {
        steps = arguments.get(1).ok_or("--steps needs a number")?.parse()?;
        arguments.drain(..2);
    }
    let (input, output) = match arguments.as_slice() {
        [] => {
            let folder = std::env::temp_dir().join(format!("genias-{}", std::process::id()));
            fs::create_dir_all(&folder)?;
            make(&folder.join("waves.parquet"))?;
            (folder.join("waves.parquet"), folder.join("labelled.parquet"))
        }
        [input, output] => (PathBuf::from(input), PathBuf::from(output)),
        _ => return Err("usage: parquet [--steps N] [INPUT.parquet OUTPUT.parquet]".into()),
    };
    let batch = read(&input)?;
    let new = answer(&features(&batch)?, steps)?;
    write(&output, &beside(&batch, new)?)?;

    let written = read(&output)?;
    let names: Vec<&str> =
        written.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
    println!("{} rows of {} in {}", written.num_rows(), names.join(", "), output.display());
    Ok(())
}
