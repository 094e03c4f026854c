//! The functions that Python calls directly.

use std::sync::Arc;

use genias::model::Health;
use genias::{apart, Model};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::expressions::metrics::MetricCall;
use crate::{cache, call, progress as registry};

/// Number of trainings that this process ran.
#[pyfunction]
fn fit_count() -> usize {
    cache::fit_count()
}

/// Clears the cache of fits.
#[pyfunction]
fn clear_cache() {
    cache::clear();
}

/// Progress of the fits of this process, as JSON.
#[pyfunction]
fn progress() -> PyResult<String> {
    registry::snapshot().map_err(value_error)
}

/// Rejects options (a JSON object) that `verb` does not accept.
#[pyfunction]
fn check_options(verb: &str, options: &str, ordered_by: usize) -> PyResult<()> {
    let options = serde_json::from_str(options).map_err(value_error)?;
    let checked = match verb {
        "inject" => call::parse_inject(&options, ordered_by).map(|_| ()),
        "compare" => genias::config::CompareConfig::parse(&options).map(|_| ()),
        _ => call::parse(verb, &options, ordered_by).map(|_| ()),
    };
    checked.map_err(value_error)
}

/// The table of options, as JSON.
#[pyfunction]
fn options() -> PyResult<String> {
    let rows = genias::config::option_table().map_err(value_error)?;
    serde_json::to_string(&rows).map_err(value_error)
}

/// The table of detectors, as JSON.
#[pyfunction]
fn detectors() -> PyResult<String> {
    serde_json::to_string(&genias::detector::detector_table()).map_err(value_error)
}

/// The warnings about a fit, each with a sentence, as JSON.
#[pyfunction]
fn health_warnings() -> PyResult<String> {
    serde_json::to_string(Health::WORDS).map_err(value_error)
}

/// Rejects options (a JSON object of `metric` and `options`) that a metric does not accept.
#[pyfunction]
fn check_metric(call: &str) -> PyResult<()> {
    let call: MetricCall = serde_json::from_str(call).map_err(value_error)?;
    call.parse().map(|_| ()).map_err(value_error)
}

/// Window, latent units and features of a model, as JSON.
#[pyfunction]
#[pyo3(signature = (model, backbone=None))]
fn model_info(model: &[u8], backbone: Option<&[u8]>) -> PyResult<String> {
    let model = read(model, backbone)?;
    Ok(serde_json::json!({
        "window": model.generator.config.window,
        "latent": model.generator.latent(),
        "features": model.generator.normaliser.features,
    })
    .to_string())
}

fn read(model: &[u8], backbone: Option<&[u8]>) -> PyResult<Model> {
    let backbone = backbone.map(apart::read).transpose().map_err(value_error)?.map(Arc::new);
    Model::from_parts(model, backbone.as_ref()).map_err(value_error)
}

fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Fewest series that share a backbone, and most rounds of training.
#[pyfunction]
fn fleet_limits() -> (usize, usize) {
    (genias::generator::FEWEST, genias::generator::ROUNDS)
}

/// Version of the package.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Empties candle's own thread pool. Its workers spin between operations and would compete with
/// this library's pool.
fn still_candle() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    let before = std::env::var_os(THREADS);
    std::env::set_var(THREADS, "1");
    candle_core::utils::barrier_pool();
    match before {
        Some(value) => std::env::set_var(THREADS, value),
        None => std::env::remove_var(THREADS),
    }
}

#[pymodule]
fn _genias(module: &Bound<'_, PyModule>) -> PyResult<()> {
    still_candle();
    module.add_function(wrap_pyfunction!(fit_count, module)?)?;
    module.add_function(wrap_pyfunction!(clear_cache, module)?)?;
    module.add_function(wrap_pyfunction!(progress, module)?)?;
    module.add_function(wrap_pyfunction!(check_options, module)?)?;
    module.add_function(wrap_pyfunction!(check_metric, module)?)?;
    module.add_function(wrap_pyfunction!(options, module)?)?;
    module.add_function(wrap_pyfunction!(detectors, module)?)?;
    module.add_function(wrap_pyfunction!(health_warnings, module)?)?;
    module.add_function(wrap_pyfunction!(model_info, module)?)?;
    module.add_function(wrap_pyfunction!(fleet_limits, module)?)?;
    module.add_function(wrap_pyfunction!(version, module)?)
}
