//! Metrics of scores, predicted labels and generated anomalies, given true labels.
//!
//! Functions over slices, by kind: [`ranking`] (all thresholds at once), [`range`] (predicted labels
//! by row and by run), `operation` (alarms as those who receive them see them), [`affiliation`], [`vus`] (soft labels around events) and [`generation`] (a
//! set of generated anomalies beside real ones). [`Scored`] reads two Arrow columns, and a
//! [`Metric`] evaluates them by name, as the Polars expressions do.
//!
//! An undefined result is `None`, never NaN or an error; nearly always because no row is anomalous.
//! Rows must be in time order for all metrics except those of [`ranking`] and [`Counts`].
//!
//! [`Counts`]: range::Counts

pub mod affiliation;
pub mod compare;
pub mod generation;
mod input;
mod operation;
pub mod range;
pub mod ranking;
pub mod vus;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use serde::Deserialize;

use crate::data::columns::Columns;
use crate::error::{Error, Result};
use affiliation::{Affiliation, affiliation_of};
use range::{Counts, Run, best_over_thresholds, runs};

/// Every metric of scores or predicted labels given true labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// [`ranking::auc_roc`].
    AucRoc,
    /// [`ranking::auc_pr`].
    AucPr,
    /// [`ranking::best_f1`].
    BestF1,
    /// [`Counts::f1`].
    F1,
    /// [`Counts::precision`].
    Precision,
    /// [`Counts::recall`].
    Recall,
    /// [`range::point_adjusted_f1`].
    PointAdjustedF1,
    /// [`range::event_f1`].
    EventF1,
    /// [`range::range_f1`].
    RangeF1,
    /// [`Affiliation::precision`].
    AffiliationPrecision,
    /// [`Affiliation::recall`].
    AffiliationRecall,
    /// [`Affiliation::f1`].
    AffiliationF1,
    /// Share of the events with a predicted row; of scores, at [`MetricOptions::false_alarm_rate`].
    EventRecall,
    /// Number of alarms that touch no event.
    FalseAlarms,
    /// Rows from the beginning of an event to the first predicted one in it: the mean over the events that
    /// are found.
    DetectionDelay,
    /// Mean over the events of intersection over union with the alarms that touch them.
    EventIou,
    /// [`vus::Volumes::roc`].
    VusRoc,
    /// [`vus::Volumes::pr`].
    VusPr,
}

/// Options of the metrics; each uses its own.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricOptions {
    /// Rows with a score above it are predicted anomalous. Without it, the metrics of runs use an
    /// oracle threshold, and Boolean columns are predictions.
    pub threshold: Option<f64>,
    /// Number of thresholds: of the curve for VUS (default 250), or to choose from for an oracle
    /// (default 100).
    pub thresholds: Option<usize>,
    /// Longest buffer around an event in VUS, in rows.
    pub buffer: usize,
    /// Weight of existence in range-based recall, 0 to 1.
    pub alpha: f64,
    /// Share of the normal rows that are predicted at most, 0 to 1, where event recall is given scores.
    pub false_alarm_rate: f64,
}

impl Default for MetricOptions {
    fn default() -> Self {
        Self {
            threshold: None,
            thresholds: None,
            buffer: vus::BUFFER,
            alpha: 0.2,
            false_alarm_rate: 0.01,
        }
    }
}

/// Number of thresholds for an oracle, as in TSB-AD.
const ORACLE_THRESHOLDS: usize = 100;
const MOST_ORACLE_THRESHOLDS: usize = 10_000;

impl MetricOptions {
    fn check(&self) -> Result<()> {
        if let Some(threshold) = self.threshold.filter(|threshold| threshold.is_nan()) {
            return Err(Error::parameter("threshold", threshold, "a number"));
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(Error::parameter("alpha", self.alpha, "0 to 1"));
        }
        if !(0.0..=1.0).contains(&self.false_alarm_rate) {
            return Err(Error::parameter("false_alarm_rate", self.false_alarm_rate, "0 to 1"));
        }
        let thresholds = self.oracle_thresholds();
        if !(2..=MOST_ORACLE_THRESHOLDS).contains(&thresholds) {
            let allowed = format!("2 to {MOST_ORACLE_THRESHOLDS}");
            return Err(Error::parameter("thresholds", thresholds, allowed));
        }
        Ok(())
    }

    fn oracle_thresholds(&self) -> usize {
        self.thresholds.unwrap_or(ORACLE_THRESHOLDS)
    }

    fn curve_thresholds(&self) -> usize {
        self.thresholds.unwrap_or(vus::THRESHOLDS)
    }
}

/// Scores (or predicted labels) and true labels, row by row.
#[derive(Clone, Debug)]
pub struct Scored {
    scores: Vec<f64>,
    labels: Vec<bool>,
    column: String,
    predictions: bool,
}

impl Scored {
    /// Reads a column of scores (numeric, or Boolean predictions) and one of labels (Boolean, or 0
    /// and 1). Rows with a null or NaN in either are filtered out: their neighbours become
    /// adjacent.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Dtype`]; [`Error::Infinite`] for an infinite score;
    /// [`Error::Parameter`] for a label that is neither 0 nor 1.
    pub fn new(score: (String, ArrayRef), label: (String, ArrayRef)) -> Result<Self> {
        let (column, name) = (score.0.clone(), label.0.clone());
        let (rows, found) = (score.1.len(), label.1.len());
        if rows != found {
            return Err(Error::Length { column: name, found, expected: rows });
        }
        let predictions = matches!(score.1.data_type(), DataType::Boolean);
        let (given, truth) = (Columns::new(vec![score])?, Columns::new(vec![label])?);
        let (mut scores, mut labels) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for row in 0..rows {
            let Some(label) = truth.value(0, row) else { continue };
            if label != 0.0 && label != 1.0 {
                let value = format!("{label} (column `{name}`, row {row})");
                return Err(Error::parameter("label", value, "Boolean, 0 or 1"));
            }
            if let Some(score) = given.value(0, row) {
                scores.push(score);
                labels.push(label == 1.0);
            }
        }
        Ok(Self { scores, labels, column, predictions })
    }

    /// Scores of the rows with both values.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Labels of the rows with both values.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// The predicted rows without an oracle: those above the threshold, or a Boolean column itself.
    fn predicted(&self, threshold: Option<f64>) -> Option<Vec<bool>> {
        let threshold = threshold.or(self.predictions.then_some(0.5))?;
        Some(self.scores.iter().map(|score| *score > threshold).collect())
    }

    /// Counts of predicted and true rows.
    fn counts(&self, threshold: Option<f64>) -> Result<Counts> {
        Counts::new(&self.judged(threshold)?, &self.labels)
    }

    /// The predicted rows, where there is no oracle: numbers that are all 0 or 1 are predictions, too.
    fn judged(&self, threshold: Option<f64>) -> Result<Vec<bool>> {
        let zero_or_one = || self.scores.iter().all(|score| *score == 0.0 || *score == 1.0);
        let threshold = threshold.or_else(|| zero_or_one().then_some(0.5));
        self.predicted(threshold).ok_or_else(|| {
            let allowed =
                format!("given, since column `{}` holds scores, not labels 0 and 1", self.column);
            Error::parameter("threshold", "None", allowed)
        })
    }

    fn event_recall(&self, options: &MetricOptions) -> Option<f64> {
        let rate = options.false_alarm_rate;
        let predicted = self
            .predicted(options.threshold)
            .unwrap_or_else(|| operation::at_false_alarm_rate(&self.scores, &self.labels, rate));
        let (events, alarms) = operation::both_runs(&self.labels, &predicted);
        (!events.is_empty()).then(|| operation::event_recall_of(&events, &alarms))
    }

    fn false_alarms(&self, threshold: Option<f64>) -> Result<f64> {
        let (events, alarms) = operation::both_runs(&self.labels, &self.judged(threshold)?);
        Ok(operation::false_alarms_of(&events, &alarms))
    }

    fn detection_delay(&self, threshold: Option<f64>) -> Result<Option<f64>> {
        let predicted = self.judged(threshold)?;
        Ok(operation::detection_delay_of(&runs(self.labels.iter().copied()), &predicted))
    }

    fn event_iou(&self, threshold: Option<f64>) -> Result<Option<f64>> {
        let (events, alarms) = operation::both_runs(&self.labels, &self.judged(threshold)?);
        Ok((!events.is_empty()).then(|| operation::event_iou_of(&events, &alarms)))
    }

    /// Evaluates predictions, or the scores at the threshold with the largest `f1`.
    fn of_runs<T: Send>(
        &self,
        options: &MetricOptions,
        evaluate: impl Fn(&[Run], &[Run]) -> T + Sync,
        f1: impl Fn(&T) -> f64,
    ) -> Option<T> {
        let events = runs(self.labels.iter().copied());
        if events.is_empty() {
            return None;
        }
        match self.predicted(options.threshold) {
            Some(predicted) => Some(evaluate(&events, &runs(predicted))),
            None => {
                let thresholds = options.oracle_thresholds();
                let evaluate = |alarms: &[Run]| evaluate(&events, alarms);
                best_over_thresholds(&self.scores, thresholds, evaluate, f1)
            }
        }
    }

    fn affiliation(&self, options: &MetricOptions) -> Option<Affiliation> {
        let rows = self.labels.len();
        let evaluate = |events: &[Run], alarms: &[Run]| affiliation_of(events, alarms, rows);
        self.of_runs(options, evaluate, Affiliation::f1)
    }

    fn vus(&self, options: &MetricOptions) -> Result<Option<vus::Volumes>> {
        vus::vus(&self.scores, &self.labels, options.buffer, options.curve_thresholds())
    }
}

impl Metric {
    /// Rejects options out of range.
    ///
    /// # Errors
    /// [`Error::Parameter`].
    pub fn check(self, options: &MetricOptions) -> Result<()> {
        match self {
            Self::VusRoc | Self::VusPr => vus::check(options.buffer, options.curve_thresholds()),
            _ => options.check(),
        }
    }

    /// The value of the metric, `None` where it is undefined.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an option out of range, or for scores without a threshold if the
    /// metric needs predicted labels.
    pub fn evaluate(self, rows: &Scored, options: &MetricOptions) -> Result<Option<f64>> {
        self.check(options)?;
        let (scores, labels) = (rows.scores(), rows.labels());
        let best = |evaluate: fn(&[Run], &[Run]) -> f64| rows.of_runs(options, evaluate, |f1| *f1);
        match self {
            Self::AucRoc => ranking::auc_roc(scores, labels),
            Self::AucPr => ranking::auc_pr(scores, labels),
            Self::BestF1 => ranking::best_f1(scores, labels),
            Self::F1 => Ok(rows.counts(options.threshold)?.f1()),
            Self::Precision => Ok(rows.counts(options.threshold)?.precision()),
            Self::Recall => Ok(rows.counts(options.threshold)?.recall()),
            Self::PointAdjustedF1 => Ok(best(range::point_adjusted_f1_of)),
            Self::EventF1 => Ok(best(range::event_f1_of)),
            Self::RangeF1 => {
                let alpha = options.alpha;
                let evaluate =
                    |events: &[Run], alarms: &[Run]| range::range_f1_of(events, alarms, alpha);
                Ok(rows.of_runs(options, evaluate, |f1| *f1))
            }
            Self::AffiliationPrecision => Ok(rows.affiliation(options).and_then(|a| a.precision)),
            Self::AffiliationRecall => Ok(rows.affiliation(options).map(|a| a.recall)),
            Self::AffiliationF1 => Ok(rows.affiliation(options).map(|a| a.f1())),
            Self::EventRecall => Ok(rows.event_recall(options)),
            Self::FalseAlarms => Ok(Some(rows.false_alarms(options.threshold)?)),
            Self::DetectionDelay => rows.detection_delay(options.threshold),
            Self::EventIou => rows.event_iou(options.threshold),
            Self::VusRoc => Ok(rows.vus(options)?.and_then(|volumes| volumes.roc)),
            Self::VusPr => Ok(rows.vus(options)?.map(|volumes| volumes.pr)),
        }
    }
}
