//! Anomalies in the rows of a series, in input units.

use std::ops::Range;

use crate::config::AnomalyKind;
use crate::data::normalise::{Normaliser, Z_LIMIT};
use crate::data::series::Series;

/// One anomaly, generated or injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// Kind of the anomaly.
    pub kind: AnomalyKind,
    /// Rows of the series (not of the frame).
    pub rows: Range<usize>,
    /// Per hit feature: its position and the new values, in input units, one per row. They lie in
    /// the domain of the feature ([`super::domain::FeatureDomain`]), and at least one differs from
    /// the input. NaN where the input has no value, which stays missing.
    pub values: Vec<(usize, Vec<f64>)>,
    /// Positions of the features whose values are missing.
    pub missing: Vec<usize>,
    /// RMS of the change over the rows and hit features, in training standard deviations of each
    /// feature (in input units for a feature that is constant in training); 0 for missing values.
    pub strength: f64,
    /// The requested strength, if any.
    pub asked: Option<f64>,
    /// Positions of features that were chosen, but whose domain cannot show the anomaly
    /// ([`super::domain::FeatureDomain`]).
    pub unable: Vec<usize>,
    /// Number of the most similar cluster of the model's anomalies, from 1 (the most frequent);
    /// `None` for an injected or deformed anomaly, or if only constant features change.
    pub cluster: Option<u32>,
    /// How the model generated it; `None` for an injected anomaly, or if only constant features
    /// change.
    pub origin: Option<Origin>,
}

impl Anomaly {
    /// An anomaly that changes nothing yet.
    pub(crate) fn without_change(kind: AnomalyKind, rows: Range<usize>) -> Self {
        Self {
            kind,
            rows,
            values: Vec::new(),
            missing: Vec::new(),
            strength: 0.0,
            asked: None,
            unable: Vec::new(),
            cluster: None,
            origin: None,
        }
    }

    /// Whether it changes a value; an anomaly on nulls alone does not.
    pub(crate) fn is_any(&self) -> bool {
        let changes = |values: &Vec<f64>| values.iter().any(|value| !value.is_nan());
        !self.missing.is_empty() || self.values.iter().any(|(_, values)| changes(values))
    }

    /// Positions of the features that it changes.
    pub fn features(&self) -> impl Iterator<Item = usize> {
        self.values.iter().map(|(d, _)| *d).chain(self.missing.iter().copied())
    }
}

/// How a model generated an anomaly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// Scale of the latent noise, >= 1; 1 without noise (`patch` "correlation", deformations).
    pub psi: f64,
    /// Largest deviation of the hit features as drawn (before `strength` and blending), in the
    /// units of `tau`. With `patch` "correlation", the joint distance of the rows over the largest
    /// normal one.
    pub distance: f64,
    /// Number of redraws because no feature exceeded `tau`.
    pub redraws: u32,
    /// Whether no draw had a feature above `tau`, so that the most deviating one was taken; or
    /// whether no change moved the joint distance out of its normal range.
    pub fallback: bool,
}

/// A window and an anomaly in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Rows of the series.
    pub rows: Range<usize>,
    /// The anomaly, within these rows.
    pub anomaly: Anomaly,
}

impl Pair {
    /// The window without the anomaly, row-major [W, D], in input units.
    pub fn normal(&self, series: &Series<'_>) -> Vec<f64> {
        let width = series.columns().width();
        let value = |t: usize, d: usize| series.value(d, t).unwrap_or(f64::NAN);
        self.rows.clone().flat_map(|t| (0..width).map(move |d| value(t, d))).collect()
    }

    /// The window with the anomaly.
    pub fn anomalous(&self, series: &Series<'_>) -> Vec<f64> {
        let (mut window, width) = (self.normal(series), series.columns().width());
        for (feature, values) in &self.anomaly.values {
            for (t, value) in self.anomaly.rows.clone().zip(values) {
                window[(t - self.rows.start) * width + feature] = *value;
            }
        }
        for feature in &self.anomaly.missing {
            for t in self.anomaly.rows.clone() {
                window[(t - self.rows.start) * width + feature] = f64::NAN;
            }
        }
        window
    }
}

/// RMS of a change, in standard deviations of each feature.
pub(crate) fn strength(
    series: &Series<'_>,
    normaliser: &Normaliser,
    rows: &Range<usize>,
    values: &[(usize, Vec<f64>)],
) -> f64 {
    let (mut squares, mut n) = (0.0, 0usize);
    for (feature, values) in values {
        let std = normaliser.std[*feature];
        for (t, value) in rows.clone().zip(values) {
            if let Some(before) = series.value(*feature, t) {
                squares += (value / std - before / std).clamp(-Z_LIMIT, Z_LIMIT).powi(2);
                n += 1;
            }
        }
    }
    (squares / n.max(1) as f64).sqrt()
}
