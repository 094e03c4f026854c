//! A frame with its anomalies, and their labels.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use rayon::prelude::*;

use super::placed::{Anomaly, Pair};
use crate::config::AnomalyKind;
use crate::data::columns::{Columns, Copied};
use crate::data::series::Series;
use crate::error::Result;

/// Collects the anomalies of a whole frame; [`Synthetic::finish`] gives the columns.
pub struct Synthetic {
    features: Vec<Copied>,
    anomalies: Vec<Facts>,
    /// Per row, its anomaly's position in `anomalies`, from 1; 0 without one.
    of_row: Vec<u32>,
    known: Vec<bool>,
}

/// What the rows of an anomaly have in common.
struct Facts {
    /// Number within its series, from 1.
    id: u32,
    kind: AnomalyKind,
    strength: f32,
}

/// One finished frame.
pub struct SyntheticColumns {
    /// Per feature: values with anomalies, in the dtype of the input.
    pub values: Vec<ArrayRef>,
    /// Per feature: rows in which an anomaly changed the value; null where nothing could be
    /// generated.
    pub masks: Vec<BooleanArray>,
    /// Whether a row belongs to an anomaly.
    pub is_anomaly: BooleanArray,
    /// Number of the anomaly within its series, from 1; null elsewhere.
    pub anomaly_id: UInt32Array,
    /// [`Anomaly::strength`] of the anomaly of a row; null elsewhere.
    pub anomaly_strength: Float32Array,
}

impl Synthetic {
    /// Starts with the input; rows of series without a result stay null.
    pub fn new(columns: &Columns) -> Self {
        let rows = columns.rows();
        Self {
            features: (0..columns.width()).map(|d| columns.copy(d)).collect(),
            anomalies: Vec::new(),
            of_row: vec![0; rows],
            known: vec![false; rows],
        }
    }

    /// Adds the anomalies of one series.
    pub fn add(&mut self, series: &Series<'_>, anomalies: &[Anomaly]) {
        (0..series.len()).for_each(|t| self.known[series.row(t)] = true);
        for (number, anomaly) in anomalies.iter().enumerate() {
            let (id, strength) = (number as u32 + 1, anomaly.strength as f32);
            self.anomalies.push(Facts { id, kind: anomaly.kind, strength });
            let position = self.anomalies.len() as u32;
            anomaly.rows.clone().for_each(|t| self.of_row[series.row(t)] = position);
        }
        for anomaly in anomalies {
            for (d, values) in &anomaly.values {
                let rows = anomaly.rows.clone().map(|t| series.row(t));
                rows.zip(values).for_each(|(row, value)| self.features[*d].set(row, *value));
            }
            for d in &anomaly.missing {
                let rows = anomaly.rows.clone().map(|t| series.row(t));
                rows.for_each(|row| self.features[*d].clear(row));
            }
        }
    }

    /// Name of the anomaly kind of each row; null without an anomaly.
    pub fn anomaly_kind(&self) -> StringArray {
        self.of_rows(|facts| facts.kind.name()).collect()
    }

    /// A value of the anomaly of each row; `None` without an anomaly.
    fn of_rows<T>(&self, value: impl Fn(&Facts) -> T) -> impl Iterator<Item = Option<T>> {
        self.of_row.iter().map(move |&position| {
            let at = (position as usize).checked_sub(1)?;
            self.anomalies.get(at).map(&value)
        })
    }

    /// The columns, computed in the caller's pool.
    pub fn finish(self) -> SyntheticColumns {
        let known = NullBuffer::new(BooleanBuffer::from_iter(self.known.iter().copied()));
        let hit = BooleanBuffer::from_iter(self.of_row.iter().map(|position| *position > 0));
        let anomaly_id = self.of_rows(|facts| facts.id).collect();
        let anomaly_strength = self.of_rows(|facts| facts.strength).collect();
        let features = self.features.into_par_iter().map(|feature| {
            let (values, changed) = feature.finish();
            (values, BooleanArray::new(changed, Some(known.clone())))
        });
        let (values, masks) = features.unzip();
        SyntheticColumns {
            values,
            masks,
            is_anomaly: BooleanArray::new(hit, Some(known)),
            anomaly_id,
            anomaly_strength,
        }
    }
}

/// The pairs of a frame, feature by feature.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    rows: Vec<u32>,
    /// Feature, position in `rows`, new value.
    changes: Vec<(usize, usize, f64)>,
    /// Feature and position in `rows` of missing values.
    missing: Vec<(usize, usize)>,
}

/// One feature of all pairs, window by window.
pub struct PairColumns {
    /// The values without anomalies, in the dtype of the input.
    pub normal: ArrayRef,
    /// The values with anomalies.
    pub anomalous: ArrayRef,
    /// Which of them differ.
    pub mask: BooleanArray,
}

impl Pairs {
    /// Adds the pairs of one series.
    pub fn add(&mut self, series: &Series<'_>, pairs: &[Pair]) {
        for Pair { rows, anomaly } in pairs {
            let first = self.rows.len() + anomaly.rows.start - rows.start;
            self.rows.extend(rows.clone().map(|t| series.row(t) as u32));
            for (d, values) in &anomaly.values {
                self.changes.extend((first..).zip(values).map(|(at, value)| (*d, at, *value)));
            }
            for d in &anomaly.missing {
                self.missing.extend((first..).take(anomaly.rows.len()).map(|at| (*d, at)));
            }
        }
    }

    /// The columns, computed in the caller's pool; `columns` are those of the series.
    ///
    /// # Errors
    /// If an Arrow operation fails.
    pub fn finish(self, columns: &Columns) -> Result<Vec<PairColumns>> {
        let rows = UInt32Array::from(self.rows);
        let column = |d: usize| {
            let mut copy = columns.copy_rows(d, &rows)?;
            let (normal, _) = copy.clone().finish();
            let own = self.changes.iter().filter(|change| change.0 == d);
            own.for_each(|&(_, at, value)| copy.set(at, value));
            let missing = self.missing.iter().filter(|missing| missing.0 == d);
            missing.for_each(|&(_, at)| copy.clear(at));
            let (anomalous, changed) = copy.finish();
            Ok(PairColumns { normal, anomalous, mask: BooleanArray::new(changed, None) })
        };
        (0..columns.width()).into_par_iter().map(column).collect()
    }
}
