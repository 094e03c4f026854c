//! The encoder q(z | X): TCN, flattened head and a linear path beside them.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::architecture::{Architecture, REDUCED_CHANNELS};
use super::dropout::Dropout;
use super::tcn::{self, convolve, layer};
use crate::kernels::{Block, Conv, Layer, blocks, linear};

/// Bounds of log sigma^2.
const LOG_VARIANCE: (f32, f32) = (-12.0, 6.0);

/// mu = head(TCN(X)) + X A, log sigma^2 = head(TCN(X)).
#[derive(Clone, Debug)]
pub struct Encoder {
    blocks: Vec<Block>,
    reduce: Option<Layer>,
    head: (Tensor, Tensor),
    linear: Option<(Tensor, Tensor)>,
    latent: usize,
}

impl Encoder {
    /// Takes the parameters below `encoder`.
    pub fn new(architecture: &Architecture, vb: VarBuilder<'_>) -> Result<Self> {
        let latent = architecture.latent;
        let blocks = (0..architecture.levels)
            .map(|i| tcn::block(architecture, i, vb.pp(format!("blocks.{i}"))))
            .collect::<Result<_>>()?;
        // Without decimation the flattened encoding would be as large as W * C.
        let reduce = (architecture.decimation == 0)
            .then(|| {
                let pointwise = Conv::causal(1, 1, 1, false);
                layer(architecture.channels, REDUCED_CHANNELS, pointwise, vb.pp("reduce"))
            })
            .transpose()?;
        let channels = if reduce.is_some() { REDUCED_CHANNELS } else { architecture.channels };
        let hidden = architecture.encoded_rows() * channels;
        let head = (vb.get((hidden, 2 * latent), "head.weight")?, vb.get(2 * latent, "head.bias")?);
        let linear = architecture
            .linear_path
            .then(|| {
                let weight = vb.get((architecture.values(), latent), "linear.weight")?;
                Result::Ok((weight, vb.get(latent, "linear.bias")?))
            })
            .transpose()?;
        Ok(Self { blocks, reduce, head, linear, latent })
    }

    /// [B, W, D] -> mu [B, L], log sigma^2 [B, L].
    pub fn forward(&self, x: &Tensor, dropout: Option<&mut Dropout>) -> Result<(Tensor, Tensor)> {
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
        let head = linear(&hidden.flatten_from(1)?, &self.head.0, &self.head.1, false)?;
        let mu = head.narrow(1, 0, self.latent)?.contiguous()?;
        let log_variance = head
            .narrow(1, self.latent, self.latent)?
            .contiguous()?
            .clamp(LOG_VARIANCE.0, LOG_VARIANCE.1)?;
        let mu = match &self.linear {
            Some((weight, bias)) => (mu + linear(&x.flatten_from(1)?, weight, bias, false)?)?,
            None => mu,
        };
        Ok((mu, log_variance))
    }
}
