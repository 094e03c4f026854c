//! The one error type of the crate.
//!
//! Every variant names the parameter or column at fault and the value found there, because the
//! text is all that reaches a user of the Polars plugin.

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between columns and columns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value outside its range.
    #[error("parameter `{name}` = {value}: must be {allowed}")]
    Parameter {
        /// Option name, as the user writes it.
        name: &'static str,
        /// The value given.
        value: String,
        /// The range or set of values that is allowed.
        allowed: String,
    },
    /// An option that does not exist.
    #[error("unknown option `{name}`; known options are {known}")]
    UnknownOption {
        /// The name given.
        name: String,
        /// Every known name.
        known: String,
    },
    /// A column that is not numeric, Boolean or Decimal.
    #[error("column `{column}` has dtype {dtype}: a numeric or Boolean column is needed")]
    Dtype {
        /// Column name.
        column: String,
        /// Its Arrow data type.
        dtype: String,
    },
    /// No feature column, or two of the same name.
    #[error("features {features:?}: {reason}")]
    Features {
        /// Feature names as given.
        features: Vec<String>,
        /// What is wrong with them.
        reason: String,
    },
    /// Columns of one frame differ in length.
    #[error("column `{column}` has {found} rows, the others have {expected}")]
    Length {
        /// Column name.
        column: String,
        /// Its number of rows.
        found: usize,
        /// The number of rows of the first column.
        expected: usize,
    },
    /// Positive or negative infinity in the input.
    #[error("column `{column}` is infinite at row {row}; replace or null it first")]
    Infinite {
        /// Column name.
        column: String,
        /// First row (0-based) that is infinite.
        row: usize,
    },
    /// The series has fewer rows than one window (an error under `strict` only).
    #[error("series of {rows} rows is shorter than `window` = {window}")]
    TooShort {
        /// Rows of the series.
        rows: usize,
        /// Window size asked for.
        window: usize,
    },
    /// Every window holds too many nulls, a gap or a known anomaly (an error under `strict` only).
    #[error(
        "none of the {rows} rows lies in a window of {window} rows that is free of gaps and known anomalies and holds as few nulls as `max_null` allows"
    )]
    NoWindow {
        /// Rows of the series.
        rows: usize,
        /// Window size asked for.
        window: usize,
    },
    /// No two features go together, so there is nothing to break (an error under `strict` only).
    #[error(
        "`patch` = \"correlation\" needs two features that go together, with a correlation of {least} or more in what the model reconstructs; the largest of the model is {strongest:.2} (of features that hardly ever move, none counts)"
    )]
    NoCorrelation {
        /// Largest absolute correlation of two live features.
        strongest: f64,
        /// What is needed.
        least: f64,
    },
    /// The anomalies asked for do not fit without overlap.
    #[error(
        "`{parameter}` = {value} needs {asked} anomalies in a series of {rows} rows, but only {fits} fit without overlap into its clean rows; lower `{parameter}` or `length`"
    )]
    DoesNotFit {
        /// The option that asks for them: `contamination` or `count`.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// Anomalies that it takes.
        asked: usize,
        /// Rows of the series.
        rows: usize,
        /// Anomalies that fit.
        fits: usize,
    },
    /// The loss became NaN or infinite at every learning rate tried.
    #[error(
        "training diverged at step {step}, after {retries} retries at lower rates (last `learning_rate` {learning_rate})"
    )]
    Diverged {
        /// Optimiser step (0-based).
        step: usize,
        /// Retries before giving up.
        retries: usize,
        /// Rate of the last try.
        learning_rate: f64,
    },
    /// The bytes are not a model that this version can read.
    #[error("model: {0}")]
    Model(String),
    /// The model was fitted on other features.
    #[error("model was fitted on features {expected:?}, but is given {found:?}")]
    ModelFeatures {
        /// Features in the model, in order.
        expected: Vec<String>,
        /// Features of the input, in order.
        found: Vec<String>,
    },
    /// The caller asked for a stop ([`crate::Control`]).
    #[error("interrupted")]
    Interrupted,
    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// An Arrow operation failed.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

impl Error {
    /// A [`Error::Parameter`] from anything printable.
    pub fn parameter(name: &'static str, value: impl ToString, allowed: impl Into<String>) -> Self {
        Self::Parameter { name, value: value.to_string(), allowed: allowed.into() }
    }

    /// Whether the error means "this series has nothing to work on", which verbs answer with nulls
    /// unless `strict` is set.
    pub fn is_unusable_series(&self) -> bool {
        matches!(self, Self::TooShort { .. } | Self::NoWindow { .. } | Self::NoCorrelation { .. })
    }
}
