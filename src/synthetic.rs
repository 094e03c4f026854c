//! Step 8, columns again: a frame with its anomalies in it, and the labels beside it.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use rayon::prelude::*;

use crate::columns::{Columns, Copied, Series};
use crate::generate::{Anomaly, AnomalyKind};

/// Columns of a whole frame after generation: what [`Synthetic::finish`] gives.
pub struct Synthetic {
    features: Vec<Hits>,
    ids: Vec<u32>,
    kinds: Vec<Option<AnomalyKind>>,
    strengths: Vec<f32>,
    known: Vec<bool>,
}

/// One feature with anomalies in it, and which rows they hit.
struct Hits {
    values: Copied,
    mask: Vec<bool>,
}

/// One finished frame.
pub struct SyntheticColumns {
    /// Per feature: values with the anomalies in them, of the input's float type.
    pub values: Vec<ArrayRef>,
    /// Per feature: which rows were hit; null where nothing could be generated.
    pub masks: Vec<BooleanArray>,
    /// Whether a row belongs to an anomaly.
    pub is_anomaly: BooleanArray,
    /// Number of the anomaly within its series, from 1; null elsewhere.
    pub anomaly_id: UInt32Array,
    /// [`Anomaly::strength`] of the anomaly of a row; null elsewhere.
    pub anomaly_strength: Float32Array,
}

impl Synthetic {
    /// Starts with the input itself; rows of series that get no answer stay null.
    pub fn new(columns: &Columns) -> Self {
        let rows = columns.rows();
        let features = (0..columns.width())
            .into_par_iter()
            .map(|d| Hits { values: columns.copy(d), mask: vec![false; rows] });
        Self {
            features: features.collect(),
            ids: vec![0; rows],
            kinds: vec![None; rows],
            strengths: vec![0.0; rows],
            known: vec![false; rows],
        }
    }

    /// Adds the anomalies of one series, feature by feature in the pool of the caller.
    pub fn add(&mut self, series: &Series<'_>, anomalies: &[Anomaly]) {
        (0..series.len()).for_each(|t| self.known[series.row(t)] = true);
        for (number, anomaly) in anomalies.iter().enumerate() {
            for row in anomaly.rows.clone().map(|t| series.row(t)) {
                self.ids[row] = number as u32 + 1;
                self.kinds[row] = Some(anomaly.kind);
                self.strengths[row] = anomaly.strength as f32;
            }
        }
        self.features.par_iter_mut().enumerate().for_each(|(d, hits)| {
            for anomaly in anomalies {
                let of_feature = anomaly.values.iter().filter(|(feature, _)| *feature == d);
                for (t, value) in of_feature.flat_map(|(_, v)| anomaly.rows.clone().zip(v)) {
                    // A null stays as it is.
                    if value.is_nan() {
                        continue;
                    }
                    let row = series.row(t);
                    hits.values.set(row, *value);
                    hits.mask[row] = true;
                }
            }
        });
    }

    /// Name of the injected kind of the anomaly of each row; null where there is none.
    pub fn anomaly_kind(&self) -> StringArray {
        self.kinds.iter().map(|kind| kind.and_then(AnomalyKind::name)).collect()
    }

    /// Number of the generated kind of the anomaly of each row; null where there is none.
    pub fn kind_number(&self) -> UInt32Array {
        self.kinds.iter().map(|kind| kind.and_then(AnomalyKind::number)).collect()
    }

    /// The columns.
    pub fn finish(self) -> SyntheticColumns {
        let known = NullBuffer::new(BooleanBuffer::from_iter(self.known.iter().copied()));
        let hit = BooleanBuffer::from_iter(self.ids.iter().map(|id| *id > 0));
        let features = self.features.into_par_iter().map(|hits| {
            let mask = BooleanBuffer::from(hits.mask);
            (hits.values.finish(), BooleanArray::new(mask, Some(known.clone())))
        });
        let (values, masks) = features.unzip();
        SyntheticColumns {
            values,
            masks,
            is_anomaly: BooleanArray::new(hit.clone(), Some(known)),
            anomaly_strength: Float32Array::new(
                self.strengths.into(),
                Some(NullBuffer::new(hit.clone())),
            ),
            anomaly_id: UInt32Array::new(self.ids.into(), Some(NullBuffer::new(hit))),
        }
    }
}
