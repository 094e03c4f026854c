//! What is found.

use crate::config::{AlarmConfig, ScoreConfig, Threshold};

/// What is caught of one sort of anomalies.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Position of the feature that is hit; `None`: all tries of all features together.
    pub feature: Option<usize>,
    /// Name of the kind.
    pub kind: &'static str,
    /// Strength asked for, in standard deviations of the feature in training; `None` for kinds without.
    pub strength: Option<f64>,
    /// Rows of an anomaly.
    pub duration: usize,
    /// Number of anomalies tried: fewer than asked for where a feature cannot show them.
    pub tries: usize,
    /// How many of them an alarm overlaps.
    pub caught: usize,
    /// Wilson's 95 % interval of the share that is caught.
    pub interval: Option<(f64, f64)>,
    /// Median number of rows from the first one of an anomaly to the first one of them in an alarm, of
    /// those that are caught.
    pub delay: Option<f64>,
    /// Mean strength that the anomalies have.
    pub realised: Option<f64>,
    /// Of this feature, kind and duration: the strength of which 80 % are caught, and its 90 % interval.
    pub smallest: CaughtFrom,
}

/// A strength and its interval; `None` beyond the largest that was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CaughtFrom {
    /// The strength.
    pub strength: Option<f64>,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Detection {
    /// Share of the tries that is caught; `None` without tries.
    pub fn rate(&self) -> Option<f64> {
        (self.tries > 0).then(|| self.caught as f64 / self.tries as f64)
    }
}

/// What labels of a series would catch, and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// A row per feature, kind, duration and strength.
    pub detections: Vec<Detection>,
    /// Alarms without a known anomaly in the rows as they are.
    pub false_alarms: usize,
    /// Share of the normal rows in alarms.
    pub false_alarm_rate: f64,
    /// False alarms per day, where times are known.
    pub alarms_per_day: Option<f64>,
    /// Rows of a day, where times are known.
    pub rows_per_day: Option<f64>,
}

/// How anomalies are labelled.
#[derive(Clone, Copy)]
pub struct Labelling<'a> {
    /// Where the line is drawn.
    pub threshold: Threshold,
    /// What an alarm is.
    pub alarm: &'a AlarmConfig,
    /// How rows are scored.
    pub score: &'a ScoreConfig,
}
