//! Keyword arguments of every expression.

use genias::config::CompareConfig;
use genias::inject::InjectConfig;
use genias::{Error, Options};
use polars::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The arguments after the values, and the options.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The verb, as the user calls it.
    pub verb: String,
    pub inputs: Roles,
    /// User-facing names of the group columns; empty if they keep their own names.
    #[serde(default)]
    pub by: Vec<String>,
    pub options: Map<String, Value>,
    pub suffix: String,
    pub strict: bool,
    /// Whether models are returned with their updated reference.
    #[serde(default)]
    pub update: bool,
    /// Result of a group that fails.
    #[serde(default)]
    pub on_error: OnError,
    /// The training of a backbone that the call is a step of.
    #[serde(default)]
    pub fleet: InFleet,
}

/// A training of a backbone on series that lie on several machines.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InFleet {
    /// Number of series.
    pub series: usize,
    /// Number of rounds of training before it.
    pub round: usize,
}

/// Arguments after the values, in this order.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// A Boolean column of known anomalies.
    pub label: bool,
    /// A Boolean column of rows that anomalies may be put on.
    #[serde(default)]
    pub place: bool,
    /// A Binary column of models.
    pub model: bool,
    /// Whether the models are a table, as a struct: the columns that group the rows, and a model.
    #[serde(default)]
    pub keyed: bool,
    /// Number of columns that order the rows.
    pub order: usize,
    /// Number of columns that group them.
    pub by: usize,
}

/// Result of a group that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The whole call fails.
    #[default]
    Raise,
    /// Its rows are null, and a warning is issued.
    Null,
}

/// Largest step of the order column inside a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxGap {
    /// In units of the column.
    Number(f64),
    /// A duration in microseconds, for temporal columns.
    Microseconds(f64),
}

impl std::fmt::Display for MaxGap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Microseconds(us) => write!(f, "{} seconds", us / 1e6),
        }
    }
}

impl Call {
    /// # Errors
    /// If there are options: the verb has none.
    pub fn refuse_options(&self, verb: &str) -> PolarsResult<()> {
        polars_ensure!(
            self.options.is_empty(),
            ComputeError: "{verb}() takes no options, {:?} given", self.options
        );
        Ok(())
    }

    /// The options of the core, and those that only the plugin uses.
    pub fn parse(&self) -> PolarsResult<(Options, Option<MaxGap>)> {
        parse(&self.verb, &self.options, self.inputs.order).map_err(to_polars)
    }

    /// The options of `inject`.
    pub fn parse_inject(&self) -> PolarsResult<(InjectConfig, Option<MaxGap>)> {
        parse_inject(&self.options, self.inputs.order).map_err(to_polars)
    }

    /// The options of `compare`.
    pub fn parse_compare(&self) -> PolarsResult<CompareConfig> {
        CompareConfig::parse(&self.options).map_err(to_polars)
    }

    /// Rejects group keys, for expressions whose result does not have the rows of the input.
    pub fn refuse_groups(&self, verb: &str) -> PolarsResult<()> {
        polars_ensure!(
            self.inputs.by == 0,
            InvalidOperation: "`{verb}` takes no group keys: use group_by().agg()"
        );
        Ok(())
    }
}

/// Options of a call of a verb with `ordered_by` order columns.
pub fn parse(
    verb: &str,
    options: &Map<String, Value>,
    ordered_by: usize,
) -> genias::Result<(Options, Option<MaxGap>)> {
    let (options, max_gap) = split_max_gap(options, ordered_by)?;
    Ok((Options::parse(verb, &options)?, max_gap))
}

/// Options of a call of `inject`.
pub fn parse_inject(
    options: &Map<String, Value>,
    ordered_by: usize,
) -> genias::Result<(InjectConfig, Option<MaxGap>)> {
    let (options, max_gap) = split_max_gap(options, ordered_by)?;
    Ok((InjectConfig::parse(&options)?, max_gap))
}

/// The options of the core, and the largest step inside a window.
fn split_max_gap(
    options: &Map<String, Value>,
    ordered_by: usize,
) -> genias::Result<(Map<String, Value>, Option<MaxGap>)> {
    let mut options = options.clone();
    let given = options.remove("max_gap").filter(|value| !value.is_null());
    if let Some(value) = given.as_ref().filter(|_| ordered_by != 1) {
        let allowed = "given together with exactly one `order_by` column";
        return Err(Error::parameter("max_gap", value, allowed));
    }
    Ok((options, max_gap(given)?))
}

fn max_gap(given: Option<Value>) -> genias::Result<Option<MaxGap>> {
    let Some(value) = given else { return Ok(None) };
    let gap = match &value {
        Value::Object(map) => map.get("us").and_then(Value::as_f64).map(MaxGap::Microseconds),
        value => value.as_f64().map(MaxGap::Number),
    };
    match gap {
        Some(MaxGap::Number(x) | MaxGap::Microseconds(x)) if x > 0.0 => Ok(gap),
        _ => Err(Error::parameter("max_gap", value, "a number > 0 or a positive timedelta")),
    }
}

/// Converts a core error to a Polars error. A NUL cannot cross the plugin boundary.
pub fn to_polars(error: Error) -> PolarsError {
    polars_err!(ComputeError: "{}", error.to_string().replace('\0', "\\0"))
}
