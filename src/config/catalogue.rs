//! Every option of every verb.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::alarm::AlarmConfig;
use super::compare::{COMPARE, CompareConfig};
use super::declare::words;
use super::detect::DetectConfig;
use super::fit::FitConfig;
use super::fleet::FleetConfig;
use super::generate::GenerateConfig;
use super::inject::{INJECT, InjectConfig};
use super::parse::to_map;
use super::preset::Preset;
use super::purpose::PurposeConfig;
use super::score::{ScoreConfig, THRESHOLD};
use super::sensitivity::{SENSITIVITY, SensitivityConfig};
use super::table::{
    ALL, Config, FITS, OptionRow, OptionSpec, Shape, Shaped, ValueType, above, any, nearest, plain,
};
use crate::error::{Error, Result};

/// Options of a call that no configuration holds: the caller uses `max_gap` to cut rows into
/// series.
pub(super) const CALL: &[OptionSpec] = &[
    OptionSpec::new(
        "preset",
        "Defaults of the options that are not given.",
        "model and training",
        FITS,
        Preset::SHAPE,
        any(),
    ),
    OptionSpec::new(
        "max_gap",
        "Largest step of `order_by` inside a window.",
        "model and training",
        ALL,
        Shape { optional: true, ..plain(ValueType::Step) },
        above(0.0),
    ),
    OptionSpec::new(
        "on_error",
        "Result of a group that fails: an error of the call, or nulls and a warning.",
        "model and training",
        ALL,
        OnError::SHAPE,
        any(),
    ),
];

words! {
    /// Result of a group that fails.
    pub enum OnError {
        /// The whole call fails.
        Raise = "raise",
        /// Its rows are null, and a warning is issued.
        Null = "null",
    }
}

/// Topics whose options presets leave alone.
const OWN: [&str; 3] = [INJECT, SENSITIVITY, COMPARE];

/// Every option.
fn specs() -> impl Iterator<Item = &'static OptionSpec> {
    let all = [
        CALL,
        FitConfig::OPTIONS,
        PurposeConfig::OPTIONS,
        FleetConfig::OPTIONS,
        GenerateConfig::OPTIONS,
        DetectConfig::OPTIONS,
        ScoreConfig::OPTIONS,
        THRESHOLD,
        AlarmConfig::OPTIONS,
        InjectConfig::OPTIONS,
        SensitivityConfig::OPTIONS,
        CompareConfig::OPTIONS,
    ];
    all.into_iter().flatten()
}

/// The table of options, for documentation and other languages. An option that several verbs share
/// is listed once.
///
/// # Errors
/// None that a caller can cause.
pub fn option_table() -> Result<Vec<OptionRow>> {
    let default = defaults(Preset::Default)?;
    let (thorough, paper) = (defaults(Preset::Thorough)?, defaults(Preset::Paper)?);
    let mut rows: Vec<OptionRow> = Vec::new();
    for option in specs().filter(|option| !OWN.contains(&option.group)) {
        let value = |values: &Map<String, Value>| values.get(option.name).cloned();
        if !rows.iter().any(|row| row.covers(option)) {
            rows.push(OptionRow::new(option, [&default, &thorough, &paper].map(value)));
        }
    }
    add_own::<InjectConfig>(&mut rows)?;
    add_own::<SensitivityConfig>(&mut rows)?;
    add_own::<CompareConfig>(&mut rows)?;
    Ok(rows)
}

/// Adds the options of a verb that presets leave alone, where there is no row of them yet.
fn add_own<T: Config>(rows: &mut Vec<OptionRow>) -> Result<()> {
    let defaults = to_map(&T::default())?;
    for option in T::OPTIONS {
        if !rows.iter().any(|row| row.covers(option)) {
            let value = || defaults.get(option.name).cloned();
            rows.push(OptionRow::new(option, [value(), value(), value()]));
        }
    }
    Ok(())
}

/// Default of every option except those of `inject`.
fn defaults(preset: Preset) -> Result<Map<String, Value>> {
    let mut values = to_map(&ScoreConfig::default())?;
    values.append(&mut to_map(&AlarmConfig::default())?);
    values.append(&mut to_map(&DetectConfig::preset(preset))?);
    values.append(&mut to_map(&GenerateConfig::preset(preset))?);
    values.append(&mut to_map(&FitConfig::preset(preset))?);
    values.append(&mut to_map(&FleetConfig::default())?);
    values.insert("on_error".into(), OnError::Raise.name().into());
    values.insert("preset".into(), preset.name().into());
    values.insert("threshold".into(), "auto".into());
    Ok(values)
}

/// Rejects options that `verb` does not take.
///
/// # Errors
/// [`Error::UnknownOption`], or [`Error::Parameter`] for an option of other verbs.
pub(super) fn refuse_foreign(verb: &str, given: &Map<String, Value>) -> Result<()> {
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let named: Vec<_> = specs().filter(|option| option.name == name).collect();
        match named.first() {
            None => return Err(unknown(verb, name)),
            Some(option) if named.iter().any(|option| option.verbs().contains(&verb)) => {
                // Words of other options are checked when their configuration is parsed.
                if CALL.iter().any(|call| call.name == option.name) && !option.knows(value) {
                    return Err(option.refuse_given(value));
                }
            }
            Some(option) => {
                let users = named.iter().flat_map(|option| option.verbs());
                return Err(Error::parameter(option.name, value, foreign(verb, name, users)));
            }
        }
    }
    Ok(())
}

/// Message for an option of other verbs.
fn foreign<'a>(verb: &str, name: &str, users: impl Iterator<Item = &'a &'a str>) -> String {
    let own =
        if name == "stride" { " (rows between windows are `window_stride` there)" } else { "" };
    let mut users: Vec<_> = users.map(|verb| format!("`{verb}`")).collect();
    let mut seen = HashSet::new();
    users.retain(|user| seen.insert(user.clone()));
    let users = users.join(", ");
    format!("left out of `{verb}`{own}; it is an option of {users}")
}

fn unknown(verb: &str, name: &str) -> Error {
    let of_verb = specs().filter(|option| option.verbs().contains(&verb)).map(|option| option.name);
    let mut known: Vec<&str> = of_verb.collect();
    known.sort_unstable();
    known.dedup();
    let near = nearest(name, known.iter().copied());
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Error::UnknownOption { name: name.into(), near, known: known.join(", ") }
}
