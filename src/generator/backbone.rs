//! A VAE that several series share.

use std::fmt::Write;

use candle_core::Tensor;
use xxhash_rust::xxh3::Xxh3;

use crate::config::FitConfig;
use crate::error::Result;
use crate::kernels::with_slices;
use crate::nn::Parameters;
use crate::vae::Vae;

/// The parameter that is calibrated for every series.
const PSI: &str = "psi";

/// A VAE that several series share, and the directions of their embeddings.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// Options of its training.
    pub config: FitConfig,
    /// Names of its features, all of which vary.
    pub features: Vec<String>,
    pub(crate) vae: Vae,
    /// Directions of embeddings, [width, rank] each, by name.
    pub(crate) embeddings: Parameters,
    id: u128,
}

impl Backbone {
    /// A backbone with this VAE.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub(crate) fn new(
        config: FitConfig,
        features: Vec<String>,
        vae: Vae,
        embeddings: Parameters,
    ) -> Result<Self> {
        let id = fingerprint(&features, vae.parameters().iter().chain(&embeddings))?;
        Ok(Self { config, features, vae, embeddings, id })
    }

    /// The same with directions of embeddings.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub(crate) fn with_embeddings(&self, embeddings: Parameters) -> Result<Self> {
        let Self { config, features, vae, .. } = self.clone();
        Self::new(config, features, vae, embeddings)
    }

    /// Its name: a hash of features and weights, in hexadecimal digits.
    pub fn id(&self) -> String {
        let mut id = String::new();
        let _ = write!(id, "{:032x}", self.id);
        id
    }

    /// The tensors of its VAE by name, except psi.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.vae.parameters().iter().filter(|(name, _)| *name != PSI)
    }
}

/// Hash of features and weights.
fn fingerprint<'a>(
    features: &[String],
    tensors: impl Iterator<Item = (&'a String, &'a Tensor)>,
) -> Result<u128> {
    let mut hash = Xxh3::new();
    for feature in features {
        hash.update(feature.as_bytes());
        hash.update(&[0]);
    }
    for (name, tensor) in tensors {
        hash.update(name.as_bytes());
        add(&mut hash, tensor)?;
    }
    Ok(hash.digest128())
}

fn add(hash: &mut Xxh3, tensor: &Tensor) -> Result<()> {
    Ok(with_slices([tensor], |[values]| {
        values.iter().for_each(|value| hash.update(&value.to_le_bytes()));
        Ok(())
    })?)
}
