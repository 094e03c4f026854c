//! Dropout of hidden units.

use candle_core::Tensor;

use crate::runtime::rng::Rng;

/// Seeded dropout of the encoder's hidden units, in training only.
pub struct Dropout {
    /// Share of the dropped units, in (0, 1).
    pub rate: f64,
    /// Random numbers for the masks.
    pub rng: Rng,
}

impl Dropout {
    pub(super) fn apply(&mut self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let keep = (1.0 / (1.0 - self.rate)) as f32;
        let mask: Vec<f32> = (0..hidden.elem_count())
            .map(|_| if self.rng.uniform() < self.rate { 0.0 } else { keep })
            .collect();
        hidden * Tensor::from_vec(mask, hidden.shape(), hidden.device())?
    }
}
