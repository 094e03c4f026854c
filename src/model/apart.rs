//! A backbone to bytes and back, for models that are stored without it.

use serde::{Deserialize, Serialize};

use super::container::{Packed, broken, entry_of, file, opened, pack, parameters, tensors};
use crate::config::FitConfig;
use crate::error::{Error, Result};
use crate::generator::Backbone;
use crate::vae::{Architecture, Vae};

const ENTRY: &str = "genias_backbone";

#[derive(Serialize, Deserialize)]
struct BackboneEntry {
    id: String,
    features: Vec<String>,
    config: FitConfig,
}

/// The backbone as bytes.
///
/// # Errors
/// If a tensor cannot be read.
pub fn write(backbone: &Backbone) -> Result<Vec<u8>> {
    let Backbone { config, features, .. } = backbone.clone();
    let metadata = BackboneEntry { id: backbone.id(), features, config };
    let tensors = backbone.vae.parameters().iter();
    let tensors: Vec<Packed> =
        tensors.map(|(name, tensor)| pack(name.clone(), tensor)).collect::<Result<_>>()?;
    file(ENTRY, serde_json::to_string(&metadata).map_err(broken)?, &tensors)
}

/// Reads a backbone.
///
/// # Errors
/// [`Error::Model`] for bytes that are not a backbone, or were changed.
pub fn read(bytes: &[u8]) -> Result<Backbone> {
    let (header, data) = opened(bytes)?;
    let metadata: BackboneEntry =
        serde_json::from_str(entry_of(&header, ENTRY)?).map_err(broken)?;
    let BackboneEntry { id, features, config } = metadata;
    config.validate()?;
    if features.is_empty() {
        return Err(Error::Model("a backbone without features".into()));
    }
    let architecture = Architecture::new(&config, features.len());
    let parameters = parameters(Vae::shapes(&architecture)?, &tensors(&header, data)?)?;
    let vae = Vae::new(&architecture, parameters)?;
    let backbone = Backbone::new(config, features, vae)?;
    if backbone.id() != id {
        return Err(Error::Model("the backbone was changed".into()));
    }
    Ok(backbone)
}
