//! Which features, representations and window sizes the members use.

use serde::{Deserialize, Serialize};

use super::embedding::Embedding;
use super::features::{FeatureKind, Features};

/// Window sizes as shares of the model's window, and the minimum size.
const SHARES: [f64; 3] = [0.32, 0.64, 1.28];
pub(super) const SMALLEST: usize = 8;
/// Minimum number of disjoint windows of a size in the training rows.
const ROOM: f64 = 2.5;

/// The features of a member, and the representation of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Representation {
    /// Measurements, without flags: flags cannot be predicted, and would dominate.
    Measured(Embedding),
    /// All features, constant ones in their own unit.
    All,
    /// All features that vary, in one scale.
    Joint,
}

/// A member to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberPlan {
    pub source: Representation,
    /// Rows of its windows.
    pub size: usize,
}

impl Representation {
    pub(super) fn embedding(self) -> Embedding {
        match self {
            Self::Measured(embedding) => embedding,
            Self::All => Embedding::Raw,
            Self::Joint => Embedding::Joint,
        }
    }

    /// What it is called in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Measured(Embedding::Raw) => "values",
            Self::Measured(Embedding::Level) => "movement",
            Self::Measured(Embedding::Shape) => "shape",
            Self::Measured(Embedding::Stats) => "statistics",
            Self::Measured(Embedding::Diff) => "steps",
            Self::All => "all",
            Self::Joint | Self::Measured(Embedding::Joint) => "joint",
        }
    }

    /// Positions of its features.
    pub(super) fn chosen(self, features: &Features) -> Vec<usize> {
        let chosen = match self {
            Self::Measured(_) => features.of(|kind| kind == FeatureKind::Measurement),
            Self::All => Vec::new(),
            Self::Joint => features.of(|kind| kind != FeatureKind::Constant),
        };
        if chosen.is_empty() { features.of(|_| true) } else { chosen }
    }

    /// Whether its windows are compared row by row, and if so, whether without their level.
    pub(super) fn level_free(self) -> Option<bool> {
        match self {
            Self::Measured(Embedding::Raw) | Self::All => Some(false),
            Self::Measured(Embedding::Level) => Some(true),
            _ => None,
        }
    }

    /// Its weight among measurements.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Measured(Embedding::Level | Embedding::Shape) => 2.0,
            _ => 1.0,
        }
    }

    /// The representations that apply to these features.
    fn all(features: &Features) -> Vec<Self> {
        let measured = !features.of(|kind| kind == FeatureKind::Measurement).is_empty();
        let several = features.len() > 1;
        let embeddings =
            [Embedding::Raw, Embedding::Level, Embedding::Shape, Embedding::Stats, Embedding::Diff];
        let mut found = Vec::new();
        if measured {
            found.extend(embeddings.map(Self::Measured));
        }
        if several || !measured {
            found.push(Self::All);
        }
        if several {
            found.push(Self::Joint);
        }
        found
    }
}

impl MemberPlan {
    /// Length of an embedded window.
    pub(super) fn width(self, features: &Features) -> usize {
        self.source.embedding().width(self.size, self.source.chosen(features).len())
    }

    /// Whether it embeds the same windows of the same features as another one does.
    pub(super) fn sees_as(self, other: Self, features: &Features) -> bool {
        self.size == other.size
            && self.source.embedding() == other.source.embedding()
            && self.source.chosen(features) == other.source.chosen(features)
    }

    /// All members of a model with windows of `window` rows; `room` gives the rows that the
    /// training windows of a size span.
    pub(super) fn all(
        features: &Features,
        window: usize,
        room: impl Fn(usize) -> usize,
    ) -> Vec<Self> {
        let sizes = sizes(window, room);
        let of_source = |source: Representation| {
            sizes.iter().map(move |&size| Self { source, size }).collect::<Vec<_>>()
        };
        Representation::all(features).into_iter().flat_map(of_source).collect()
    }
}

/// The sizes that fit the training rows. If none does, the smallest is halved until it fits.
fn sizes(window: usize, room: impl Fn(usize) -> usize) -> Vec<usize> {
    let fits = |size: usize| room(size) as f64 >= ROOM * size as f64;
    let mut sizes = SHARES.map(|share| ((share * window as f64).round() as usize).max(SMALLEST));
    sizes.sort_unstable();
    let mut fitting: Vec<usize> = sizes.into_iter().filter(|size| fits(*size)).collect();
    fitting.dedup();
    if !fitting.is_empty() {
        return fitting;
    }
    let mut size = sizes[0];
    while size > SMALLEST && !fits(size) {
        size = (size / 2).max(SMALLEST);
    }
    while size > 2 && !fits(size) {
        size -= 1;
    }
    vec![size]
}
