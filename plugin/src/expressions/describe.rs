//! `describe()`: the contents of a model.

use genias::{GenerateConfig, Model};
use polars::prelude::*;
use pyo3_polars::derive::polars_expr;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::values_field;
use crate::cache;
use crate::call::{to_polars, Call};
use crate::pool::pool;
use crate::stored::Stored;

/// One model, and the wall time of its fit if it ran in this process.
struct Described {
    model: Model,
    seconds: Option<f64>,
}

fn list(inner: DataType) -> DataType {
    DataType::List(Box::new(inner))
}

fn history_dtype() -> DataType {
    DataType::Struct(vec![
        Field::new("step".into(), DataType::UInt32),
        Field::new("train_loss".into(), DataType::Float64),
        Field::new("validation_loss".into(), DataType::Float64),
        Field::new("psi".into(), DataType::Float64),
    ])
}

fn describe_output(inputs: &[Field], _kwargs: Call) -> PolarsResult<Field> {
    let name = values_field(inputs)?.name().clone();
    let none = columns(&[])?;
    let fields = none.iter().map(|column| column.field().into_owned()).collect();
    Ok(Field::new(name, DataType::Struct(fields)))
}

#[polars_expr(output_type_func_with_kwargs=describe_output)]
fn describe(inputs: &[Series], kwargs: Call) -> PolarsResult<Series> {
    kwargs.refuse_options("describe")?;
    let column = Stored::of(&inputs[0])?;
    let read = |row: usize| -> genias::Result<Option<Described>> {
        let Some(parts) = column.get(row) else { return Ok(None) };
        let seconds = cache::seconds(xxh3_128(parts.0));
        Ok(Some(Described { model: column.read(parts)?, seconds }))
    };
    let models: Vec<Option<Described>> = pool()?
        .install(|| (0..column.len()).into_par_iter().map(read).collect::<genias::Result<_>>())
        .map_err(to_polars)?;
    let fields = columns(&models)?;
    let name = inputs[0].name().clone();
    Ok(StructChunked::from_series(name, models.len(), fields.iter())?.into_series())
}

type Models<'a> = &'a [Option<Described>];

/// The fields of the struct.
fn columns(models: Models<'_>) -> PolarsResult<Vec<Series>> {
    Ok(vec![
        count(models, "format_version", |_| Some(genias::artifact::FORMAT_VERSION as usize)),
        strings(models, "features", |m| m.model.generator.normaliser.features.clone())?,
        strings(models, "constant_features", |m| constant_features(&m.model))?,
        count(models, "window", |m| Some(m.model.generator.config.window)),
        count(models, "latent", |m| Some(m.model.generator.latent())),
        count(models, "parameters", |m| Some(m.model.parameter_count())).cast(&DataType::UInt64)?,
        number(models, "psi", |m| m.model.generator.psi().ok().flatten()),
        number(models, "r2", |m| m.model.report.r2),
        number(models, "r2_pca", |m| m.model.report.r2_pca),
        count(models, "active_units", |m| Some(m.model.report.active_units)),
        number(models, "edi", |m| m.model.generator.edi()),
        number(models, "correlation", |m| m.model.generator.strongest_correlation()),
        number(models, "kl", |m| m.model.report.kl),
        number(models, "tau", |m| {
            m.model.generator.tau.get(&GenerateConfig::default().distance).copied()
        }),
        number(models, "patch_rate", |m| m.model.report.patch_rate),
        number(models, "in_band", |m| m.model.report.in_band),
        number(models, "loss", |m| m.model.report.loss),
        text(models, "detector", |m| Some(m.model.detector().name().to_string())),
        number(models, "threshold", |m| m.model.calibration(None).map(|c| c.auto)),
        thresholds(models)?,
        count(models, "train_windows", |m| Some(m.model.report.train_windows)),
        count(models, "validation_windows", |m| Some(m.model.report.validation_windows)),
        count(models, "steps", |m| Some(m.model.report.steps)),
        number(models, "seconds", |m| m.seconds),
        text(models, "stop_reason", |m| {
            m.model.report.stop_reason.map(|reason| reason.name().to_string())
        }),
        strings(models, "health", |m| {
            m.model.report.health.iter().map(|warning| warning.name().to_string()).collect()
        })?,
        history(models)?,
        text(models, "origin", |m| {
            m.model.generator.psi().ok().flatten()?;
            Some(m.model.report.origin.name().to_string())
        }),
        text(models, "backbone", |m| m.model.backbone().map(|backbone| backbone.id())),
        text(models, "config", |m| serde_json::to_string(&m.model.generator.config).ok()),
    ])
}

fn constant_features(model: &Model) -> Vec<String> {
    let normaliser = &model.generator.normaliser;
    let pairs = normaliser.features.iter().zip(&normaliser.live);
    pairs.filter(|(_, live)| !**live).map(|(name, _)| name.clone()).collect()
}

fn count(models: Models<'_>, name: &str, get: impl Fn(&Described) -> Option<usize>) -> Series {
    let values = models.iter().map(|model| model.as_ref().and_then(&get).map(|n| n as u32));
    UInt32Chunked::from_iter_options(name.into(), values).into_series()
}

fn number(models: Models<'_>, name: &str, get: impl Fn(&Described) -> Option<f64>) -> Series {
    let values = models.iter().map(|model| model.as_ref().and_then(&get));
    Float64Chunked::from_iter_options(name.into(), values).into_series()
}

fn text(models: Models<'_>, name: &str, get: impl Fn(&Described) -> Option<String>) -> Series {
    let values = models.iter().map(|model| model.as_ref().and_then(&get));
    StringChunked::from_iter_options(name.into(), values).into_series()
}

fn strings(
    models: Models<'_>,
    name: &str,
    get: impl Fn(&Described) -> Vec<String>,
) -> PolarsResult<Series> {
    let rows = models
        .iter()
        .map(|model| model.as_ref().map(|model| Series::new(PlSmallStr::EMPTY, get(model))));
    lists(name, rows, DataType::String)
}

fn thresholds_dtype() -> DataType {
    let number = |name: &str| Field::new(name.into(), DataType::Float64);
    let detector = Field::new("detector".into(), DataType::String);
    DataType::Struct(vec![detector, number("auto"), number("pot"), number("synthetic_f1")])
}

/// Thresholds of every detector of a model.
fn thresholds(models: Models<'_>) -> PolarsResult<Series> {
    let row = |model: &Described| {
        let all = &model.model.detectors.calibrations;
        let names: Vec<&str> = all.keys().map(|kind| kind.name()).collect();
        let numbers = |name: &str, get: fn(&genias::detector::Calibration) -> f64| {
            Series::new(name.into(), all.values().map(get).collect::<Vec<f64>>())
        };
        let fields = [
            Series::new("detector".into(), names),
            numbers("auto", |c| c.auto),
            numbers("pot", |c| c.pot),
            numbers("synthetic_f1", |c| c.synthetic_f1),
        ];
        let rows = StructChunked::from_series(PlSmallStr::EMPTY, all.len(), fields.iter())?;
        Ok(rows.into_series())
    };
    let rows = models.iter().map(|model| model.as_ref().map(row).transpose());
    let rows = rows.collect::<PolarsResult<Vec<_>>>()?;
    lists("thresholds", rows.into_iter(), thresholds_dtype())
}

fn history(models: Models<'_>) -> PolarsResult<Series> {
    let rows = models
        .iter()
        .map(|model| {
            let Some(model) = model else { return Ok(None) };
            let lines = &model.model.report.history;
            let numbers = |name: &str, get: fn(&genias::train::Progress) -> f64| {
                Series::new(name.into(), lines.iter().map(get).collect::<Vec<f64>>())
            };
            let steps: Vec<u32> = lines.iter().map(|line| line.step as u32).collect();
            let fields = [
                Series::new("step".into(), steps),
                numbers("train_loss", |line| line.train_loss),
                numbers("validation_loss", |line| line.validation_loss),
                numbers("psi", |line| line.psi),
            ];
            let rows = StructChunked::from_series(PlSmallStr::EMPTY, lines.len(), fields.iter())?;
            Ok(Some(rows.into_series()))
        })
        .collect::<PolarsResult<Vec<_>>>()?;
    lists("history", rows.into_iter(), history_dtype())
}

/// A List column of the given inner type, even without rows.
fn lists(
    name: &str,
    rows: impl Iterator<Item = Option<Series>>,
    inner: DataType,
) -> PolarsResult<Series> {
    let values: Vec<AnyValue<'static>> =
        rows.map(|row| row.map_or(AnyValue::Null, AnyValue::List)).collect();
    Series::from_any_values_and_dtype(name.into(), &values, &list(inner), true)
}
