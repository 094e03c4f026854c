//! The error type of the crate.
//!
//! Every variant names the parameter or column at fault and its value: a user of the Polars plugin only
//! sees the text.

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of the crate.
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
    #[error("unknown option `{name}`{near}; known options are {known}")]
    UnknownOption {
        /// The name given.
        name: String,
        /// The most similar known name, as a question; may be empty.
        near: String,
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
        /// The reason.
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
        /// Requested window size.
        window: usize,
    },
    /// Every window holds too many nulls, a gap or a known anomaly (an error under `strict` only).
    #[error(
        "none of the {rows} rows lies in a window of {window} rows without gaps or known anomalies and with a share of nulls of at most `max_null`"
    )]
    NoWindow {
        /// Rows of the series.
        rows: usize,
        /// Requested window size.
        window: usize,
    },
    /// No two features are correlated, so no correlation can be broken (an error under `strict` only).
    #[error(
        "\"correlation\" needs two features whose reconstructions have a correlation of {least} or more; the largest in this model is {strongest:.2} (features that rarely move do not count)"
    )]
    NoCorrelation {
        /// Largest absolute correlation of two live features.
        strongest: f64,
        /// The correlation that is required.
        least: f64,
    },
    /// The requested anomalies do not fit without overlap.
    #[error(
        "`{parameter}` = {value} needs {asked} anomalies in a series of {rows} rows, but only {fits} fit without overlap into its clean rows; lower `{parameter}` or `length`"
    )]
    DoesNotFit {
        /// The option that sets their number: `contamination` or `count`.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// Anomalies that it requests.
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
    #[error("model was fitted on features {expected:?}, but the input has {found:?}")]
    ModelFeatures {
        /// Features in the model, in order.
        expected: Vec<String>,
        /// Features of the input, in order.
        found: Vec<String>,
    },
    /// An error in one group of a frame.
    #[error("{group}: {error}")]
    Group {
        /// Its keys and their values.
        group: String,
        /// The error.
        error: Box<Error>,
    },
    /// The caller stopped the computation ([`crate::Control`]).
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

    /// Whether the series has no usable rows. Verbs then return nulls, unless `strict` is set.
    pub fn is_unusable_series(&self) -> bool {
        if let Self::Group { error, .. } = self {
            return error.is_unusable_series();
        }
        matches!(self, Self::TooShort { .. } | Self::NoWindow { .. } | Self::NoCorrelation { .. })
    }
}
