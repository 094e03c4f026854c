//! Model to bytes and back: safetensors with JSON metadata, never code.
//!
//! The metadata holds one entry, `genias`: a JSON text with format version, normaliser,
//! configuration, report and a checksum over all of it and the tensors. Reading trusts nothing:
//! sizes are checked against the bytes that are there before anything is allocated.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::config::{DetectConfig, DetectorKind, FitConfig};
use crate::detector::evidence::Built;
use crate::detector::{Learned, Trained};
use crate::error::{Error, Result};
use crate::joint::Joint;
use crate::kernels::with_slices;
use crate::model::{Model, Report};
use crate::normalise::Normaliser;
use crate::vae::Architecture;
use crate::variation::LocalTau;

/// Version of the format that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 3;
const ENTRY: &str = "genias";

#[derive(Serialize, Deserialize)]
struct Metadata {
    format_version: u32,
    checksum: String,
    normaliser: Normaliser,
    config: FitConfig,
    report: Report,
    detectors: BTreeMap<DetectorKind, DetectorEntry>,
}

impl Metadata {
    /// Number of features that the VAE generates; 0 where there is none.
    fn generated(&self) -> usize {
        let live = self.normaliser.live_features().len();
        if self.report.has_vae(live) { live } else { 0 }
    }
}

/// One trained detector, but for its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorEntry {
    config: DetectConfig,
    learned: Learned,
}

/// What can be read of any version.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

impl Model {
    /// The model as bytes, the same for the same fit.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = Vec::with_capacity(self.parameters.len());
        for (name, tensor) in self.tensors() {
            let bytes = with_slices([tensor], |[values]| {
                Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
            })?;
            tensors.push((name, tensor.dims().to_vec(), bytes));
        }
        for (name, shape, values) in self.joint.iter().flat_map(Joint::parts) {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((name.to_string(), shape, bytes));
        }
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut metadata = Metadata {
            format_version: FORMAT_VERSION,
            checksum: String::new(),
            normaliser: self.normaliser.clone(),
            config: self.config.clone(),
            report: self.report.clone(),
            detectors: self
                .trained
                .iter()
                .map(|(kind, Trained { config, learned, .. })| {
                    let (config, learned) = (config.clone(), learned.clone());
                    (*kind, DetectorEntry { config, learned })
                })
                .collect(),
        };
        let views = tensors.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice()));
        metadata.checksum = checksum(&to_json(&metadata)?, views);
        let info = HashMap::from([(ENTRY.to_string(), to_json(&metadata)?)]);
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((
                    name.as_str(),
                    TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(broken)?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        safetensors::serialize(views, Some(info)).map_err(broken)
    }

    /// Every tensor by its name in the file.
    fn tensors(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let own = self.parameters.iter().map(|(name, tensor)| (name.clone(), tensor));
        own.chain(self.trained.iter().flat_map(|(kind, trained)| {
            trained.parameters.iter().map(|(name, tensor)| (tensor_name(*kind, name), tensor))
        }))
    }

    /// Reads a model.
    ///
    /// # Errors
    /// [`Error::Model`], which says whether the bytes are no model, of another version, cut short,
    /// changed, or inconsistent.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let json = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(ENTRY))
            .ok_or_else(|| Error::Model("safetensors without a `genias` entry".into()))?;
        let version: VersionOnly = serde_json::from_str(json).map_err(broken)?;
        if version.format_version != FORMAT_VERSION {
            return Err(Error::Model(format!(
                "format version {}, this version reads {FORMAT_VERSION}",
                version.format_version
            )));
        }
        let mut metadata: Metadata = serde_json::from_str(json).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let mut named = tensors.tensors();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = std::mem::take(&mut metadata.checksum);
        let views = named.iter().map(|(name, view)| (name.as_str(), view.data()));
        if checksum(&to_json(&metadata)?, views) != expected {
            return Err(Error::Model("the checksum does not match: the bytes were changed".into()));
        }
        check(&metadata)?;
        let mut parameters = parameters(&metadata, &tensors)?;
        let live = metadata.generated();
        let Metadata { config, normaliser, report, detectors, .. } = metadata;
        let mut trained = BTreeMap::new();
        for (kind, DetectorEntry { config, learned }) in detectors {
            let prefix = tensor_name(kind, "");
            let own = |name: &String| name.strip_prefix(&prefix).map(String::from);
            let names: Vec<String> =
                parameters.keys().filter(|n| own(n).is_some()).cloned().collect();
            let taken =
                names.iter().filter_map(|name| Some((own(name)?, parameters.remove(name)?)));
            let parameters = taken.collect();
            let built = Built::default();
            trained.insert(kind, Trained { config, learned, parameters, built });
        }
        let joint = joint(&mut parameters, live)?;
        let model = Self::assemble(config, normaliser, report, parameters)?;
        Ok(Self { joint, trained, ..model })
    }
}

/// Takes the tensors that say how features go together.
fn joint(parameters: &mut HashMap<String, Tensor>, live: usize) -> Result<Option<Joint>> {
    if live < 2 {
        return Ok(None);
    }
    let mut take = |name: &str| -> Result<Vec<f32>> {
        let missing = || Error::Model(format!("tensor `{name}` is missing"));
        Ok(parameters.remove(name).ok_or_else(missing)?.flatten_all()?.to_vec1()?)
    };
    let [covariance, range, limit] = Joint::shapes(live).map(|(name, _)| take(name));
    let (mut low, limit) = (range?, limit?);
    let high = low.split_off(low.len() / 2);
    Joint::new(low, high, covariance?, limit.first().copied().unwrap_or_default()).map(Some)
}

/// Refuses metadata that no fit writes.
fn check(metadata: &Metadata) -> Result<()> {
    metadata.config.validate()?;
    let Normaliser { features, mean, std, live } = &metadata.normaliser;
    let n = features.len();
    let sized = n > 0 && mean.len() == n && std.len() == n && live.len() == n;
    if !sized
        || !mean.iter().all(|x| x.is_finite())
        || !std.iter().all(|x| x.is_finite() && *x > 0.0)
    {
        return Err(Error::Model("the normaliser is inconsistent".into()));
    }
    let report = &metadata.report;
    let sound = report.tau.values().all(|tau| tau.is_finite() && *tau >= 0.0);
    let sound = sound && report.local_tau.iter().all(LocalTau::is_sound) && report.kinds.is_sound();
    if !sound || !report.variation.fits(metadata.generated()) {
        return Err(Error::Model("the normal variation is inconsistent".into()));
    }
    for (kind, DetectorEntry { config, learned }) in &metadata.detectors {
        config.validate()?;
        let sound = learned.evidence.iter().all(|kept| kept.is_sound(n));
        if !kind.is_trained() || !sound || !learned.fits(*kind, config) {
            return Err(Error::Model(format!("the detector `{}` is inconsistent", kind.name())));
        }
    }
    let holds = |kind: &DetectorKind| !kind.is_trained() || metadata.detectors.contains_key(kind);
    if !report.calibrations.iter().all(|(kind, c)| holds(kind) && c.is_sound())
        || !report.detector.iter().all(holds)
    {
        return Err(Error::Model("the thresholds are inconsistent".into()));
    }
    Ok(())
}

/// Name of a detector's tensor in the file.
fn tensor_name(kind: DetectorKind, name: &str) -> String {
    format!("detector.{}.{name}", kind.name())
}

/// Exactly the tensors of the architecture and of the detectors, with their shapes.
fn parameters(metadata: &Metadata, tensors: &SafeTensors<'_>) -> Result<HashMap<String, Tensor>> {
    let live = metadata.generated();
    let architecture = Architecture::new(&metadata.config, live);
    let mut shapes = if live > 0 { architecture.shapes() } else { Vec::new() };
    if live > 1 {
        shapes.extend(Joint::shapes(live).map(|(name, shape)| (name.to_string(), shape)));
    }
    let features = metadata.normaliser.features.len();
    for (kind, entry) in &metadata.detectors {
        let own = Trained::shapes(*kind, features, &entry.config, &entry.learned);
        shapes.extend(own.into_iter().map(|(name, shape)| (tensor_name(*kind, &name), shape)));
    }
    if tensors.len() != shapes.len() {
        let found = tensors.len();
        return Err(Error::Model(format!("{found} tensors, {} expected", shapes.len())));
    }
    let mut parameters = HashMap::new();
    for (name, shape) in shapes {
        let view = tensors.tensor(&name).map_err(broken)?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(Error::Model(format!("tensor `{name}` is not f32 of shape {shape:?}")));
        }
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::Model(format!("tensor `{name}` holds a value that is not finite")));
        }
        parameters.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(parameters)
}

fn to_json(metadata: &Metadata) -> Result<String> {
    serde_json::to_string(metadata).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Model(format!("not a readable model: {error}"))
}

/// Hash of the metadata (with an empty checksum) and of every tensor's name and bytes, by name.
fn checksum<'a>(json: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Xxh3::new();
    hash.update(json.as_bytes());
    for (name, bytes) in tensors {
        hash.update(name.as_bytes());
        hash.update(bytes);
    }
    format!("{:032x}", hash.digest128())
}
