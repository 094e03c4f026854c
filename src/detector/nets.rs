//! Detectors of several nets, trained one after the other and stored side by side in a model.

use super::negatives::{NegativeSampler, NegativesPlan};
use super::normal::NormalWindows;
use super::trained::Trained;
use crate::config::{DetectConfig, Negatives};
use crate::data::normalise::Matrix;
use crate::error::Result;
use crate::nn::{Parameters, Shapes};
use crate::runtime::control::{Control, Part};

/// Number of residuals of the VAE for negatives in training.
const RESIDUALS: usize = 1024;

/// One net to train: its windows, negatives and options.
#[derive(Clone, Copy)]
pub(crate) struct NetTask<'a> {
    /// The rows of a series, [T, D].
    pub matrix: &'a Matrix,
    /// First rows of the normal windows.
    pub starts: &'a [usize],
    /// Rows of a window.
    pub window: usize,
    pub negatives: &'a NegativeSampler<'a>,
    pub config: &'a DetectConfig,
    /// Number of the net within its detector.
    pub net: u64,
}

/// Trains one net against each of `negatives`, in turn.
pub(super) fn train_each(
    normal: &NormalWindows<'_>,
    negatives: &[Negatives],
    config: &DetectConfig,
    control: &dyn Control,
    mut train: impl FnMut(&NetTask<'_>, &dyn Control) -> Result<Parameters>,
) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut drawn: Option<(Negatives, NegativeSampler<'_>)> = None;
    for (net, &kind) in negatives.iter().enumerate() {
        let part = Part::new(control, net, negatives.len());
        let plan = NegativesPlan { source: kind, seed: config.seed, residuals: RESIDUALS };
        let sampler = match drawn.take() {
            Some((known, sampler)) if known == kind => sampler,
            _ => normal.negatives(&normal.train, plan, control)?,
        };
        let negatives = &drawn.insert((kind, sampler)).1;
        let (matrix, starts, window) = (&normal.matrix, &normal.train[..], normal.size());
        let task = NetTask { matrix, starts, window, negatives, config, net: net as u64 };
        let trained = train(&task, &part)?.into_iter();
        parameters.extend(trained.map(|(name, tensor)| (format!("{net}.{name}"), tensor)));
    }
    Ok(parameters)
}

/// Names and shapes of the parameters of `nets` nets, from those of one.
pub(super) fn shapes(nets: usize, net: &Shapes) -> Shapes {
    let named = |i: usize| net.iter().map(move |(name, s)| (format!("{i}.{name}"), s.clone()));
    (0..nets).flat_map(named).collect()
}

impl Trained {
    /// The parameters of net `i`.
    pub(super) fn net(&self, i: usize) -> Parameters {
        let prefix = format!("{i}.");
        let of_net = self.parameters.iter().filter_map(|(name, tensor)| {
            name.strip_prefix(&prefix).map(|name| (name.to_string(), tensor.clone()))
        });
        of_net.collect()
    }
}
