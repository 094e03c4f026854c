//! Model to bytes and back: safetensors with JSON metadata, never code.
//!
//! The metadata holds one entry, `genias`: a JSON text with format version, normaliser,
//! configuration, report and a checksum over the metadata and the tensors. Reading does not trust
//! the bytes: sizes are checked against the available bytes before anything is allocated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use safetensors::tensor::Metadata as Header;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::container::{
    Packed, broken, bytes, entry_of, file, opened, pack, parameters, taken, tensors,
};
use crate::anomaly::domain::FeatureDomain;
use crate::anomaly::latent::correlation::Correlation;
use crate::anomaly::latent::descriptor::Clusters;
use crate::anomaly::latent::normal_range::{LocalTau, NormalRange};
use crate::config::{DetectConfig, DetectorKind, Distance, FitConfig};
use crate::data::normalise::Normaliser;
use crate::detector::{Calibration, Detectors, Learned, Trained, is_trained, spec};
use crate::error::{Error, Result};
use crate::generator::{Backbone, Generator, Health, Report, VaeOrigin};
use crate::nn::{Parameters, Shapes};
use crate::vae::train::{Progress, StopReason};
use crate::vae::{Architecture, Vae};

/// Version of the format that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 4;
const ENTRY: &str = "genias";

#[derive(Serialize, Deserialize)]
struct Metadata {
    format_version: u32,
    checksum: String,
    normaliser: Normaliser,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    domain: Vec<FeatureDomain>,
    config: FitConfig,
    report: Findings,
    detectors: BTreeMap<DetectorKind, DetectorEntry>,
    /// The backbone whose tensors are stored apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backbone: Option<String>,
}

/// Results of a fit in the format: generation, thresholds and report together.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Findings {
    psi: Option<f64>,
    r2: Option<f64>,
    r2_pca: Option<f64>,
    active_units: usize,
    kl: Option<f64>,
    tau: BTreeMap<Distance, f64>,
    local_tau: Option<LocalTau>,
    variation: NormalRange,
    kinds: Clusters,
    patch_rate: Option<f64>,
    in_band: Option<f64>,
    loss: Option<f64>,
    detector: Option<DetectorKind>,
    calibrations: BTreeMap<DetectorKind, Calibration>,
    train_windows: usize,
    validation_windows: usize,
    steps: usize,
    stop_reason: Option<StopReason>,
    health: Vec<Health>,
    history: Vec<Progress>,
    #[serde(default, skip_serializing_if = "VaeOrigin::is_own")]
    origin: VaeOrigin,
}

/// One trained detector without its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectorEntry {
    config: DetectConfig,
    learned: Learned,
}

/// The part that every version has.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

impl Findings {
    fn new(generator: &Generator, detectors: &Detectors, report: &Report) -> Result<Self> {
        let report = report.clone();
        Ok(Self {
            psi: generator.psi()?,
            r2: report.r2,
            r2_pca: report.r2_pca,
            active_units: report.active_units,
            kl: report.kl,
            tau: generator.tau.clone(),
            local_tau: generator.local_tau.clone(),
            variation: generator.normal_range.clone(),
            kinds: generator.kinds.clone(),
            patch_rate: report.patch_rate,
            in_band: report.in_band,
            loss: report.loss,
            detector: detectors.default,
            calibrations: detectors.calibrations.clone(),
            train_windows: report.train_windows,
            validation_windows: report.validation_windows,
            steps: report.steps,
            stop_reason: report.stop_reason,
            health: report.health,
            history: report.history,
            origin: report.origin,
        })
    }
}

/// The model as bytes; the same fit gives the same bytes. `apart`: without its backbone's tensors.
///
/// # Errors
/// If a tensor cannot be read.
pub(super) fn write(
    generator: &Generator,
    detectors: &Detectors,
    report: &Report,
    apart: bool,
) -> Result<Vec<u8>> {
    let backbone = generator.backbone.as_deref().filter(|_| apart);
    let mut tensors = packed(generator, detectors)?;
    let shared: BTreeSet<&String> =
        backbone.into_iter().flat_map(Backbone::shared).map(|(name, _)| name).collect();
    tensors.retain(|(name, ..)| !shared.contains(name));
    let entry = |(kind, trained): (&DetectorKind, &Trained)| {
        let Trained { config, learned, .. } = trained.clone();
        (*kind, DetectorEntry { config, learned })
    };
    let mut metadata = Metadata {
        format_version: FORMAT_VERSION,
        checksum: String::new(),
        normaliser: generator.normaliser.clone(),
        domain: generator.domain.clone(),
        config: generator.config.clone(),
        report: Findings::new(generator, detectors, report)?,
        detectors: detectors.trained.iter().map(entry).collect(),
        backbone: backbone.map(Backbone::id),
    };
    let views = tensors.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice()));
    metadata.checksum = checksum(&metadata, views)?;
    file(ENTRY, to_json(&metadata)?, &tensors)
}

/// Every tensor by its name in the file.
fn packed(generator: &Generator, detectors: &Detectors) -> Result<Vec<Packed>> {
    let mut tensors = Vec::new();
    for (name, tensor) in generator.vae.iter().flat_map(Vae::parameters) {
        tensors.push(pack(name.clone(), tensor)?);
    }
    for (kind, trained) in &detectors.trained {
        for (name, tensor) in &trained.parameters {
            tensors.push(pack(tensor_name(*kind, name), tensor)?);
        }
    }
    for (name, shape, values) in generator.correlation.iter().flat_map(Correlation::parts) {
        tensors.push((name.to_string(), shape, bytes(&values)));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(tensors)
}

/// Reads a model; `apart` is the backbone that it may refer to.
///
/// # Errors
/// [`Error::Model`], which says whether the bytes are not a model, of another version, truncated,
/// changed, or inconsistent, or refer to another backbone.
pub(super) fn read(
    bytes: &[u8],
    apart: Option<&Arc<Backbone>>,
) -> Result<(Generator, Detectors, Report)> {
    let (metadata, mut parameters) = unpacked(bytes, apart.map(Arc::as_ref))?;
    let backbone = apart.filter(|_| metadata.backbone.is_some()).cloned();
    let Metadata { config, normaliser, domain, report, detectors, .. } = metadata;
    let mut trained = BTreeMap::new();
    for (kind, DetectorEntry { config, learned }) in detectors {
        let parameters = taken(&mut parameters, &tensor_name(kind, ""));
        trained.insert(kind, Trained::new(config, learned, parameters));
    }
    let live = generated(&normaliser, report.stop_reason);
    let correlation = correlation(&mut parameters, live)?;
    let vae =
        (live > 0).then(|| Vae::new(&Architecture::new(&config, live), parameters)).transpose()?;
    let detectors =
        Detectors { trained, calibrations: report.calibrations, default: report.detector };
    let generator = Generator {
        config,
        normaliser,
        domain,
        vae,
        backbone,
        tau: report.tau,
        local_tau: report.local_tau,
        normal_range: report.variation,
        correlation,
        kinds: report.kinds,
    };
    let report = Report {
        r2: report.r2,
        r2_pca: report.r2_pca,
        active_units: report.active_units,
        kl: report.kl,
        patch_rate: report.patch_rate,
        in_band: report.in_band,
        loss: report.loss,
        train_windows: report.train_windows,
        validation_windows: report.validation_windows,
        steps: report.steps,
        stop_reason: report.stop_reason,
        health: report.health,
        history: report.history,
        origin: report.origin,
    };
    Ok((generator, detectors, report))
}

/// The backbone that a model refers to.
fn referred<'a>(metadata: &Metadata, apart: Option<&'a Backbone>) -> Result<Option<&'a Backbone>> {
    let Some(id) = &metadata.backbone else { return Ok(None) };
    match apart {
        None => Err(Error::Model(format!(
            "its backbone {id} is missing: it belongs beside the model, as `fit` returned it"
        ))),
        Some(backbone) if backbone.id() != *id => {
            let found = backbone.id();
            Err(Error::Model(format!("its backbone is {id}, not {found}")))
        }
        backbone => Ok(backbone),
    }
}

/// Checked metadata and tensors.
fn unpacked(bytes: &[u8], apart: Option<&Backbone>) -> Result<(Metadata, Parameters)> {
    let (header, data) = opened(bytes)?;
    let mut metadata = metadata_of(&header)?;
    let tensors = tensors(&header, data)?;
    let expected = std::mem::take(&mut metadata.checksum);
    let views = tensors.iter().map(|(name, view)| (name.as_str(), view.data()));
    if checksum(&metadata, views)? != expected {
        return Err(Error::Model("the checksum does not match: the bytes were changed".into()));
    }
    check(&metadata)?;
    let backbone = referred(&metadata, apart)?;
    let shared: BTreeMap<_, _> = backbone.into_iter().flat_map(Backbone::shared).collect();
    let (elsewhere, here): (Shapes, Shapes) =
        shapes(&metadata)?.into_iter().partition(|(name, _)| shared.contains_key(name));
    let mut parameters = parameters(here, &tensors)?;
    for (name, shape) in elsewhere {
        let tensor = shared.get(&name).filter(|tensor| tensor.dims() == shape);
        let other = || Error::Model(format!("tensor `{name}` of its backbone has another shape"));
        parameters.insert(name.clone(), (*tensor.ok_or_else(other)?).clone());
    }
    Ok((metadata, parameters))
}

/// The metadata, if it has this version.
fn metadata_of(header: &Header) -> Result<Metadata> {
    let json = entry_of(header, ENTRY)?;
    let version: VersionOnly = serde_json::from_str(json).map_err(broken)?;
    if version.format_version != FORMAT_VERSION {
        return Err(Error::Model(format!(
            "format version {}, this version reads {FORMAT_VERSION}",
            version.format_version
        )));
    }
    serde_json::from_str(json).map_err(broken)
}

/// Removes and returns the tensors of the correlation.
fn correlation(parameters: &mut Parameters, live: usize) -> Result<Option<Correlation>> {
    if live < 2 {
        return Ok(None);
    }
    let mut take = |name: &str| -> Result<Vec<f32>> {
        let missing = || Error::Model(format!("tensor `{name}` is missing"));
        Ok(parameters.remove(name).ok_or_else(missing)?.flatten_all()?.to_vec1()?)
    };
    let [covariance, range, limit] = Correlation::shapes(live).map(|(name, _)| take(name));
    let (mut low, limit) = (range?, limit?);
    let high = low.split_off(low.len() / 2);
    Correlation::new(low, high, covariance?, limit.first().copied().unwrap_or_default()).map(Some)
}

/// Rejects metadata that no fit writes.
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
    let domain = &metadata.domain;
    if !(domain.is_empty() || domain.len() == n) || !domain.iter().all(FeatureDomain::is_sound) {
        return Err(Error::Model("the domains are inconsistent".into()));
    }
    let report = &metadata.report;
    let sound = report.tau.values().all(|tau| tau.is_finite() && *tau >= 0.0);
    let sound = sound && report.local_tau.iter().all(LocalTau::is_sound) && report.kinds.is_sound();
    if !sound || !report.variation.fits(generated(&metadata.normaliser, report.stop_reason)) {
        return Err(Error::Model("the normal variation is inconsistent".into()));
    }
    for (kind, DetectorEntry { config, learned }) in &metadata.detectors {
        config.validate()?;
        if !is_trained(*kind)
            || config.detector != *kind
            || !spec(*kind).is_sound(learned, config, n)
        {
            return Err(Error::Model(format!("the detector `{}` is inconsistent", kind.name())));
        }
    }
    let holds = |kind: &DetectorKind| !is_trained(*kind) || metadata.detectors.contains_key(kind);
    if !report.calibrations.iter().all(|(kind, c)| holds(kind) && c.is_sound())
        || !report.detector.iter().all(holds)
    {
        return Err(Error::Model("the thresholds are inconsistent".into()));
    }
    Ok(())
}

/// Number of features that the VAE generates; 0 without a VAE.
fn generated(normaliser: &Normaliser, stop_reason: Option<StopReason>) -> usize {
    match stop_reason {
        Some(StopReason::NotTrained) => 0,
        _ => normaliser.live_features().len(),
    }
}

/// Name of a detector's tensor in the file.
fn tensor_name(kind: DetectorKind, name: &str) -> String {
    format!("detector.{}.{name}", kind.name())
}

/// Names and shapes of the tensors of the architecture and of the detectors.
fn shapes(metadata: &Metadata) -> Result<Shapes> {
    let live = generated(&metadata.normaliser, metadata.report.stop_reason);
    let architecture = Architecture::new(&metadata.config, live);
    let mut shapes = if live > 0 { Vae::shapes(&architecture)? } else { Vec::new() };
    if live > 1 {
        shapes.extend(Correlation::shapes(live).map(|(name, shape)| (name.to_string(), shape)));
    }
    let features = metadata.normaliser.features.len();
    for (kind, entry) in &metadata.detectors {
        let own = spec(*kind).shapes(&entry.learned, &entry.config, features)?;
        shapes.extend(own.into_iter().map(|(name, shape)| (tensor_name(*kind, &name), shape)));
    }
    Ok(shapes)
}

fn to_json(metadata: &Metadata) -> Result<String> {
    serde_json::to_string(metadata).map_err(broken)
}

/// Hash of the metadata (with an empty checksum) as JSON and of every tensor's name and bytes, by name.
fn checksum<'a>(
    metadata: &Metadata,
    tensors: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<String> {
    let mut hash = Hashing(Xxh3::new());
    serde_json::to_writer(&mut hash, metadata).map_err(broken)?;
    let Hashing(mut hash) = hash;
    for (name, bytes) in tensors {
        hash.update(name.as_bytes());
        hash.update(bytes);
    }
    Ok(format!("{:032x}", hash.digest128()))
}

/// Hashes its input without storing it.
struct Hashing(Xxh3);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
