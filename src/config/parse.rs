//! A flat map of options over the defaults of a configuration.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Reads a flat map of options over the defaults of `T`.
///
/// # Errors
/// [`Error::UnknownOption`], or [`Error::Parameter`] for a value of the wrong type.
pub(crate) fn over_defaults<T>(given: &Map<String, Value>) -> Result<T>
where
    T: Serialize + for<'de> Deserialize<'de> + Default,
{
    let mut config = to_map(&T::default())?;
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        if !overlay(&mut config, name, value) {
            let known = config.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownOption { name: name.clone(), known });
        }
    }
    from_map(config)
}

pub(super) fn overlay(config: &mut Map<String, Value>, name: &str, value: &Value) -> bool {
    config.get_mut(name).map(|slot| *slot = value.clone()).is_some()
}

pub(super) fn to_map<T: Serialize>(config: &T) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::Model("the configuration is not a map".into())),
    }
}

/// Deserialises option by option first, so that the error can name the one at fault.
pub(super) fn from_map<T: Serialize + for<'de> Deserialize<'de> + Default>(
    map: Map<String, Value>,
) -> Result<T> {
    let defaults = to_map(&T::default())?;
    for (name, value) in &map {
        let mut probe = defaults.clone();
        probe.insert(name.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<T>(Value::Object(probe)) {
            return Err(Error::parameter(static_name(name), value, error.to_string()));
        }
    }
    serde_json::from_value(Value::Object(map)).map_err(|error| Error::Model(error.to_string()))
}

/// The option names, as the `'static` strings that [`Error::Parameter`] holds.
pub(super) fn static_name(name: &str) -> &'static str {
    const NAMES: &[&str] = &[
        "window",
        "stride",
        "max_null",
        "latent",
        "channels",
        "levels",
        "kernel_size",
        "dropout",
        "decimation",
        "linear_path",
        "sigma_prior",
        "kl",
        "delta_min",
        "delta_max",
        "alpha",
        "beta",
        "gamma",
        "zeta",
        "perturbation",
        "margin",
        "calibrate",
        "refit",
        "local",
        "kinds",
        "steps",
        "batch_size",
        "learning_rate",
        "psi_learning_rate",
        "schedule",
        "clip",
        "patience",
        "min_gain",
        "validation",
        "seed",
        "contamination",
        "length",
        "form",
        "patch",
        "tau",
        "distance",
        "strength",
        "creep",
        "draws",
        "noise",
        "hit_constant",
        "detector",
        "negatives",
        "detector_steps",
        "detector_batch_size",
        "detector_channels",
        "detector_learning_rate",
        "nets",
        "row_weight",
        "classes",
        "neighbours",
        "temperature",
        "triplet_margin",
        "inconsistency_weight",
        "entropy_weight",
        "aggregate",
        "score_stride",
        "per_feature",
        "kind",
        "count",
        "factor",
        "shift",
        "feature_share",
    ];
    NAMES.iter().find(|known| **known == name).copied().unwrap_or("option")
}
