//! A backbone to bytes and back, for models that are stored without it.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::container::{Packed, broken, entry_of, file, opened, pack, parameters, taken, tensors};
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
    /// Names and shapes of the directions of embeddings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    embeddings: Vec<(String, Vec<usize>)>,
}

/// Begins the names of tensors with directions of embeddings.
const EMBEDDING: &str = "embedding.";

/// The backbone as bytes.
///
/// # Errors
/// If a tensor cannot be read.
pub fn write(backbone: &Backbone) -> Result<Vec<u8>> {
    let Backbone { config, features, .. } = backbone.clone();
    let shape = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.dims().to_vec());
    let embeddings = backbone.embeddings.iter().map(shape).collect();
    let metadata = BackboneEntry { id: backbone.id(), features, config, embeddings };
    let of_vae = backbone.vae.parameters().iter().map(|(name, tensor)| pack(name.clone(), tensor));
    let others = backbone.embeddings.iter();
    let others = others.map(|(name, tensor)| pack(format!("{EMBEDDING}{name}"), tensor));
    let tensors: Vec<Packed> = of_vae.chain(others).collect::<Result<_>>()?;
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
    let BackboneEntry { id, features, config, embeddings } = metadata;
    config.validate()?;
    if features.is_empty() {
        return Err(Error::Model("a backbone without features".into()));
    }
    let architecture = Architecture::new(&config, features.len());
    let mut shapes = Vae::shapes(&architecture)?;
    shapes
        .extend(embeddings.into_iter().map(|(name, shape)| (format!("{EMBEDDING}{name}"), shape)));
    let mut parameters = parameters(shapes, &tensors(&header, data)?)?;
    let embeddings = taken(&mut parameters, EMBEDDING);
    let vae = Vae::new(&architecture, parameters)?;
    let backbone = Backbone::new(config, features, vae, embeddings)?;
    if backbone.id() != id {
        return Err(Error::Model("the backbone was changed".into()));
    }
    Ok(backbone)
}
