//! The TCN-VAE: windows [B, W, D] to X^ and X~ of the same shape.
//!
//! X is a batch of z-scored windows over the live features. The encoder gives mu and log sigma^2 in
//! R^L; one eps ~ N(0, I) gives z = mu + sigma eps and z~ = mu + psi sigma eps; the decoder gives
//! X^ = dec(z) and X~ = dec(z~) (arXiv 2502.08262, section 4).

mod architecture;
mod decoder;
mod dropout;
mod encoder;
pub(crate) mod init;
mod local;
pub mod loss;
mod net;
pub(crate) mod posterior;
pub(crate) mod readout;
mod tcn;
pub mod train;

pub use crate::stats::pca;
pub use architecture::{Architecture, DOUBLINGS};
pub use decoder::Decoder;
pub use dropout::Dropout;
pub use encoder::Encoder;
pub use net::{Output, Vae};
pub(crate) use net::{distance, halves, perturb, sigma};
