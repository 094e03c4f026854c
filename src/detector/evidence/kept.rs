//! The stored form of the evidence: the normal rows, and the results per member that are slow to
//! compute from them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::calibration::DistanceScale;
use super::detector::Evidence;
use super::features::{Features, Values};
use super::member::{Member, StoredMember};
use super::plan::MemberPlan;
use super::projection::{COMPONENTS, Projection};
use super::reference::ReferenceRows;
use crate::error::{Error, Result};
use crate::nn::{Parameters, Shapes};

/// Maximum number of members in a model; a fit makes fewer.
const MOST_MEMBERS: usize = 64;
/// Name of the tensor with the reference rows.
const ROWS: &str = "rows";

/// Everything except tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptEvidence {
    features: Features,
    /// Runs of the stored rows in which windows may lie.
    runs: Vec<Range<usize>>,
    /// Where they begin in the training series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<usize>,
    max_null: f64,
    /// Whether projections are not stored, but fitted again to the rows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    small: bool,
    members: Vec<Entry>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    plan: MemberPlan,
    /// Number of principal components.
    rank: usize,
    scale: DistanceScale,
    /// Usual difference of rows, per feature; empty if windows are not compared row by row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    units: Vec<f32>,
}

/// The evidence of a model, restored on first use.
#[derive(Clone, Default)]
pub(crate) struct Built(Arc<OnceLock<Evidence>>);

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Built")
    }
}

impl Built {
    pub(crate) fn new(evidence: Evidence) -> Self {
        Self(Arc::new(OnceLock::from(evidence)))
    }

    /// The evidence.
    ///
    /// # Errors
    /// If a tensor is missing.
    pub(crate) fn get(&self, kept: &KeptEvidence, parameters: &Parameters) -> Result<&Evidence> {
        if let Some(evidence) = self.0.get() {
            return Ok(evidence);
        }
        let evidence = kept.restore(parameters)?;
        Ok(self.0.get_or_init(|| evidence))
    }
}

impl Evidence {
    /// Number of values of all projections.
    pub(crate) fn projected_values(&self) -> usize {
        let projections = self.members.iter().map(|member| &member.projection);
        projections.map(|own| own.mean.len() + own.directions.len()).sum()
    }

    /// The stored form; if `small`, without projections.
    ///
    /// # Errors
    /// If a tensor cannot be created.
    pub(crate) fn keep(&self, small: bool) -> Result<(KeptEvidence, Parameters)> {
        let entry = |member: &Member| Entry {
            plan: member.plan,
            rank: member.projection.rank,
            scale: member.scale,
            units: member.units.clone(),
        };
        let kept = KeptEvidence {
            features: self.features.clone(),
            runs: self.reference.runs.clone(),
            origins: self.reference.origins.clone(),
            max_null: self.max_null,
            small,
            members: self.members.iter().map(entry).collect(),
        };
        let projections = self.members.iter().map(|member| &member.projection);
        let of_members = projections.flat_map(|p| [p.mean.clone(), p.directions.clone()]);
        let mut values = [self.reference.values.flat()].into_iter().chain(of_members);
        let mut tensors = Parameters::new();
        for (name, shape) in kept.all_shapes() {
            let values = values.next().unwrap_or_default();
            if !values.is_empty() {
                tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
            }
        }
        Ok((kept, tensors))
    }
}

impl KeptEvidence {
    /// Name and shape of every tensor, in the order rows, (mean, directions) of each member.
    fn all_shapes(&self) -> Shapes {
        let rows = self.runs.last().map_or(0, |run| run.end);
        let mut shapes = vec![(ROWS.to_string(), vec![self.features.len(), rows])];
        let stored = self.members.iter().enumerate().filter(|_| !self.small);
        for (i, Entry { plan, rank, .. }) in stored {
            let width = plan.width(&self.features);
            shapes.push((format!("{i}.mean"), vec![width]));
            shapes.push((format!("{i}.directions"), vec![width, *rank]));
        }
        shapes
    }

    /// Name and shape of the tensors; empty ones are not stored.
    pub(crate) fn shapes(&self) -> Shapes {
        self.all_shapes().into_iter().filter(|(_, shape)| !shape.contains(&0)).collect()
    }

    /// Whether a fit to `features` features can have written this.
    pub(crate) fn is_sound(&self, features: usize) -> bool {
        let longest = self.runs.iter().map(Range::len).max().unwrap_or(0);
        let from = [0].into_iter().chain(self.runs.iter().map(|run| run.end));
        let sound = |entry: &Entry| {
            (2..=longest).contains(&entry.plan.size)
                && entry.rank <= COMPONENTS
                && entry.scale.is_sound()
                && entry.units.len() == self.compared(entry.plan)
                && entry.units.iter().all(|unit| unit.is_finite() && *unit > 0.0)
        };
        self.features.is_sound(features)
            && from.zip(&self.runs).all(|(from, run)| from == run.start && run.start < run.end)
            && self.origins_are_sound()
            && (0.0..1.0).contains(&self.max_null)
            && (1..=MOST_MEMBERS).contains(&self.members.len())
            && self.members.iter().all(sound)
    }

    /// Whether the runs follow one another in the training series, if their positions are known.
    fn origins_are_sound(&self) -> bool {
        let ends: Option<Vec<usize>> =
            self.origins.iter().zip(&self.runs).map(|(o, run)| o.checked_add(run.len())).collect();
        let next = self.origins.iter().skip(1);
        let apart = |ends: Vec<usize>| ends.iter().zip(next).all(|(end, next)| end <= next);
        self.origins.is_empty()
            || (self.origins.len() == self.runs.len() && ends.is_some_and(apart))
    }

    /// Number of features that are compared row by row.
    fn compared(&self, plan: MemberPlan) -> usize {
        plan.source.level_free().map_or(0, |_| plan.source.chosen(&self.features).len())
    }

    fn restore(&self, parameters: &Parameters) -> Result<Evidence> {
        let take = |name: &str| -> Result<Vec<f32>> {
            let missing = || Error::Model(format!("tensor `{name}` is missing"));
            Ok(parameters.get(name).ok_or_else(missing)?.flatten_all()?.to_vec1()?)
        };
        let rows = take(ROWS)?;
        let length = (rows.len() / self.features.len().max(1)).max(1);
        let values = Values::new(rows.chunks_exact(length).map(<[f32]>::to_vec).collect());
        let (runs, origins) = (self.runs.clone(), self.origins.clone());
        let reference = ReferenceRows { values: values.into(), runs, origins };
        let mut members: Vec<Member> = Vec::with_capacity(self.members.len());
        for (i, entry) in self.members.iter().enumerate() {
            let projection = match self.small {
                true => None,
                false => Some(projection(i, entry.rank, &take)?),
            };
            let Entry { plan, scale, ref units, .. } = *entry;
            let stored = StoredMember { plan, projection, scale, units: units.clone() };
            let known = members.iter().find(|member| member.sees_as(&stored, &self.features));
            members.push(match known {
                Some(known) => known.restored(stored),
                None => Member::restore(stored, &reference, &self.features)?,
            });
        }
        let (features, max_null) = (self.features.clone(), self.max_null);
        Ok(Evidence { features, reference, members, max_null, around: OnceLock::new() })
    }
}

/// The stored projection of member `i`; `take` reads a tensor.
fn projection(
    i: usize,
    rank: usize,
    take: &impl Fn(&str) -> Result<Vec<f32>>,
) -> Result<Projection> {
    let directions = match rank {
        0 => Vec::new(),
        _ => take(&format!("{i}.directions"))?,
    };
    Ok(Projection { mean: take(&format!("{i}.mean"))?, directions, rank })
}
