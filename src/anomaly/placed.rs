//! Anomalies in the rows of a series, in input units.

use std::ops::Range;

use crate::config::NamedKind;
use crate::config::names;
use crate::data::normalise::{Normaliser, Z_LIMIT};
use crate::data::series::Series;

/// One anomaly, generated or injected.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// What it is.
    pub kind: AnomalyKind,
    /// Rows of the series (not of the frame) that it takes.
    pub rows: Range<usize>,
    /// Per hit feature: its position and the new values, in input units, one per row: values that the
    /// feature can take ([`super::domain::FeatureDomain`]), of which one or more differ from the input.
    /// NaN where the input has none, and stays as it is.
    pub values: Vec<(usize, Vec<f64>)>,
    /// Root mean square of the change over its rows and hit features, in training standard deviations
    /// of each feature (in input units for a feature that is constant in training).
    pub strength: f64,
    /// The strength that it was to have, where one was asked for.
    pub asked: Option<f64>,
    /// Positions of the features that it was to hit, but that cannot show it
    /// ([`super::domain::FeatureDomain`]).
    pub unable: Vec<usize>,
    /// Number of the model's cluster of anomalies that it is most like, from 1 as the most frequent;
    /// `None` where it was injected or deformed, or hits constant features only.
    pub cluster: Option<u32>,
    /// How it came of a model; `None` where it was injected, or hits constant features only.
    pub origin: Option<Origin>,
}

impl Anomaly {
    /// Whether it changes a value: where it fell onto nulls alone, it does not.
    pub(crate) fn is_any(&self) -> bool {
        self.values.iter().any(|(_, values)| values.iter().any(|value| !value.is_nan()))
    }
}

/// How an anomaly came of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// Scale of its latent noise, >= 1; 1 where there is none (`patch` "correlation", deformations).
    pub psi: f64,
    /// Deviation of the feature that deviated most of those that it hits, as it was drawn (before
    /// `strength` and blending), in the units of `tau`. With `patch` "correlation", the joint distance
    /// of its rows over the largest normal one.
    pub distance: f64,
    /// How often it was drawn again because no feature passed `tau`.
    pub redraws: u32,
    /// Whether no draw had a feature that passed `tau`, so that the most deviating one was taken; or
    /// whether no change made the joint distance leave its normal range.
    pub fallback: bool,
}

/// What an anomaly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// A classical anomaly.
    Injected(NamedKind),
    /// One that a model makes.
    Generated(GeneratedKind),
}

impl AnomalyKind {
    /// Its name; of an injected one, as the user calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Injected(kind) => kind.name,
            Self::Generated(kind) => kind.name(),
        }
    }
}

names! {
    /// What a model makes of the rows of an anomaly.
    pub enum GeneratedKind {
        /// The input and what a perturbation adds to its decoding.
        Residual = "residual",
        /// What is decoded of the perturbed input.
        Decoded = "decoded",
        /// A walk along time through the decodings of other windows.
        Walk = "walk",
        /// Part of the way to the decoding of another window.
        OtherWindow = "other-window",
        /// Another tempo.
        Tempo = "tempo",
        /// Another phase.
        Phase = "phase",
        /// A level that stays.
        Hold = "hold",
        /// Its texture gone, or stronger.
        Texture = "texture",
        /// Another amplitude.
        Amplitude = "amplitude",
        /// Features that no longer go together.
        Correlation = "correlation",
        /// A pulse on features that are constant in training, and on no other.
        Constant = "constant",
    }
}

impl Default for GeneratedKind {
    /// What is left where no live feature is hit.
    fn default() -> Self {
        Self::Constant
    }
}

/// A window, and what an anomaly makes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// Rows of the series.
    pub rows: Range<usize>,
    /// The anomaly, within these rows.
    pub anomaly: Anomaly,
}

impl Pair {
    /// The window as it is, row-major [W, D], in input units.
    pub fn normal(&self, series: &Series<'_>) -> Vec<f64> {
        let width = series.columns().width();
        let value = |t: usize, d: usize| series.value(d, t).unwrap_or(f64::NAN);
        self.rows.clone().flat_map(|t| (0..width).map(move |d| value(t, d))).collect()
    }

    /// The same with the anomaly.
    pub fn anomalous(&self, series: &Series<'_>) -> Vec<f64> {
        let (mut window, width) = (self.normal(series), series.columns().width());
        for (feature, values) in &self.anomaly.values {
            for (t, value) in self.anomaly.rows.clone().zip(values) {
                window[(t - self.rows.start) * width + feature] = *value;
            }
        }
        window
    }
}

/// Root mean square of a change, in deviations of each feature.
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
