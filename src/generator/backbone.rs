//! A VAE that several series share.

use std::fmt::Write;

use candle_core::Tensor;
use xxhash_rust::xxh3::Xxh3;

use crate::config::FitConfig;
use crate::error::Result;
use crate::kernels::with_slices;
use crate::vae::{Architecture, Vae};

/// The parameter that is calibrated for every series.
const PSI: &str = "psi";

/// A VAE that several series share.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// Options of its training.
    pub config: FitConfig,
    /// Names of its features, all of which vary.
    pub features: Vec<String>,
    pub(crate) vae: Vae,
    id: u128,
}

impl Backbone {
    /// A backbone with this VAE.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub(crate) fn new(config: FitConfig, features: Vec<String>, vae: Vae) -> Result<Self> {
        let id = fingerprint(&features, &vae)?;
        Ok(Self { config, features, vae, id })
    }

    /// Its name: a hash of features and weights, in hexadecimal digits.
    pub fn id(&self) -> String {
        let mut id = String::new();
        let _ = write!(id, "{:032x}", self.id);
        id
    }

    /// Latent units L.
    pub fn latent(&self) -> usize {
        self.vae.architecture().latent
    }

    /// Whether it has these sizes, whatever its number of latent units.
    pub(super) fn is_sized(&self, sizes: &Architecture) -> bool {
        Architecture { latent: self.latent(), ..sizes.clone() } == *self.vae.architecture()
    }

    /// The tensors of its VAE by name, except psi.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.vae.parameters().iter().filter(|(name, _)| *name != PSI)
    }
}

/// Hash of features and weights.
fn fingerprint(features: &[String], vae: &Vae) -> Result<u128> {
    let mut hash = Xxh3::new();
    for feature in features {
        hash.update(feature.as_bytes());
        hash.update(&[0]);
    }
    for (name, tensor) in vae.parameters() {
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
