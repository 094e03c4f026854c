//! The encoder q(z | X): TCN, flattened head and a parallel linear path.

use candle_core::{Result, Tensor};

use super::architecture::{Architecture, REDUCED_CHANNELS};
use super::dropout::Dropout;
use super::init::Beginning;
use super::tcn::{self, convolve};
use crate::kernels::{Block, Conv, Layer, blocks};
use crate::nn::parameters::{Linear, Scope};

/// Bounds of log sigma^2.
const LOG_VARIANCE: (f32, f32) = (-12.0, 6.0);

/// mu = head(TCN(X)) + X A, log sigma^2 = head(TCN(X)).
#[derive(Clone, Debug)]
pub struct Encoder {
    blocks: Vec<Block>,
    reduce: Option<Layer>,
    head: Linear,
    linear: Option<Linear>,
    latent: usize,
}

impl Encoder {
    /// Declares its parameters, except those of the linear path.
    pub(super) fn new(
        architecture: &Architecture,
        beginning: &Beginning<'_>,
        mut scope: Scope<'_, '_>,
    ) -> crate::Result<Self> {
        let latent = architecture.latent;
        let blocks = (0..architecture.levels)
            .map(|i| tcn::block(architecture, i, scope.part(format!("blocks.{i}"))))
            .collect::<crate::Result<_>>()?;
        // Without decimation, the flattened encoding would have W * C values.
        let (reduced, pointwise) = (REDUCED_CHANNELS, Conv::causal(1, 1, 1));
        let reduce = (architecture.decimation == 0)
            .then(|| scope.conv("reduce", architecture.channels, reduced, pointwise))
            .transpose()?;
        let channels = if reduce.is_some() { reduced } else { architecture.channels };
        let hidden = architecture.encoded_rows() * channels;
        let bias = || beginning.head_bias(latent);
        let starts = beginning.beside_linear(hidden, &bias);
        let head = scope.pair("head", &[hidden, 2 * latent], starts)?.into();
        Ok(Self { blocks, reduce, head, linear: None, latent })
    }

    /// Adds a parallel linear path.
    pub(super) fn with_linear(self, linear: Option<Linear>) -> Self {
        Self { linear, ..self }
    }

    /// [B, W, D] -> mu [B, L], log sigma^2 [B, L].
    pub fn forward(&self, x: &Tensor, dropout: Option<&mut Dropout>) -> Result<(Tensor, Tensor)> {
        let head = self.head.forward(&self.hidden(x, dropout)?)?;
        let mu = head.narrow(1, 0, self.latent)?.contiguous()?;
        let log_variance = head
            .narrow(1, self.latent, self.latent)?
            .contiguous()?
            .clamp(LOG_VARIANCE.0, LOG_VARIANCE.1)?;
        Ok((self.beside_linear(mu, x)?, log_variance))
    }

    /// mu [B, L] of [B, W, D], without gradients.
    pub(super) fn mean(&self, x: &Tensor) -> Result<Tensor> {
        self.beside_linear(self.head.first(&self.hidden(x, None)?, self.latent)?, x)
    }

    /// [B, W, D] -> the flat input of the head.
    fn hidden(&self, x: &Tensor, dropout: Option<&mut Dropout>) -> Result<Tensor> {
        let mut hidden = match dropout {
            None => blocks(x, &self.blocks)?,
            Some(dropout) => self
                .blocks
                .iter()
                .try_fold(x.clone(), |hidden, block| tcn::with_dropout(block, &hidden, dropout))?,
        };
        if let Some(reduce) = &self.reduce {
            hidden = convolve(reduce, &hidden)?;
        }
        hidden.flatten_from(1)
    }

    /// mu with what the linear path adds.
    fn beside_linear(&self, mu: Tensor, x: &Tensor) -> Result<Tensor> {
        match &self.linear {
            Some(linear) => mu + linear.forward(&x.flatten_from(1)?)?,
            None => Ok(mu),
        }
    }
}
