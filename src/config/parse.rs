//! Reads a flat map of options over the defaults of a configuration.

use serde::Serialize;
use serde_json::{Map, Value};

use super::table::{Config, OptionSpec};
use crate::error::{Error, Result};

/// Overrides the defaults by the given options. Null is `None` for an option that can be `None`, and the
/// default for the others.
///
/// # Errors
/// [`Error::Parameter`] for a value of the wrong type.
pub(super) fn over<T: Config>(defaults: &T, given: &Map<String, Value>) -> Result<T> {
    let mut config = to_map(defaults)?;
    for option in T::OPTIONS {
        let known = |value: &&Value| option.shape.optional || !value.is_null();
        let Some(value) = given.get(option.name).filter(known) else { continue };
        config.insert(option.name.into(), value.clone());
        // One at a time, so that the error names the right option.
        from_map::<T>(&config).map_err(|_| option.refuse_given(value))?;
    }
    from_map(&config)
}

fn from_map<T: Config>(map: &Map<String, Value>) -> Result<T> {
    T::deserialize(map).map_err(|error| Error::Model(error.to_string()))
}

pub(super) fn to_map<T: Serialize>(config: &T) -> Result<Map<String, Value>> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Error::Model("the configuration is not a map".into())),
    }
}

/// The values of a list, or of one value; `None` for an empty list, and for one that `read` refuses.
pub(super) fn listed<T>(value: Value, read: impl Fn(Value) -> Option<T>) -> Option<Vec<T>> {
    let values = match value {
        Value::Array(values) => values,
        value => vec![value],
    };
    let values: Option<Vec<T>> = values.into_iter().map(read).collect();
    values.filter(|values| !values.is_empty())
}

/// Rejects given options that have no effect, given the value of another option in `chosen`.
///
/// # Errors
/// [`Error::Parameter`], which names the option, the other option's value, and the values that use
/// it.
pub(super) fn refuse_unused(
    options: &[OptionSpec],
    given: &Map<String, Value>,
    chosen: &Map<String, Value>,
) -> Result<()> {
    for option in options {
        let value = given.get(option.name).filter(|value| is_set(value));
        let (Some(value), Some((other, users))) = (value, option.rule.when) else { continue };
        let choice = chosen.get(other).filter(|choice| !choice.is_null());
        if let Some(choice) = choice.filter(|choice| !names_any(choice, users)) {
            let users = users.iter().map(|user| format!("{user:?}")).collect::<Vec<_>>();
            let allowed = format!(
                "left out with `{other}` = {choice}; it is an option of {}",
                users.join(", ")
            );
            return Err(Error::parameter(option.name, value, allowed));
        }
    }
    Ok(())
}

/// Whether a value has an effect.
fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Whether a name, or a name in a list, is among `users`.
fn names_any(choice: &Value, users: &[&str]) -> bool {
    match choice {
        Value::Array(names) => names.iter().any(|name| names_any(name, users)),
        name => name.as_str().is_some_and(|name| users.contains(&name)),
    }
}
